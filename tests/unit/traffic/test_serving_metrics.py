"""Latencies from TensorFlow Serving's metrics page: what is counted, what is passed over, and pages
that no server of good will would send. Over real HTTP, at the port that model pods have."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api import names
from savedmodel_operator.traffic import serving_metrics
from savedmodel_operator.traffic.serving_metrics import BUCKET, MAX_BYTES, parse
from savedmodel_operator.workload.lock import METRICS_PATH

IP = "127.77.9.1"
REST, GRPC = 'API="predict",entrypoint="REST"', 'API="Predict",entrypoint="GRPC"'


def histogram(labels: str, *cumulative: float | str, model: str = "m") -> str:
    """Buckets up to 10 µs, 18 µs, … and the open one."""
    bounds = [f"{10 * 1.8**n:.6g}" for n in range(len(cumulative) - 1)] + ["+Inf"]
    prefix = f'{BUCKET}{{model_name="{model}",{labels}'
    return "".join(f'{prefix},le="{b}"}} {n}\n' for b, n in zip(bounds, cumulative, strict=True))


PAGE = (
    "# TYPE :tensorflow:serving:request_count counter\n"
    ':tensorflow:serving:request_count{model_name="m",status="OK"} 900\n'
    "# TYPE :tensorflow:serving:request_latency histogram\n"
    + histogram('API="",entrypoint="REST"', 500, 500, 500)
    + histogram(GRPC, 1, 3, 3)
    + histogram(REST, 10, 14, 15)
    + histogram(REST, 70, 70, 70, model="another")
    + ':tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 15\n'
    + ':tensorflow:serving:runtime_latency_bucket{model_name="m",API="Predict",le="+Inf"} 99\n'
)


def test_predictions_of_this_model_count_and_probes_do_not() -> None:
    found = parse(PAGE.encode(), "m")
    edges = sorted(found.latency)
    assert [found.latency[e] for e in edges] == [11, 6, 1]
    assert [edge for pair in edges for edge in pair] == pytest.approx(
        [0, 1e-5, 1e-5, 1.8e-5, 1.8e-5, math.inf]
    )
    assert (found.requests, found.timed) == (18, 18)
    assert (found.server_errors, found.client_errors) == (0, 0)


@pytest.mark.parametrize("page", ["", "\n\n", "# nothing yet\n", histogram(REST, 1, 1, model="x")])
def test_a_server_that_answered_nobody_has_zeros(page: str) -> None:
    assert parse(page.encode(), "m") == Counts()


@pytest.mark.parametrize(
    "page",
    [
        histogram(REST, 3, "NaN", 5),
        histogram(REST, 3, 2, 5),
        histogram(REST, -1, 2, 5),
        histogram(REST, 0.5, 2, 5),
        histogram(REST, 1, 2, "+Inf"),
        histogram(REST, 1, 2, 1e300),
        histogram(REST, 1, 2, 5) * 2,
        histogram(REST, 1, 2, 5).replace('le="+Inf"', 'le="20"'),
        histogram(REST, 1, 2, 5).replace('le="10"', 'le="NaN"'),
        histogram(REST, 1, 2, 5).replace('le="10"', 'le="-10"'),
        histogram(REST, 1, 2, 5).replace('le="10"', 'le="ten"'),
        histogram(REST, 1, 2, 5).replace(',le="10"', ""),
        histogram(REST, 1, 2, 5)[:-20],
        "".join(histogram(f'API="predict",entrypoint="{n}"', 1, 2) for n in range(2000)),
        histogram(REST, 1, 2, 5).replace('"m"', '"\udcff"'),
    ],
)
def test_damage_is_no_count(page: str) -> None:
    with pytest.raises(ValueError):
        parse(page.encode(errors="surrogateescape"), "m")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PAGE.splitlines()), st.text(max_size=40)), max_size=20))
def test_any_page_is_counts_or_damage(lines: list[str]) -> None:
    page = "\n".join(line if line[:1] == ":" else f"{BUCKET}{{{line}" for line in lines)
    try:
        found = parse(page.encode(), "m")
    except ValueError:
        return
    assert found.since(Counts()) == found
    assert found.requests == found.timed >= 0


async def ask(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Counts | None:
    app = web.Application()
    app.router.add_get(METRICS_PATH, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, IP, names.PORT_REST).start()
        async with aiohttp.ClientSession() as session:
            return await serving_metrics.count(session, IP, "m")
    finally:
        await runner.cleanup()


async def test_the_page_is_on_the_rest_port() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=PAGE)

    assert await ask(handler) == parse(PAGE.encode(), "m")


@pytest.mark.parametrize("what", ["error", "redirect", "endless", "damaged", "empty"])
async def test_what_is_no_answer_is_none_and_nothing_is_raised(what: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if what == "redirect":
            raise web.HTTPFound("http://127.77.9.1:8501" + METRICS_PATH + "?")
        if what == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(2 * MAX_BYTES // 65536):
                await response.write(b"x" * 65536)
            return response
        texts = {"error": PAGE, "damaged": histogram(REST, 2, 1), "empty": ""}
        return web.Response(text=texts[what], status=500 if what == "error" else 200)

    assert await ask(handler) == (Counts() if what == "empty" else None)


async def test_nobody_there() -> None:
    async with aiohttp.ClientSession() as session:
        assert await serving_metrics.count(session, "127.77.9.2", "m") is None
