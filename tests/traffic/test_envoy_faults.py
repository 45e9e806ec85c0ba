"""What a real Envoy does when pods, names and DNS servers come and go under real clients."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections import Counter

import aiohttp
import grpc
import grpc.aio
import pytest

from savedmodel_operator.workload.envoy import Backend, RoutePlan, build_files
from traffic.backends import PREDICT as GRPC_PREDICT
from traffic.backends import running_servers
from traffic.clients import busy_clients
from traffic.dns_server import A_RECORD, running_name_server
from traffic.envoy_lab import Envoy, running_envoy, take_address, wait_for

STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"
NAME = f"{STABLE}.shop.svc.cluster.local"
PREDICT = "/v1/models/flowers:predict"


def one_backend(*addresses: str) -> RoutePlan:
    """All traffic to one revision; without addresses it is found by DNS."""
    return RoutePlan(
        "flowers", "shop", "flowers", (Backend(STABLE, 7, 100, addresses),), stable=STABLE
    )


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (RoutePlan("flowers", "shop", "flowers"), "no version of 'flowers' is serving yet"),
        (
            RoutePlan("flowers", "shop", "flowers", (Backend(STABLE, 7, 0),), canary=STABLE),
            "no version of 'flowers' is serving yet",
        ),
        (one_backend("127.0.0.254"), "no healthy upstream"),
    ],
    ids=["no backend", "a first candidate without weight", "no healthy pod"],
)
async def test_nothing_to_serve_is_503_in_json(route: RoutePlan, words: str) -> None:
    async with running_envoy(route) as envoy:
        for path in (PREDICT, "/v1/models/flowers", "/v1/models/flowers/metadata"):
            status, body = await envoy.get(f":8501{path}")
            assert (status, words in body.decode()) == (503, True)


async def test_the_routers_own_failures_name_the_version_that_was_to_answer() -> None:
    """Whoever counts failures by version counts these, too: the operator and its tests do."""
    async with (
        running_envoy(one_backend("127.0.0.254")) as envoy,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(envoy.url + PREDICT, data=b"{}") as answer:
            assert (answer.status, answer.headers["x-savedmodel-version"]) == (503, "7")
        async with grpc.aio.insecure_channel(f"{envoy.address}:8500") as channel:
            call = channel.unary_unary(GRPC_PREDICT)(b"", timeout=20)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            # An answer that is nothing but a failure has all of its headers at the end.
            assert dict(await call.trailing_metadata())["x-savedmodel-version"] == "7"


async def test_a_long_model_name_and_three_revisions_are_accepted() -> None:
    name = "m" * 124 + "._-9"
    backends = (
        Backend("flowers-v9223372036854775807-aaaaaaaa", 2**63 - 1, 0),
        Backend("flowers-v8-bbbbbbbb", 8, 25),
        Backend("flowers-v8-cccccccc", 8, 75),
    )
    route = RoutePlan("flowers", "shop", name, backends, "flowers-v8-cccccccc")
    async with running_envoy(route) as envoy:
        status, body = await envoy.get(f":8501/v1/models/{name}/versions/9")
        assert (status, b"available: 8, 9223372036854775807" in body) == (404, True)
        rejected = await envoy.stats(r"update_(rejected|failure)$")
        assert set(rejected.values()) == {0}


async def test_a_dead_pod_of_two_costs_nothing_even_before_it_is_ejected() -> None:
    """The second address never answered: retries on another host hide what DNS still lists."""
    async with running_servers("alive") as [alive]:
        route = one_backend(alive.address, take_address())
        async with running_envoy(route, members=2) as envoy, busy_clients(envoy.address) as tally:
            await wait_for("2000 answers", _reached(tally, 2000), 60)
        assert tally.failures == []


async def test_big_bodies_survive_a_retry() -> None:
    """A pod dies; before it is ejected, calls to it are retried with their whole body."""
    async with running_servers("first", "second") as [first, second]:
        route = one_backend(first.address, second.address)
        async with running_envoy(route, members=4) as envoy, aiohttp.ClientSession() as session:

            async def send() -> None:
                body = io.BytesIO(bytes(20 * 1024 * 1024))
                async with session.post(envoy.url + PREDICT, data=body) as answer:
                    assert answer.status == 200, await answer.text()
                    assert (await answer.json())["bytes"] == 20 * 1024 * 1024

            await first.stop()
            await asyncio.gather(*(send() for _ in range(12)))  # all before it can be ejected
            stats = await envoy.stats(r"cluster\..*rest.*upstream_rq_retry_success$")
            assert sum(stats.values()) >= 1


async def test_what_reached_a_server_is_never_sent_twice() -> None:
    """A prediction may be counted or billed; an error of the model is the client's to see."""
    async with running_servers("first", "second") as servers:
        route = one_backend(*(s.address for s in servers))
        async with running_envoy(route, members=4) as envoy:
            for status in (500, 502, 503, 504):
                for server in servers:
                    server.status = status
                    server.calls.clear()
                assert (await envoy.get(f":8501{PREDICT}"))[0] == status
                assert sum((s.calls for s in servers), Counter()).total() == 1


async def test_a_pod_that_stops_listening_is_ejected_within_three_seconds() -> None:
    async with running_servers("first", "second") as [first, second]:
        route = one_backend(first.address, second.address)
        async with running_envoy(route, members=4) as envoy:
            await first.stop()
            await wait_for("ejection", lambda: envoy.has_members(2), within=3.0)


