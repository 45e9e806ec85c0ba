"""HTTP to our own pods: routers for what they carry, candidates for what they serve.

Bounded in time and size, no redirects, no proxy; an answer that does not come is a fact for the
planner and not an error. It must not judge what it hears: `gate` and `plan` do.
"""

from __future__ import annotations

import asyncio

import aiohttp

from savedmodel_operator.api import names
from savedmodel_operator.gate import Verdict, check_live
from savedmodel_operator.observe.live import Target
from savedmodel_operator.traffic import router
from savedmodel_operator.traffic.base import Answer

TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=2.0)
"""A server that has just loaded a large model may take seconds for its first metadata answer."""

MAX_BYTES = 8 * 1024 * 1024
"""Metadata spell out every tensor of every signature: 5,000 inputs take about 2 MiB."""


class PodClient:
    """One connection pool for all pods."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, pod_ip: str) -> Answer:
        """What a router pod carries."""
        return await router.probe(self._get_session(), pod_ip)

    async def check_live(self, target: Target) -> Verdict:
        """What the candidate's server says about the exact version, judged by the gate."""
        record = target.record
        host = f"[{target.ip}]" if ":" in target.ip else target.ip
        base = (
            f"http://{host}:{names.PORT_REST}/v1/models/{target.model_name}"
            f"/versions/{record.number}"
        )
        status, metadata = await asyncio.gather(self._get(base), self._get(f"{base}/metadata"))
        return check_live(
            record.facts, target.model_name, record.number, status, metadata, target.tags
        )

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=512, keepalive_timeout=5), trust_env=False
            )
        return self._session

    async def _get(self, url: str) -> tuple[int, bytes]:
        """(HTTP status, body); (0, what went wrong) where there was no whole answer."""
        session = self._get_session()
        try:
            async with session.get(url, timeout=TIMEOUT, allow_redirects=False) as response:
                body = await response.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                    body += more
                if len(body) > MAX_BYTES:
                    return 0, b"the answer is longer than 8 MiB"
                return response.status, body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, (str(error) or type(error).__name__).encode()
