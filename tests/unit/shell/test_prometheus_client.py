"""Asking a Prometheus over real HTTP: what it may answer, and where nobody is asked at all."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.analysis.answer import ERROR_TYPES, read
from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.observe.prometheus import MAX_BYTES, PrometheusClient, Server
from savedmodel_operator.storage.guard import EndpointGuard

IP = "127.77.10.1"
METADATA_SERVICE = "192.0.0.192"  # no machine routes to it
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def prometheus(handler: Handler, path: str = "/api/v1/query") -> AsyncIterator[str]:
    """A server on loopback; its address."""
    app = web.Application()
    app.router.add_get(path, handler)
    app.router.add_get("/elsewhere", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, IP, 0)
    await site.start()
    try:
        yield f"http://{IP}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def resolver(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Names of this test alone; nothing leaves this machine."""
    if host == "nobody.invalid":
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    known = {"prometheus.mine": IP, "metadata.mine": METADATA_SERVICE}
    return [(socket.AF_INET, (known.get(host, host), port))]


async def ask(address: str, *allowed: str, query: str = "up", patience: float = 5.0) -> Answer:
    client = PrometheusClient(EndpointGuard(allowed or (IP,), resolver=resolver), patience)
    try:
        return await client.ask(Server(address), query)
    finally:
        await client.close()


def vector(*values: str, kind: str = "vector") -> dict[str, Any]:
    result: Any = [{"metric": {"pod": str(n)}, "value": [7.5, v]} for n, v in enumerate(values)]
    return {"status": "success", "data": {"resultType": kind, "result": result}}


async def test_the_query_goes_there_and_one_number_comes_back() -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(dict(request.query))
        return web.json_response(vector("0.25"))

    query = 'sum(rate(x{a="ü&="}[1m])) + 1'
    async with prometheus(handler) as address:
        for end in ("", "/"):
            assert await ask(address + end, query=query) == Answer(0.25, 7.5)
    assert seen == [{"query": query, "timeout": "5s"}] * 2
    async with prometheus(handler, "/prom/api/v1/query") as address:
        assert (await ask(f"{address}/prom")).value == 0.25
        assert (await ask(address)).trouble == "it answered 404"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (vector("3"), Answer(3.0, 7.5)),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "2.5"]}}, Answer(2.5, 1)),
        (vector("+Inf"), Answer(float("inf"), 7.5)),
        (vector(), "no series matches it"),
        (vector("1", "1"), "several series instead of one: use sum()"),
        (vector("1", kind="matrix"), "no instant vector and no scalar"),
        (vector("1", kind="string"), "no instant vector and no scalar"),
        (vector("one"), "it gives no number"),
        (vector("1") | {"status": "error"}, "it answered without success"),
        ({"status": "success"}, "without success"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"histogram": [1, {}]}]}},
         "it gives no number"),
        ({"status": "success", "data": {"resultType": "vector", "result": "x"}}, "no instant vector"),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "1", 2]}}, "no number"),
        ({"status": "success", "data": {"resultType": "scalar", "result": ["NaN", "1"]}}, "no time"),
        ([], "its answer is no JSON object"),
        ("<html>secret</html>", "its answer is no JSON object"),
    ],
)  # fmt: skip
async def test_what_it_may_say(body: Any, answer: Answer | str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=body if isinstance(body, str) else json.dumps(body))

    async with prometheus(handler) as address:
        found = await ask(address)
    if isinstance(answer, Answer):
        assert found == answer
    else:
        assert found.value is None
        assert answer in found.trouble


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (400, {"errorType": "bad_data", "error": "secret"}, "it answered 400 (bad_data)"),
        (422, {"errorType": "execution", "error": "secret"}, "it answered 422 (execution)"),
        (503, {"errorType": "secret"}, "it answered 503"),
        (503, {"errorType": ["secret"]}, "it answered 503"),
        (500, "secret", "it answered 500"),
        (401, None, "it answered 401"),
        (204, None, "it answered 204"),
    ],
)
async def test_no_word_of_a_body_is_passed_on(status: int, body: Any, trouble: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=None if status == 204 else json.dumps(body))

    async with prometheus(handler) as address:
        assert await ask(address) == Answer(trouble=trouble)


