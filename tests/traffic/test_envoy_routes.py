"""What a real Envoy does with the files that we build: who answers which call.

Two revisions, v7 stable and v8 canary, behind one router.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from savedmodel_operator.workload.envoy import Backend, RoutePlan
from traffic.backends import PREDICT, UNLIMITED, Server, running_servers
from traffic.envoy_lab import Envoy, running_envoy, wait_for

STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"
MODEL = "/v1/models/flowers"
MIB = 1024 * 1024


@dataclass
class Lab:
    """One Envoy with both servers."""

    envoy: Envoy
    stable: Server
    canary: Server
    session: aiohttp.ClientSession
    channel: grpc.aio.Channel

    def route(self, weight: int) -> RoutePlan:
        """`weight` percent for the canary."""
        return RoutePlan(
            name="flowers",
            namespace="shop",
            model_name="flowers",
            backends=(
                Backend(STABLE, 7, 100 - weight, (self.stable.address,)),
                Backend(CANARY, 8, weight, (self.canary.address,)),
            ),
            stable=STABLE,
            canary=CANARY,
        )

    async def use(self, route: RoutePlan) -> None:
        """Write it and wait until it is in use."""
        wanted = self.envoy.write(route)
        await wait_for("the new route table", lambda: self.envoy.uses(wanted))

    async def rest(
        self, path: str, method: str = "POST", **options: object
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """(status, JSON, headers)."""
        url = self.envoy.url + path
        async with self.session.request(method, url, **options) as response:  # type: ignore[arg-type]
            headers = {k.lower(): v for k, v in response.headers.items()}
            return response.status, json.loads(await response.read()), headers

    async def call(
        self, method: str = PREDICT, body: bytes = b"x", version: str | None = None
    ) -> tuple[dict[str, object], str]:
        """(answer, version header) of a gRPC call. Raises grpc.aio.AioRpcError."""
        metadata = (("x-savedmodel-version", version),) if version else ()
        call = self.channel.unary_unary(method)(body, metadata=metadata, timeout=30)
        answer = await call
        initial = dict(await call.initial_metadata())
        return json.loads(answer), str(initial["x-savedmodel-version"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with running_servers("stable", "canary") as (stable, canary):
        blank = Lab(None, stable, canary, None, None)  # type: ignore[arg-type]
        async with (
            running_envoy(blank.route(0), members=4) as envoy,
            aiohttp.ClientSession() as session,
            grpc.aio.insecure_channel(f"{envoy.address}:8500", options=UNLIMITED) as channel,
        ):
            yield Lab(envoy, stable, canary, session, channel)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_envoy_accepts_every_file(lab: Lab) -> None:
    rejected = await lab.envoy.stats(r"update_(rejected|failure)$")
    assert len(rejected) >= 3
    assert set(rejected.values()) == {0}
    assert "deprecated" not in lab.envoy.log()


async def test_a_proved_table_holds_on_every_old_connection(lab: Lab) -> None:
    async def ask(channel: grpc.aio.Channel) -> str:
        return str(json.loads(await channel.unary_unary(PREDICT)(b"x", timeout=30))["server"])

    target = f"{lab.envoy.address}:8500"
    channels = [
        grpc.aio.insecure_channel(
            target, options=[*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
        )
        for _ in range(12)
    ]
    for weight in [0, 100] * 20:
        await lab.use(lab.route(weight))
        assert set(await asyncio.gather(*map(ask, channels))) == {"canary" if weight else "stable"}
    for channel in channels:
        await channel.close()


@pytest.mark.parametrize(("weight", "server"), [(0, "stable"), (100, "canary")])
async def test_whole_weights_are_exact_for_both_protocols(
    lab: Lab, weight: int, server: str
) -> None:
    await lab.use(lab.route(weight))
    seen = Counter[str]()
    for _ in range(100):
        status, answer, _headers = await lab.rest(f"{MODEL}:predict", data=b"{}")
        assert status == 200
        seen[str(answer["server"])] += 1
        seen[str((await lab.call())[0]["server"])] += 1
    assert seen == {server: 200}


@pytest.mark.parametrize("weight", [10, 50])
async def test_a_split_stays_inside_its_bounds(lab: Lab, weight: int) -> None:
    """Bounds of 4.9 standard deviations: a false alarm once in a million."""
    await lab.use(lab.route(weight))
    total = 1200
    rest = await asyncio.gather(*(lab.rest(f"{MODEL}:predict", data=b"{}") for _ in range(total)))
    calls = await asyncio.gather(*(lab.call() for _ in range(total)))
    share = weight / 100
    slack = 4.9 * math.sqrt(total * share * (1 - share))
    for answers in ([a for _, a, _ in rest], [a for a, _ in calls]):
        canary = sum(a["server"] == "canary" for a in answers)
        assert abs(canary - total * share) <= slack


async def test_the_answer_names_its_version_and_revision(lab: Lab) -> None:
    await lab.use(lab.route(100))
    _, _, headers = await lab.rest(f"{MODEL}:predict", data=b"{}")
    assert headers["x-savedmodel-version"] == "8"
    assert headers["x-savedmodel-revision"] == CANARY
    assert (await lab.call())[1] == "8"


@pytest.mark.parametrize(
    ("path", "server", "arrives"),
    [
        (f"{MODEL}/versions/8:predict", "canary", f"{MODEL}/versions/8:predict"),
        (f"{MODEL}/versions/7/metadata", "stable", f"{MODEL}/versions/7/metadata"),
        (f"{MODEL}/versions/8", "canary", f"{MODEL}/versions/8"),
        (f"{MODEL}/labels/canary:predict", "canary", f"{MODEL}/versions/8:predict"),
        (f"{MODEL}/labels/stable/metadata", "stable", f"{MODEL}/versions/7/metadata"),
        (f"{MODEL}/labels/stable", "stable", f"{MODEL}/versions/7"),
        (f"{MODEL}", "stable", MODEL),
        (f"{MODEL}/metadata", "stable", f"{MODEL}/metadata"),
        (f"/{MODEL}//metadata", "stable", f"{MODEL}/metadata"),
    ],
)
async def test_a_path_leads_to_its_version(lab: Lab, path: str, server: str, arrives: str) -> None:
    await lab.use(lab.route(50))
    for _ in range(8):
        status, answer, headers = await lab.rest(path, "GET")
        assert (status, answer["server"], answer["path"]) == (200, server, arrives)
        assert headers["x-savedmodel-version"] == {"stable": "7", "canary": "8"}[server]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"{MODEL}/versions/9:predict", 404, "available: 7, 8"),
        (f"{MODEL}/versions/70", 404, "available: 7, 8"),
        (f"{MODEL}/labels/beta:predict", 404, "'stable' and 'canary'"),
        ("/v1/models/other:predict", 404, "only /v1/models/flowers"),
        ("/v1/models/flowers2:predict", 404, "only /v1/models/flowers"),
        ("/v1/models", 404, "only /v1/models/flowers"),
        ("/", 404, "only /v1/models/flowers"),
        ("/monitoring/prometheus/metrics", 403, "metrics"),
    ],
)
async def test_everything_else_is_refused_in_json(
    lab: Lab, path: str, status: int, words: str
) -> None:
    await lab.use(lab.route(50))
    before = lab.stable.calls + lab.canary.calls
    seen, answer, headers = await lab.rest(path, "GET")
    assert seen == status
    assert words in str(answer["error"])
    assert headers["content-type"] == "application/json"
    assert lab.stable.calls + lab.canary.calls == before


async def test_a_header_pins_the_version(lab: Lab) -> None:
    await lab.use(lab.route(50))
    for number, server in (("7", "stable"), ("8", "canary")):
        pin = {"x-savedmodel-version": number}
        for path in (f"{MODEL}:predict", f"{MODEL}/metadata", MODEL):
            _, answer, _ = await lab.rest(path, headers=pin)
            assert answer["server"] == server
        assert (await lab.call(version=number))[0]["server"] == server
    status, answer, _ = await lab.rest(f"{MODEL}:predict", headers={"x-savedmodel-version": "9"})
    assert (status, "available: 7, 8" in str(answer["error"])) == (404, True)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.call(version="9")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "available: 7, 8" in str(refused.value.details())


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress", "MultiInference"])
async def test_prediction_calls_go_by_weight(lab: Lab, method: str) -> None:
    await lab.use(lab.route(100))
    answer, _ = await lab.call(f"/tensorflow.serving.PredictionService/{method}")
    assert answer["server"] == "canary"


@pytest.mark.parametrize(
    "method",
    [
        "/tensorflow.serving.PredictionService/GetModelMetadata",
        "/tensorflow.serving.ModelService/GetModelStatus",
    ],
)
async def test_questions_go_to_stable(lab: Lab, method: str) -> None:
    await lab.use(lab.route(100))
    assert (await lab.call(method))[0]["server"] == "stable"


@pytest.mark.parametrize(
    "method",
    [
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        "/tensorflow.serving.SessionService/SessionRun",
        "/tensorflow.ProfilerService/Profile",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_other_methods_are_unimplemented(lab: Lab, method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.call(method)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "not offered" in str(refused.value.details())
    assert not lab.stable.calls["HandleReloadConfigRequest"]


async def test_big_bodies_pass_on_both_protocols(lab: Lab) -> None:
    await lab.use(lab.route(50))
    body = bytes(20 * MIB)
    for _ in range(4):
        status, answer, _ = await lab.rest(f"{MODEL}:predict", data=io.BytesIO(body))
        assert (status, answer["bytes"]) == (200, len(body))
        assert (await lab.call(body=body))[0]["bytes"] == len(body)


async def test_clients_cannot_steer_the_router(lab: Lab) -> None:
    """x-envoy-* headers would change retries and timeouts."""
    await lab.use(lab.route(0))
    lab.stable.headers.clear()
    lab.stable.slow = 0.05
    steer = {"x-envoy-retry-on": "5xx", "x-envoy-upstream-rq-timeout-ms": "1"}
    status, _, _ = await lab.rest(f"{MODEL}:predict", data=b"{}", headers=steer)
    lab.stable.slow = 0.0
    [headers] = lab.stable.headers
    assert status == 200
    assert not set(steer) & set(headers)


async def test_the_statistics_port_only_reads(lab: Lab) -> None:
    for path in ("/quitquitquit", "/config_dump", "/runtime", "/stats/../config_dump", "/"):
        assert (await lab.envoy.get(f":9902{path}"))[0] == 403
    url = f"http://{lab.envoy.address}:9902/stats"
    async with lab.session.post(url) as response:
        assert response.status == 403
    assert (await lab.envoy.get(":9902/stats/prometheus"))[0] == 200


async def test_weights_move_under_load_without_a_failure(lab: Lab) -> None:
    """Ten switches while both protocols are used: the ConfigMap's symlink swap loses nothing."""
    done, seen = asyncio.Event(), Counter[int]()

    async def use_rest() -> None:
        while not done.is_set():
            seen[(await lab.rest(f"{MODEL}:predict", data=b"{}"))[0]] += 1

    async def use_grpc() -> None:
        while not done.is_set():
            await lab.call()
            seen[0] += 1

    clients = [asyncio.create_task(c()) for c in (use_rest, use_rest, use_grpc)]
    for step in range(10):
        await lab.use(lab.route(step * 10))
    done.set()
    await asyncio.gather(*clients)
    assert set(seen) == {0, 200}
