"""Asks a router pod which route table it uses and whom it holds healthy.

/_revision on the client port, which goes through the very table that clients use, and the
membership on the read-only statistics port. Each worker thread of Envoy holds its own copy of the
table and gets a new one a moment before or after the others; the kernel deals connections out
among them. So the table is asked for on many connections at once, and counts only where all of
them answer alike. Bounded in time and size. Must not decide what an
answer means, and must not log or raise for pods that do not answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import aiohttp

from savedmodel_operator.api import names
from savedmodel_operator.traffic.base import Answer
from savedmodel_operator.workload.envoy_clusters import GRPC, REST, parse_cluster_name
from savedmodel_operator.workload.envoy_routes import REVISION_PATH

TIMEOUT = aiohttp.ClientTimeout(total=1.0)
MAX_BYTES = 4 * 1024 * 1024
"""A host takes about 1 KiB in the listing: room for 4,000 pods."""

CONNECTIONS = 24
"""Chance that one of n workers is asked by none: at most n x (1 - 1/n)^24, 1.2e-7 for 2 of them.
Missed, it is behind by one turn of its event loop."""

BURSTS = 2
"""Pods that are asked on many connections at the same time. After a restart every router of every
object is asked: 1,000 at once would be 24,000 connections, of which most run into their time limit
and are made again. An answer takes milliseconds, and cycles have to get their turn between
them; a silent pod holds no place, because one connection is tried first."""

_HASH = re.compile(r"[0-9a-f]{16}")
Turn = AbstractAsyncContextManager[None]
_FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


async def probe(session: aiohttp.ClientSession, pod_ip: str, turn: Turn | None = None) -> Answer:
    """What one router pod answers within two seconds of its turn; (None, {}) where it does not.

    turn: shared by all probes, a semaphore of `BURSTS`.
    """
    revision, members = await asyncio.gather(
        _ask_every_worker(session, pod_ip, turn or nullcontext()), _ask_members(session, pod_ip)
    )
    return Answer(revision, members)


async def _ask_every_worker(session: aiohttp.ClientSession, pod_ip: str, turn: Turn) -> str | None:
    """The table of all workers; None while they differ or where one does not answer."""
    if await _ask_revision(session, pod_ip) is None:
        return None
    async with turn:
        asked = (_ask_revision(session, pod_ip) for _ in range(CONNECTIONS))
        answers = await asyncio.gather(*asked)
    return answers[0] if len(set(answers)) == 1 else None


async def _ask_revision(session: aiohttp.ClientSession, pod_ip: str) -> str | None:
    try:
        text = (await _get(session, pod_ip, names.PORT_REST, REVISION_PATH)).decode("ascii")
    except _FAULTS:
        return None
    return text if _HASH.fullmatch(text) else None


async def _ask_members(session: aiohttp.ClientSession, pod_ip: str) -> Mapping[str, frozenset[str]]:
    try:
        body = await _get(session, pod_ip, names.PORT_STATS, "/clusters?format=json")
        return parse_members(json.loads(body))
    except (*_FAULTS, KeyError, TypeError, AttributeError, RecursionError):
        return {}


async def _get(session: aiohttp.ClientSession, host: str, port: int, path: str) -> bytes:
    """The body of a 200, at most MAX_BYTES. Raises one of _FAULTS otherwise."""
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{port}{path}"
    async with session.get(url, timeout=TIMEOUT, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("too long")
        return bytes(body)


def parse_members(listing: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Envoy's /clusters?format=json → revision → addresses healthy in both of its clusters.

    A revision with one cluster only is no member anywhere yet: half of its calls would fail.
    """
    found: dict[tuple[str, str], frozenset[str]] = {}
    for status in listing.get("cluster_statuses", ()):
        key = parse_cluster_name(str(status.get("name", "")))
        if key is not None:
            found[key] = frozenset(_healthy(status))
    revisions = {revision for revision, _ in found}
    return {
        revision: found.get((revision, REST), frozenset())
        & found.get((revision, GRPC), frozenset())
        for revision in sorted(revisions)
    }


def _healthy(status: Mapping[str, Any]) -> Iterator[str]:
    for host in status.get("host_statuses", ()):
        address = host.get("address", {}).get("socket_address", {}).get("address")
        health = host.get("health_status", {})
        failing = any(flag is True for flag in health.values())
        if address and not failing and health.get("eds_health_status", "HEALTHY") == "HEALTHY":
            yield str(address)
