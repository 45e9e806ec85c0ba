"""The clients' judgement, against servers that lie: each lie is told as a failure."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from aiohttp import web

from lab import clients
from lab.clients import PREDICT, GrpcClient, Outcome, RestClient
from lab.questions import CalcQuestion, FlowersQuestion, WideQuestion, judge, read_rest

QUESTION = CalcQuestion()
RIGHT = {"x-savedmodel-version": "2", "x-savedmodel-revision": "calc-v2-aaaaaaaa"}


def answer_of(version: int, index: int = 5) -> bytes:
    rows = QUESTION.outputs(index, version)["y"].tolist()
    return json.dumps({"predictions": rows}).encode()


@asynccontextmanager
async def rest_server(
    body: bytes, headers: dict[str, str], status: int = 200
) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, headers=headers, status=status)

    async with serving(answer) as port:
        yield port


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/v1/models/calc:predict", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask_rest(body: bytes, headers: dict[str, str], status: int = 200) -> Outcome:
    async with rest_server(body, headers, status) as port:
        client = RestClient("127.0.0.1", QUESTION, 5.0, keep_alive=True, port=port)
        try:
            return await client.ask(5)
        finally:
            await client.close()


async def test_a_right_answer_counts_for_its_version_and_revision() -> None:
    assert await ask_rest(answer_of(2), RIGHT) == Outcome(2, "calc-v2-aaaaaaaa", None)


LIES = {
    "another version computed it": (answer_of(1), RIGHT, 200, "'y' is"),
    "a header is missing": (answer_of(2), {}, 200, "x-savedmodel-version"),
    "not even JSON": (b"<html>", RIGHT, 200, "not an answer"),
    "an error": (b'{"error": "no healthy upstream"}', RIGHT, 503, "HTTP 503"),
    "a row is missing": (b'{"predictions": [12.0]}', RIGHT, 200, "shape"),
}


@pytest.mark.parametrize(("body", "headers", "status", "words"), LIES.values(), ids=LIES)
async def test_a_lie_is_a_failure(
    body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    outcome = await ask_rest(body, headers, status)
    assert words in (outcome.failure or "")


async def test_a_failure_tells_whose_it_is() -> None:
    outcome = await ask_rest(b'{"error": "assertion failed"}', RIGHT, 400)
    assert (outcome.version, outcome.revision) == (2, "calc-v2-aaaaaaaa")
    assert "HTTP 400" in (outcome.failure or "")

    async def refuse(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "damaged", tuple(RIGHT.items()))
        return b""

    async with grpc_client(refuse) as client:
        wanted = Outcome(2, "calc-v2-aaaaaaaa", "DATA_LOSS: damaged")
        assert await client.ask(0) == wanted


async def test_nobody_there_is_a_failure() -> None:
    async with rest_server(b"", {}) as port:
        pass
    client = RestClient("127.0.0.1", QUESTION, 5.0, keep_alive=False, port=port)
    outcome = await client.ask(0)
    await client.close()
    assert "Connect" in (outcome.failure or "")


Handler = Callable[[bytes, Any], Awaitable[bytes]]


@asynccontextmanager
async def grpc_client(handler: Handler) -> AsyncIterator[GrpcClient]:
    server = grpc.aio.server()
    service, method = PREDICT.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = clients.GrpcClient("127.0.0.1", QUESTION, 5.0, port=port)
    try:
        yield client
    finally:
        await client.close()
        await server.stop(None)


async def test_a_refused_call_is_a_failure_with_its_code() -> None:
    async def refuse(_: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
        return b""

    async with grpc_client(refuse) as client:
        assert (await client.ask(0)).failure == "NOT_FOUND: Servable not found"


async def test_an_answer_without_its_version_is_a_failure() -> None:
    async def answer(_: bytes, __: Any) -> bytes:
        return b""

    async with grpc_client(answer) as client:
        assert "x-savedmodel-version" in ((await client.ask(0)).failure or "")


def test_an_output_that_is_missing_is_a_failure() -> None:
    question = FlowersQuestion()
    whole = dict(question.outputs(3, 2))
    assert judge(question, 3, 2, whole) is None
    del whole["best"]
    assert judge(question, 3, 2, whole) == "version 2 answered without 'best'"


def test_rows_of_several_outputs_become_columns() -> None:
    question = FlowersQuestion()
    wanted = question.outputs(3, 2)
    rows = [
        {"scores": scores, "best": best}
        for scores, best in zip(wanted["scores"].tolist(), wanted["best"].tolist(), strict=True)
    ]
    seen = read_rest(question, 3, 2, json.dumps({"predictions": rows}).encode())
    assert judge(question, 3, 2, seen) is None
    assert judge(question, 3, 1, seen) is not None


def test_a_wide_answer_is_judged_number_by_number() -> None:
    question = WideQuestion(5000)
    rows = question.outputs(7, 2)["y"]
    assert (
        judge(
            question,
            7,
            2,
            read_rest(question, 7, 2, json.dumps({"predictions": rows.tolist()}).encode()),
        )
        is None
    )
    rows[4321] += 1
    assert judge(question, 7, 2, {"y": rows}) is not None


async def test_a_slow_reader_keeps_its_server_waiting_and_judges_the_whole_answer() -> None:
    question, size, rate = WideQuestion(3), 8 * 2**20, 4 * 2**20
    right = json.dumps({"predictions": question.outputs(5, 2)["y"].tolist()}).encode()
    sent: list[float] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers=RIGHT)
        await response.prepare(request)
        begin = time.monotonic()
        await response.write(right)
        for _ in range(size // 65536):
            await response.write(b" " * 65536)
        sent.append(time.monotonic() - begin)
        return response

    async with serving(answer) as port:
        client = RestClient("127.0.0.1", question, 60, keep_alive=True, port=port, read_rate=rate)
        begin = time.monotonic()
        outcome = await client.ask(5)
        took = time.monotonic() - begin
        await client.close()
    assert outcome == Outcome(2, "calc-v2-aaaaaaaa", None)
    assert took >= size / rate
    # The kernel takes at most 4 MiB or so off the server's hands; the rest waits for the reader.
    assert sent[0] > took / 4
