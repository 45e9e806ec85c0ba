"""A router pod is deleted while keep-alive clients use it: real Envoys, nothing fails.

As the cluster does it: the pod leaves the Service (no new connections), sleeps in preStop, gets
SIGTERM. Nobody tells Envoy to drain; its connections have to end by themselves before that.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from savedmodel_operator.workload.envoy import Backend, RoutePlan
from savedmodel_operator.workload.envoy_listeners import DRAIN, LINGER, MAX_CONNECTION, PRE_STOP
from traffic.backends import running_servers
from traffic.clients import busy_clients
from traffic.envoy_lab import Envoy, running_envoy, wait_for
from traffic.service_proxy import running_service

STABLE = "flowers-v7-aaaaaaaa"
METADATA = "/v1/models/flowers/metadata"


def one_pod(address: str) -> RoutePlan:
    """All traffic to one pod."""
    return RoutePlan("flowers", "shop", "flowers", (Backend(STABLE, 7, 100, (address,)),), STABLE)


async def connections(envoy: Envoy) -> int:
    """Client connections that are open now."""
    stats = await envoy.stats(r"^http\.(rest|grpc)\.downstream_cx_active$")
    assert len(stats) == 2
    return sum(stats.values())


async def test_a_router_pod_leaves_without_a_failed_request() -> None:
    async with running_servers("pod") as [pod]:
        route = one_pod(pod.address)
        async with (
            running_envoy(route, members=2) as leaving,
            running_envoy(route, members=2) as staying,
            running_service(leaving.address) as service,
            busy_clients(service.address) as tally,
        ):
            await wait_for("clients on the one that leaves", _connected(leaving, 2))
            assert await connections(staying) == 0
            service.endpoints[:] = [staying.address]
            left = _connected(leaving, 0)
            await wait_for("all connections moved", left, MAX_CONNECTION + DRAIN + 1)
            await wait_for("clients on the one that stays", _connected(staying, 2))
            before = tally.total
            await leaving.stop()
            await wait_for("more answers", _more(tally, before + 200), 30)
        assert tally.failures == []
        assert tally.total > 1000


async def test_slow_and_idle_connections_are_not_cut_when_their_time_is_over() -> None:
    """HTTP/1.1: a call in flight is finished; an idle connection waits for its next request."""
    async with (
        running_servers("pod") as [pod],
        running_envoy(one_pod(pod.address), members=2) as envoy,
    ):
        reader, writer = await asyncio.open_connection(envoy.address, 8501)
        assert b"connection: close" not in await _ask(reader, writer)
        pod.slow = float(MAX_CONNECTION + 2)
        call = asyncio.create_task(envoy.get(f":8501{METADATA}"))
        with pytest.raises(TimeoutError):  # nothing comes, not even the end
            await asyncio.wait_for(reader.read(1), MAX_CONNECTION + DRAIN + 1)
        assert (await call)[0] == 200
        pod.slow = 0.0
        assert b"connection: close" in await _ask(reader, writer)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert PRE_STOP - MAX_CONNECTION - DRAIN == LINGER > 0


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The head of the answer to one more request on this connection."""
    writer.write(f"GET {METADATA} HTTP/1.1\r\nhost: flowers\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    [length] = re.findall(rb"content-length: (\d+)", head)
    await reader.readexactly(int(length))
    return head


def _connected(envoy: Envoy, count: int):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return await connections(envoy) == count

    return check


def _more(tally, count):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return tally.total >= count

    return check