async def test_redirects_are_not_followed() -> None:
    followed: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        followed.append(request.path)
        if request.path == "/elsewhere":
            return web.json_response(vector("1"))
        raise web.HTTPFound("/elsewhere")

    async with prometheus(handler) as address:
        assert "it redirects (302)" in (await ask(address)).trouble
    assert followed == ["/api/v1/query"]


async def test_endless_and_slow_answers_end() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4 * MAX_BYTES // 4096):
            await response.write(b" " * 4096)
        return response

    async with prometheus(handler) as address:
        assert (await ask(address)).trouble == "the answer is longer than 256 KiB"
    with socket.create_server((IP, 0)) as silent:  # takes connections and says nothing
        address = f"http://{IP}:{silent.getsockname()[1]}"
        assert (await ask(address, patience=0.2)).trouble == "no whole answer within 0.2 s"


@pytest.mark.parametrize(
    ("address", "allowed", "trouble"),
    [
        ("http://127.77.10.1:{port}", "10.0.0.1", "the chart value prometheus.allowedAddresses"),
        ("http://127.77.10.1:{port}", "127.77.10.1:1", "no address that the operator may ask"),
        ("http://localhost:{port}", "127.77.10.1", "localhost is no address that"),
        ("http://127.77.10.2:{port}", "127.77.10.1", "127.77.10.2 is no address that"),
        ("http://mine:{port}", "*.mine", "mine is no address that the operator may ask"),
        ("http://metadata.mine:{port}", "*.mine",
         "metadata.mine is a metadata service, which the operator must not ask"),
        ("ftp://127.77.10.1", "127.77.10.1", "no http(s)://HOST[:PORT]"),
        ("http://127.77.10.1:99999", "127.77.10.1", "no http(s)://HOST[:PORT]"),
        ("http://nobody.invalid:{port}", "nobody.invalid",
         "the name nobody.invalid cannot be resolved"),
    ],
)  # fmt: skip
async def test_only_allowed_addresses_are_asked(address: str, allowed: str, trouble: str) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(vector("1"))

    async with prometheus(handler) as here:
        found = await ask(address.replace("{port}", here.rpartition(":")[2]), allowed)
    assert trouble in found.trouble
    assert asked == []


async def test_an_allowed_name_is_resolved_by_the_guard() -> None:
    hosts: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.json_response(vector("1"))

    async with prometheus(handler) as address:
        port = address.rpartition(":")[2]
        for allowed in ("*.mine", f"prometheus.mine:{port}"):
            assert (await ask(f"http://prometheus.mine:{port}", allowed)).value == 1.0
    assert hosts == [f"prometheus.mine:{port}"] * 2, "the host's own name, at the judged address"


async def test_nobody_there() -> None:
    with socket.create_server((IP, 0)) as taken:
        port = taken.getsockname()[1]
    assert (await ask(f"http://{IP}:{port}")).trouble == f"{IP}:{port} cannot be reached"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.just("vector"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["status", "data", "resultType", "result", "value", "errorType"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.integers(100, 599), JSON)
def test_any_answer_is_a_number_or_a_trouble(status: int, body: Any) -> None:
    found = read(status, json.dumps(body).encode())
    assert (found.value is None) == bool(found.trouble)
    for data in (
        {"resultType": "vector", "result": body},
        {"resultType": "scalar", "result": body},
    ):
        found = read(200, json.dumps({"status": "success", "data": data}).encode())
        assert (found.value is None) == bool(found.trouble)


def test_hostile_nesting() -> None:
    assert read(200, b"[" * 200_000).trouble == "its answer is no JSON object"
    assert "bad_data" in ERROR_TYPES
