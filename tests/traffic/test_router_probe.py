"""What `traffic.router.probe` makes of real router pods, dead ones and liars."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from savedmodel_operator.traffic.router import (
    BURSTS,
    CONNECTIONS,
    MAX_BYTES,
    parse_members,
    probe,
)
from savedmodel_operator.workload.envoy import Backend, RoutePlan, config_hash
from traffic.backends import running_servers
from traffic.envoy_lab import running_envoy, take_address, wait_for

STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_router_tells_its_table_and_its_members(session: aiohttp.ClientSession) -> None:
    async with running_servers("a", "b", "c") as [a, b, c]:
        backends = (
            Backend(CANARY, 8, 10, (c.address,)),
            Backend(STABLE, 7, 90, (a.address, b.address, take_address())),
        )
        route = RoutePlan("flowers", "shop", "flowers", backends, STABLE, CANARY)
        async with running_envoy(route, members=6) as envoy:
            answer = await probe(session, envoy.address)
            assert answer.revision == config_hash(route, envoy.place)
            assert answer.members == {
                STABLE: frozenset({a.address, b.address}),
                CANARY: frozenset({c.address}),
            }
            await c.stop()
            await wait_for("ejection", lambda: envoy.has_members(4))
            assert (await probe(session, envoy.address)).members[CANARY] == frozenset()
            fresh = envoy.write(RoutePlan("flowers", "shop", "flowers", ()))

            async def uses_fresh() -> bool:
                return (await probe(session, envoy.address)).revision == fresh

            await wait_for("the new table", uses_fresh)


async def test_one_protocol_alone_is_no_member() -> None:
    def cluster(name: str, *addresses: str, **health: object) -> dict[str, object]:
        hosts = [
            {
                "address": {"socket_address": {"address": address, "port_value": 1}},
                "health_status": {"eds_health_status": "HEALTHY", **health},
            }
            for address in addresses
        ]
        return {"name": name, "host_statuses": hosts}

    listing = {
        "cluster_statuses": [
            cluster("r1/rest", "10.0.0.1", "10.0.0.2"),
            cluster("r1/grpc", "10.0.0.2"),
            cluster("r2/rest", "10.0.0.3"),
            cluster("r3/rest", "10.0.0.4", failed_active_health_check=True),
            cluster("r3/grpc", "10.0.0.4"),
            cluster("r4/rest", "10.0.0.5"),
            cluster("r4/grpc", "10.0.0.5", pending_active_hc=True),
            {"name": "r5/rest"},
            cluster("admin", "10.0.0.9"),
        ]
    }
    assert parse_members(listing) == {
        "r1": frozenset({"10.0.0.2"}),
        "r2": frozenset(),
        "r3": frozenset(),
        "r4": frozenset(),
        "r5": frozenset(),
    }


async def test_nobody_there_is_no_answer(session: aiohttp.ClientSession) -> None:
    assert await probe(session, take_address()) == (None, {})


async def test_a_table_counts_once_every_worker_has_it(session: aiohttp.ClientSession) -> None:
    tables = itertools.cycle(["a" * 16] * (CONNECTIONS - 1) + ["b" * 16])

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=next(tables))

    address = take_address()
    app = web.Application()
    app.router.add_get("/_revision", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, address, 8501).start()
    assert (await probe(session, address)).revision is None
    tables = itertools.repeat("b" * 16)
    assert (await probe(session, address)).revision == "b" * 16
    await runner.cleanup()


async def test_many_routers_are_asked_a_few_at_a_time() -> None:
    """After a restart all routers of all objects are asked; together they must not be a flood."""
    under_way: set[int] = set()
    most = 0

    async def begin(_session: object, context: object, _params: object) -> None:
        nonlocal most
        under_way.add(id(context))
        most = max(most, len(under_way))

    async def end(_session: object, context: object, _params: object) -> None:
        under_way.discard(id(context))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(end)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="b" * 16)

    app = web.Application()
    app.router.add_get("/_revision", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    addresses = [take_address() for _ in range(40)]
    for address in addresses:
        await web.TCPSite(runner, address, 8501).start()
    turn = asyncio.Semaphore(BURSTS)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        await asyncio.gather(*(probe(session, address, turn) for address in addresses))
    await runner.cleanup()
    # One on each statistics port as well, which nobody listens on here.
    assert CONNECTIONS < most <= BURSTS * CONNECTIONS + 2 * len(addresses)


async def _silent(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.1)


async def _endless(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"a" * (MAX_BYTES + 1))


async def _redirect(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"location": "http://127.0.0.1:1/"})


async def _wrong(request: web.Request) -> web.StreamResponse:
    return web.json_response({"cluster_statuses": [{"name": "r1/rest", "host_statuses": 7}]})


async def _broken(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff[")


@pytest.mark.parametrize("handler", [_silent, _endless, _redirect, _wrong, _broken])
async def test_a_liar_is_no_answer_and_bounded_in_time(
    session: aiohttp.ClientSession, handler: web.RequestHandler
) -> None:
    address = take_address()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    for port in (8501, 9902):
        await web.TCPSite(runner, address, port).start()
    begin = time.monotonic()
    assert await probe(session, address) == (None, {})
    assert time.monotonic() - begin < 3.0
    await runner.cleanup()