async def test_names_are_asked_whole_and_once_a_second() -> None:
    """No search domains: five questions where one does would load the cluster's DNS."""
    async with running_servers("pod") as [pod], running_name_server() as dns:
        dns.hosts[NAME] = (pod.address,)
        async with running_envoy(one_backend(), members=2, dns=dns.address):
            begin, before = time.monotonic(), dns.asked.copy()
            await wait_for("more questions", _asked(dns.asked, before.total() + 6))
            seconds = time.monotonic() - begin
        assert set(dns.asked) == {(NAME, A_RECORD)}
        assert 2.0 < seconds < 6.0  # two clusters ask once a second each: three rounds


async def test_a_silent_dns_server_keeps_no_listener_closed() -> None:
    async with running_name_server() as dns:
        dns.silent = True
        envoy = Envoy(dns=dns.address)
        envoy.write(one_backend())
        begin = time.monotonic()
        await envoy.start()
        assert (await envoy.get(f":8501{PREDICT}"))[0] == 503
        assert time.monotonic() - begin < 5.0
        await envoy.stop()


async def test_hosts_stay_while_dns_is_silent_and_go_when_the_name_is_empty() -> None:
    async with running_servers("pod") as [pod], running_name_server() as dns:
        dns.hosts[NAME] = (pod.address,)
        async with (
            running_envoy(one_backend(), members=2, dns=dns.address) as envoy,
            busy_clients(envoy.address) as tally,
        ):
            dns.silent = True
            before = dns.asked.total()
            await wait_for("five unanswered questions", _asked(dns.asked, before + 5), 20)
            assert tally.failures == []
            assert await envoy.has_members(2)
            dns.silent = False
            del dns.hosts[NAME]
            await wait_for("no host", lambda: envoy.has_members(0))


async def test_a_pod_deleted_gracefully_costs_nothing() -> None:
    """Deletion as the cluster does it: out of DNS, some seconds of preStop, then killed."""
    async with running_servers("first", "second") as pods, running_name_server() as dns:
        first, second = pods
        dns.hosts[NAME] = (first.address, second.address)
        async with (
            running_envoy(one_backend(), members=4, dns=dns.address) as envoy,
            busy_clients(envoy.address) as tally,
        ):
            await wait_for("both serve", _all_in(tally.servers, "first", "second"))
            dns.hosts[NAME] = (second.address,)
            await wait_for("only one is left", lambda: envoy.has_members(2), within=3.0)
            assert sum(first.calls.values()) > 0
            quiet = tally.servers["first"]
            await first.stop()
            await wait_for("more answers", _reached(tally, tally.total + 500), 30)
            assert tally.servers["first"] <= quiet + 2  # at most what was in flight
        assert tally.failures == []


async def test_a_new_pod_is_used_without_a_word_to_the_router() -> None:
    async with running_servers("first", "second") as [first, second], running_name_server() as dns:
        dns.hosts[NAME] = (first.address,)
        async with (
            running_envoy(one_backend(), members=2, dns=dns.address) as envoy,
            busy_clients(envoy.address) as tally,
        ):
            dns.hosts[NAME] = (first.address, second.address)
            await wait_for("the second serves", _all_in(tally.servers, "second"), 5)
        assert tally.failures == []


async def test_a_slow_call_outlives_its_pods_removal() -> None:
    """In flight when its pod leaves DNS: the call is finished, not cut."""
    async with running_servers("pod", slow=3.0) as [pod], running_name_server() as dns:
        dns.hosts[NAME] = (pod.address,)
        async with running_envoy(one_backend(), members=2, dns=dns.address) as envoy:
            call = asyncio.create_task(envoy.get(f":8501{PREDICT}"))
            await wait_for("the call is there", _all_in(pod.calls, f"GET {PREDICT}"))
            del dns.hosts[NAME]
            await wait_for("no host", lambda: envoy.has_members(0), within=2.5)
            assert not call.done()
            assert (await call)[0] == 200


async def test_an_operator_upgrade_that_changes_every_file_costs_nothing() -> None:
    """Another release may write other clusters and listeners: both are replaced under load."""
    async with running_servers("first", "second") as [first, second]:
        route = one_backend(first.address, second.address)
        async with (
            running_envoy(route, members=4) as envoy,
            busy_clients(envoy.address) as tally,
        ):
            await wait_for("200 answers", _reached(tally, 200))
            files = build_files(route, envoy.place)
            for seconds in ("2s", "3s"):
                envoy.write_files(
                    {
                        "cds.json": _change(files["cds.json"], "connect_timeout", seconds),
                        "lds.json": _change(files["lds.json"], "request_headers_timeout", seconds),
                        "rds.json": _change(files["rds.json"], "idle_timeout", seconds),
                    }
                )
                await wait_for("500 more answers", _reached(tally, tally.total + 500), 30)
            updates = await envoy.stats(r"(cds|lds|rds\.routes)\.update_success$")
            assert [v for k, v in updates.items() if "cds" in k or "lds" in k] == [3, 3]
        assert tally.failures == []


def _change(text: str, field: str, value: str) -> str:
    changed = re.sub(rf'"{field}": "[^"]*"', f'"{field}": "{value}"', text)
    assert changed != text
    return changed


def _reached(tally, count):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return tally.total >= count

    return check


def _asked(asked, count):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return asked.total() >= count

    return check


def _all_in(counter, *keys):  # type: ignore[no-untyped-def]
    async def check() -> bool:
        return all(counter[key] for key in keys)

    return check
