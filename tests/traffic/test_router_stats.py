"""What `traffic.router_stats.count` reads off a real Envoy: every kind of failure, and latencies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.traffic.router_stats import count
from savedmodel_operator.workload.envoy import Backend, RoutePlan
from traffic.backends import PREDICT, Server, running_servers
from traffic.envoy_lab import Envoy, running_envoy, take_address, wait_for

STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"
URL = "/v1/models/flowers/labels/canary:predict"


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def canary() -> AsyncIterator[tuple[Envoy, Server]]:
    """A router whose canary is one server; stable is another, and gets nothing."""
    async with running_servers("stable", "canary") as [stable, tried]:
        backends = (
            Backend(CANARY, 8, 100, (tried.address,)),
            Backend(STABLE, 7, 0, (stable.address,)),
        )
        route = RoutePlan("flowers", "shop", "flowers", backends, STABLE, CANARY)
        async with running_envoy(route, members=4) as envoy:
            yield envoy, tried


async def counted(session: aiohttp.ClientSession, envoy: Envoy) -> Mapping[str, Counts]:
    found = await count(session, envoy.address, (STABLE, CANARY))
    assert found is not None
    return found


async def post(envoy: Envoy, times: int) -> list[int]:
    assert envoy.session is not None
    seen = []
    for _ in range(times):
        async with envoy.session.post(envoy.url + URL, data=b"{}") as response:
            seen.append(response.status)
    return seen


async def call(envoy: Envoy, times: int) -> list[grpc.StatusCode]:
    seen = []
    async with grpc.aio.insecure_channel(f"{envoy.address}:8500") as channel:
        predict = channel.unary_unary(PREDICT)
        for _ in range(times):
            try:
                await predict(b"x")
                seen.append(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                seen.append(error.code())  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize(
    ("status", "errors"),
    [(200, (0, 0)), (400, (0, 12)), (404, (0, 12)), (500, (12, 0)), (503, (12, 0))],
)
async def test_rest_statuses(
    session: aiohttp.ClientSession, status: int, errors: tuple[int, int]
) -> None:
    async with canary() as (envoy, server):
        server.status = status
        assert await post(envoy, 12) == [status] * 12
        found = await counted(session, envoy)
        counts = found[CANARY]
        assert (counts.requests, counts.server_errors, counts.client_errors) == (12, *errors)
        assert found[STABLE] == Counts()


@pytest.mark.parametrize(
    ("code", "errors"),
    [
        (grpc.StatusCode.OK, (0, 0)),
        (grpc.StatusCode.INVALID_ARGUMENT, (0, 9)),
        (grpc.StatusCode.NOT_FOUND, (0, 9)),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (0, 9)),
        (grpc.StatusCode.UNKNOWN, (9, 0)),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (9, 0)),
        (grpc.StatusCode.UNIMPLEMENTED, (9, 0)),
        (grpc.StatusCode.INTERNAL, (9, 0)),
        (grpc.StatusCode.UNAVAILABLE, (9, 0)),
        (grpc.StatusCode.DATA_LOSS, (9, 0)),
    ],
)
async def test_grpc_codes(
    session: aiohttp.ClientSession, code: grpc.StatusCode, errors: tuple[int, int]
) -> None:
    async with canary() as (envoy, server):
        server.code = code
        assert await call(envoy, 9) == [code] * 9
        counts = (await counted(session, envoy))[CANARY]
        assert (counts.requests, counts.server_errors, counts.client_errors) == (9, *errors)


async def test_a_server_that_is_gone_fails_its_requests(session: aiohttp.ClientSession) -> None:
    async with canary() as (envoy, server):
        await server.stop()
        assert set(await post(envoy, 5)) == {503}
        assert set(await call(envoy, 5)) == {grpc.StatusCode.UNAVAILABLE}
        counts = (await counted(session, envoy))[CANARY]
        assert (counts.requests, counts.server_errors) == (10, 10)


async def test_slow_answers_are_seen_within_seconds(session: aiohttp.ClientSession) -> None:
    async with canary() as (envoy, server):
        server.slow = 0.12
        await post(envoy, 4)
        await call(envoy, 4)

        async def timed() -> Counts | None:
            counts = (await counted(session, envoy))[CANARY]
            return counts if counts.timed == 8 else None

        counts = await wait_for("merged histograms", timed, within=5.0)
        assert counts.slower_than(0.11) == 8
        assert counts.slower_than(0.5) == 0
        assert 0.115 < counts.quantile(0.5) < 0.3


async def test_requests_go_on_while_they_are_counted(session: aiohttp.ClientSession) -> None:
    """Counters of a running Envoy never fall, and no part is ahead of its sum."""
    async with canary() as (envoy, server):
        server.status = 500
        load = [asyncio.create_task(post(envoy, 60)) for _ in range(4)]
        before = (await counted(session, envoy))[CANARY]
        while not all(task.done() for task in load):
            now = (await counted(session, envoy))[CANARY]
            assert now.since(before) is not None
            assert now.server_errors <= now.requests
            before = now
        assert (await counted(session, envoy))[CANARY].server_errors == 240


async def test_nobody_there_counts_nothing(session: aiohttp.ClientSession) -> None:
    assert await count(session, take_address(), (STABLE,)) is None
