"""What a real Envoy does with copies for a candidate, and that no client ever notices one.

The candidate hangs, dies, refuses and lets connections wait; big bodies go by; answers keep coming.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.traffic.router_stats import count
from savedmodel_operator.workload.envoy import Backend, Mirror, RoutePlan, build_files
from savedmodel_operator.workload.envoy_mirror import AT_ONCE, LONGEST
from traffic.backends import PREDICT, UNLIMITED, Server, running_servers
from traffic.clients import busy_clients
from traffic.envoy_lab import Envoy, running_envoy, take_address, wait_for

STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"
MODEL = "/v1/models/flowers"
MIB = 1024 * 1024
SOON = 3.0
"""Seconds in which 20 MiB pass on a machine that does other things too; a hung client never ends."""


def route(stable: str, candidate: str, percent: int = 100) -> RoutePlan:
    """All requests to stable, copies of `percent` percent to the candidate."""
    return RoutePlan(
        "flowers",
        "shop",
        "flowers",
        (Backend(CANARY, 8, 0, (candidate,)), Backend(STABLE, 7, 100, (stable,))),
        STABLE,
        CANARY,
        mirror=Mirror(CANARY, percent),
    )


@asynccontextmanager
async def mirroring(percent: int = 100) -> AsyncIterator[tuple[Envoy, Server, Server]]:
    async with running_servers("stable", "candidate") as [stable, candidate]:
        plan = route(stable.address, candidate.address, percent)
        async with running_envoy(plan, members=6) as envoy:
            yield envoy, stable, candidate


async def post(envoy: Envoy, path: str = f"{MODEL}:predict", body: bytes = b"{}") -> str:
    """Who answered; fails where nobody did."""
    assert envoy.session is not None
    async with envoy.session.post(envoy.url + path, data=io.BytesIO(body)) as response:
        answer = await response.json()
        assert (response.status, answer["bytes"]) == (200, len(body)), answer
        return str(answer["server"])


async def call(channel: grpc.aio.Channel, body: bytes = b"x", method: str = PREDICT) -> str:
    answer = json.loads(await channel.unary_unary(method)(body, timeout=10))
    assert answer["bytes"] == len(body)
    return str(answer["server"])


def dial(envoy: Envoy) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"{envoy.address}:8500", options=UNLIMITED)


def memory(envoy: Envoy) -> int:
    """Resident MiB."""
    assert envoy.process is not None
    status = Path(f"/proc/{envoy.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


async def test_copies_are_whole_and_the_clients_get_stables_answers() -> None:
    async with mirroring() as (envoy, stable, candidate), dial(envoy) as channel:
        rejected = await envoy.stats(r"update_(rejected|failure)$")
        assert set(rejected.values()) == {0}
        assert "deprecated" not in envoy.log()
        for size in (2, 3 * MIB, 20 * MIB):
            assert await post(envoy, body=bytes(size)) == "stable"
            assert await call(channel, bytes(size)) == "stable"
        for verb in ("classify", "regress"):
            assert await post(envoy, f"{MODEL}:{verb}") == "stable"
        await wait_for("all copies", lambda: _has(candidate, stable))
        assert candidate.headers[0]["host"] == f"{envoy.address}-shadow:8501"
        lengths = [int(h["content-length"]) for h in candidate.headers if "content-length" in h]
        assert sorted(lengths) == sorted(
            int(h["content-length"]) for h in stable.headers if "content-length" in h
        )


async def _has(candidate: Server, stable: Server) -> bool:
    return candidate.calls == stable.calls


async def test_only_requests_that_go_by_weight_are_copied() -> None:
    async with mirroring() as (envoy, stable, candidate), dial(envoy) as channel:
        await post(envoy, f"{MODEL}/versions/7:predict")
        await post(envoy, f"{MODEL}/labels/stable:predict")
        assert (await envoy.get(f":8501{MODEL}"))[0] == 200
        assert (await envoy.get(f":8501{MODEL}/metadata"))[0] == 200
        await call(channel, method="/tensorflow.serving.PredictionService/GetModelMetadata")
        assert stable.calls.total() == 5
        await post(envoy)
        await wait_for("the one copy", lambda: _calls(candidate, 1))
        assert set(candidate.calls) == {f"POST {MODEL}:predict"}


async def _calls(server: Server, count: int) -> bool:
    return server.calls.total() >= count


async def test_the_share_of_copies_is_inside_its_bounds() -> None:
    """4.9 standard deviations: a false alarm once in a million."""
    total, share = 1500, 0.1
    async with mirroring(10) as (envoy, stable, candidate), dial(envoy) as channel:
        for _ in range(total // 50):  # never more copies at once than are sent
            await asyncio.gather(*(post(envoy) for _ in range(25)))
            await asyncio.gather(*(call(channel) for _ in range(25)))
        assert stable.calls.total() == total
        slack = 4.9 * math.sqrt(total * share * (1 - share))
        assert abs(candidate.calls.total() - total * share) <= slack


async def test_a_failing_candidate_is_counted_and_never_asked_again() -> None:
    """REST and gRPC, server and client errors, as the analysis reads them; stable has none."""
    async with mirroring() as (envoy, _, candidate), dial(envoy) as channel:
        for rest, code, errors in (
            (500, grpc.StatusCode.INTERNAL, (16, 0)),
            (400, grpc.StatusCode.INVALID_ARGUMENT, (0, 9)),
            (200, grpc.StatusCode.OK, (0, 0)),
        ):
            before = await counted(envoy)
            candidate.status, candidate.code = rest, code
            candidate.calls.clear()
            for _ in range(9):
                assert await post(envoy) == "stable"
            for _ in range(7):
                assert await call(channel) == "stable"
            await wait_for("copies", lambda: _calls(candidate, 16))
            await wait_for("counts", lambda before=before: _timed(envoy, before, 16))
            more = (await counted(envoy))[CANARY].since(before[CANARY])
            assert more is not None
            assert (more.requests, more.server_errors, more.client_errors) == (16, *errors)
            assert candidate.calls.total() == 16
        stable = (await counted(envoy))[STABLE]
        assert (stable.requests, stable.server_errors, stable.client_errors) == (48, 0, 0)


async def counted(envoy: Envoy) -> dict[str, Counts]:
    assert envoy.session is not None
    found = await count(envoy.session, envoy.address, (STABLE, CANARY))
    assert found is not None
    return dict(found)


async def _timed(envoy: Envoy, before: dict[str, Counts], more: int) -> bool:
    return (await counted(envoy))[CANARY].timed - before[CANARY].timed == more


async def test_a_slow_candidate_is_timed_and_slows_nobody() -> None:
    async with mirroring() as (envoy, _, candidate), dial(envoy) as channel:
        candidate.slow = 0.4
        before, begin = await counted(envoy), time.monotonic()
        for _ in range(10):
            await post(envoy)
            await call(channel)
        assert time.monotonic() - begin < 20 * 0.4 / 2
        await wait_for("all copies timed", lambda: _timed(envoy, before, 20))
        now = await counted(envoy)
        assert now[CANARY].slower_than(0.35) == 20
        assert now[STABLE].slower_than(0.35) == 0


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """A candidate that accepts connections, greets on HTTP/2, and reads nothing ever."""
    address, held = take_address(), []

    async def rest(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # SETTINGS
        await asyncio.sleep(0.05)
        writer.transport.pause_reading()  # type: ignore[attr-defined]

    servers = [
        await asyncio.start_server(handler, address, port, limit=1024)
        for handler, port in ((rest, 8501), (greet, 8500))
    ]
    try:
        yield address
    finally:
        for server in servers:
            server.close()
        for writer in held:
            writer.transport.abort()


async def test_a_candidate_that_never_reads_holds_up_nobody() -> None:
    """20 MiB each, on both protocols. With one set of clusters for requests and copies every one
    of these uploads hung."""
    body = bytes(20 * MIB)
    async with hanging() as candidate, running_servers("stable") as [stable]:
        plan = route(stable.address, candidate)
        async with running_envoy(plan, members=6) as envoy, dial(envoy) as channel:
            before = memory(envoy)
            for _ in range(6):
                for answer in (post(envoy, body=body), call(channel, body)):
                    assert await asyncio.wait_for(answer, SOON) == "stable"
            assert memory(envoy) - before < 14 * 20, "at most the bodies themselves"


async def test_what_a_hanging_candidate_can_hold_is_bounded() -> None:
    """400 calls each way: no more copies at once than allowed, all others are not sent, and nobody
    waits. Those that are cut off count as failures of the candidate, those not sent do not."""
    async with hanging() as candidate, running_servers("stable") as [stable]:
        plan = route(stable.address, candidate)
        async with running_envoy(plan, members=6) as envoy, dial(envoy) as channel:
            shorten(envoy, plan, "2s")
            for _ in range(40):
                await asyncio.gather(*(asyncio.wait_for(post(envoy), SOON) for _ in range(10)))
                await asyncio.gather(*(asyncio.wait_for(call(channel), SOON) for _ in range(10)))
            held = await envoy.stats(r"~mirror/(rest|grpc)\.upstream_rq_active$")
            assert len(held) == 2
            assert max(held.values()) <= AT_ONCE + 1  # Envoy's two workers count together
            dropped = await envoy.stats(r"~mirror/(rest|grpc)\.upstream_rq_active_overflow$")
            assert min(dropped.values()) > 0
            await wait_for("the cut", lambda: _idle(envoy), 10)
            found = (await counted(envoy))[CANARY]
            assert found.requests == found.server_errors
            assert 2 * AT_ONCE <= found.requests < 800 - sum(dropped.values()) + 1
            assert (await counted(envoy))[STABLE].server_errors == 0


def shorten(envoy: Envoy, plan: RoutePlan, longest: str) -> None:
    """The same files with another limit of time: nobody wants to wait a minute here."""
    files = dict(build_files(plan, envoy.place))
    assert files["cds.json"].count(f'"{LONGEST}"') == 2
    files["cds.json"] = files["cds.json"].replace(f'"{LONGEST}"', f'"{longest}"')
    files["cds.json"] = files["cds.json"].replace('"version_info": "', '"version_info": "short-')
    envoy.write_files(files)


async def _idle(envoy: Envoy) -> bool:
    return not any((await envoy.stats(r"~mirror/(rest|grpc)\.upstream_rq_active$")).values())


@contextmanager
def unconnectable() -> Iterator[str]:
    """A candidate whose kernel answers no connection any more: the listen queue is full."""
    address = take_address()
    sockets = []
    for port in (8501, 8500):
        listener = socket.create_server((address, port), backlog=0)
        sockets.append(listener)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, port))
            sockets.append(filler)
    try:
        yield address
    finally:
        for one in sockets:
            one.close()


async def test_connections_that_never_come_about_hold_up_nobody() -> None:
    """Before health checks find out, too: they are told to take it for healthy here."""
    body = bytes(20 * MIB)
    with unconnectable() as candidate:
        async with running_servers("stable") as [stable]:
            plan = route(stable.address, candidate)
            async with running_envoy(plan, members=2) as envoy, dial(envoy) as channel:
                trust(envoy, plan)
                await wait_for("hosts", lambda: envoy.has_members(6))
                begin = time.monotonic()
                for _ in range(5):
                    for answer in (post(envoy, body=body), call(channel, body)):
                        assert await asyncio.wait_for(answer, SOON) == "stable"
                failed = await envoy.stats(r"~mirror/.*upstream_cx_connect_timeout$")
                assert sum(failed.values()) > 0
                assert time.monotonic() - begin < 10 * SOON


def trust(envoy: Envoy, plan: RoutePlan) -> None:
    """The same files without health checks."""
    files = dict(build_files(plan, envoy.place))
    listing = json.loads(files["cds.json"])
    for cluster in listing["resources"]:
        del cluster["health_checks"]
    envoy.write_files({**files, "cds.json": json.dumps({**listing, "version_info": "trust"})})


async def test_a_candidate_that_comes_and_goes_costs_no_request() -> None:
    async with mirroring() as (envoy, _, candidate), busy_clients(envoy.address) as tally:
        for _ in range(3):
            seen = tally.total
            await candidate.stop()
            await wait_for("more answers", lambda seen=seen: _reached(tally, seen + 200), 30)
            await candidate.start()
            await wait_for("copies again", lambda: envoy.has_members(6))
        assert tally.failures == []
        assert set(tally.servers) == {"stable"}


async def _reached(tally: object, total: int) -> bool:
    return tally.total >= total  # type: ignore[attr-defined,no-any-return]


async def test_a_retried_request_is_copied_once() -> None:
    """One of stable's two pods is dead: some requests take two tries."""
    async with running_servers("stable", "candidate") as [stable, candidate]:
        plan = route(stable.address, candidate.address)
        both = (plan.backends[0], Backend(STABLE, 7, 100, (stable.address, take_address())))
        plan = RoutePlan("flowers", "shop", "flowers", both, STABLE, CANARY, mirror=plan.mirror)
        async with running_envoy(plan, members=6) as envoy:
            trust(envoy, plan)
            await wait_for("the dead one", lambda: envoy.has_members(8))
            for _ in range(60):
                assert await post(envoy) == "stable"
            retried = await envoy.stats(r"upstream_rq_retry_success$")
            assert sum(retried.values()) > 0
            await wait_for("copies", lambda: _calls(candidate, 60))
            assert candidate.calls.total() == 60


@pytest.mark.parametrize("first", ["cds.json", "rds.json"])
async def test_clusters_and_routes_may_arrive_in_any_order(first: str) -> None:
    """Both files change at once and Envoy takes them one after the other; a route whose mirror
    cluster is missing serves as if it had none."""
    async with running_servers("stable", "candidate") as [stable, candidate]:
        plan = route(stable.address, candidate.address)
        bare = RoutePlan("flowers", "shop", "flowers", plan.backends, STABLE, CANARY)
        async with running_envoy(bare, members=4) as envoy, busy_clients(envoy.address) as tally:
            for before, after in ((bare, plan), (plan, bare)) * 3:
                old, new = build_files(before, envoy.place), build_files(after, envoy.place)
                envoy.write_files({**old, first: new[first]})
                seen = tally.total
                await wait_for("answers", lambda seen=seen: _reached(tally, seen + 60), 30)
                wanted = envoy.write(after)
                await wait_for("the new table", lambda wanted=wanted: envoy.uses(wanted))
        assert tally.failures == []
        assert set(tally.servers) == {"stable"}
        assert candidate.calls.total() > 0
