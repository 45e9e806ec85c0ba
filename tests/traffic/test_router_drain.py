"""A router pod is deleted while keep-alive clients use it: real Envoys, nothing fails.

As the cluster does it: the pod leaves the Service (no new connections), sleeps in preStop, gets
SIGTERM. Nobody tells Envoy to drain; its connections have to end by themselves before that.
"""

from __future__ import annotations

import asyncio

from savedmodel_operator.workload.envoy import Backend, RoutePlan
from savedmodel_operator.workload.envoy_listeners import DRAIN, LINGER, MAX_CONNECTION, PRE_STOP
from traffic.backends import running_servers
from traffic.clients import busy_clients
from traffic.envoy_lab import Envoy, running_envoy, wait_for
from traffic.service_proxy import running_service

STABLE = "flowers-v7-aaaaaaaa"


async def connections(envoy: Envoy) -> int:
    """Client connections that are open now."""
    stats = await envoy.stats(r"^http\.(rest|grpc)\.downstream_cx_active$")
    assert len(stats) == 2
    return sum(stats.values())


async def test_a_router_pod_leaves_without_a_failed_request() -> None:
    async with running_servers("pod") as [pod]:
        route = RoutePlan(
            "flowers", "shop", "flowers", (Backend(STABLE, 7, 100, (pod.address,)),), STABLE
        )
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
            assert await connections(staying) == 2
            before = tally.total
            await leaving.stop()
            await wait_for("more answers", _more(tally, before + 200), 30)
        assert tally.failures == []
        assert tally.total > 1000


async def test_a_slow_call_on_a_leaving_router_is_finished() -> None:
    """HTTP/1.1 and in flight when its connection's time is over."""
    async with running_servers("pod", slow=float(MAX_CONNECTION + 2)) as [pod]:
        route = RoutePlan(
            "flowers", "shop", "flowers", (Backend(STABLE, 7, 100, (pod.address,)),), STABLE
        )
        async with running_envoy(route, members=2) as envoy:
            call = asyncio.create_task(envoy.get(":8501/v1/models/flowers:predict"))
            assert (await call)[0] == 200
    assert PRE_STOP - MAX_CONNECTION - DRAIN == LINGER > 0


def _connected(envoy: Envoy, count: int):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return await connections(envoy) == count

    return check


def _more(tally, count):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return tally.total >= count

    return check
