"""HTTP to our own pods: routers for what they carry, model pods for what they answer.

Bounded in time and size, no redirects, no proxy; an answer that does not come is a fact for the
planner and not an error. It must not judge what it hears: `gate` and `plan` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.observe.counters import Place, Subject
from savedmodel_operator.traffic import router, router_stats, serving_metrics
from savedmodel_operator.traffic.base import Answer

CONNECT = 2.0
PATIENCE = 10.0
"""Seconds: a server that has just loaded a large model may take some for its first metadata."""

MAX_BYTES = 8 * 1024 * 1024
"""Metadata spell out every tensor of every signature: 5,000 inputs take about 2 MiB. An answer to
a golden request of 512 Ki numbers of 15 characters fits as well."""

Reply = tuple[int, bytes]
"""HTTP status and body; (0, what went wrong) where there was no whole answer."""


class PodClient:
    """One connection pool for all pods."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._bursts = asyncio.Semaphore(router.BURSTS)

    async def probe(self, pod_ip: str) -> Answer:
        """What a router pod carries."""
        return await router.probe(self._get_session(), pod_ip, self._bursts)

    async def count(self, subject: Subject, place: Place) -> Mapping[str, Counts] | None:
        """What a router pod counted for these revisions, or a model pod for its own."""
        session = self._get_session()
        if subject.source == "Router":
            return await router_stats.count(session, place.ip, place.revisions)
        found = await serving_metrics.count(session, place.ip, subject.model)
        return None if found is None else dict.fromkeys(place.revisions, found)

    async def get(self, url: str) -> Reply:
        """A GET of JSON."""
        return await self._ask("GET", url, None, PATIENCE)

    async def post(self, url: str, body: bytes, patience: float) -> Reply:
        """A POST of JSON, answered within `patience` seconds."""
        return await self._ask("POST", url, body, patience)

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

    async def _ask(self, method: str, url: str, body: bytes | None, patience: float) -> Reply:
        session = self._get_session()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=patience, sock_connect=CONNECT),
                allow_redirects=False,
            ) as response:
                content = await response.content.read(MAX_BYTES + 1)
                while len(content) <= MAX_BYTES and (
                    more := await response.content.read(MAX_BYTES)
                ):
                    content += more
                if len(content) > MAX_BYTES:
                    return 0, b"the answer is longer than 8 MiB"
                return response.status, content
        except TimeoutError:
            return 0, f"no whole answer within {patience:g} s".encode()
        except (aiohttp.ClientError, OSError) as error:
            return 0, (str(error) or type(error).__name__).encode()
