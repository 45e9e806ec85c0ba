"""Golden files from ConfigMaps, and a candidate's pods asked over real HTTP.

The pods are web servers on addresses of the loopback network, at the port that model pods have.
"""

import asyncio
import base64
import json

import pytest
from aiohttp import web

from fake_server import FakeServer, Refusal
from savedmodel_operator.api.golden import Agreement, Budgets, ConfigMapFile, GoldenRequest
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate, Serving, Source, Spec
from savedmodel_operator.gate import Outcome
from savedmodel_operator.gate.golden_file import digest
from savedmodel_operator.observe.candidate import CandidateCheck
from savedmodel_operator.observe.golden import GoldenError, GoldenReader, GoldenWatcher
from savedmodel_operator.observe.live import Question, Target
from savedmodel_operator.observe.pods import MAX_BYTES, PodClient
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.workload.revision import RevisionRecord

KEY = ("shop", "flowers")
MAP = "/api/v1/namespaces/shop/configmaps/golden"
REQUESTS = (
    GoldenRequest("one", ConfigMapFile("golden", "one.json")),
    GoldenRequest("two", ConfigMapFile("golden", "two.npz")),
)
X = TensorSpec("DT_FLOAT", (-1,), "x:0")
FACTS = ModelFacts(
    1,
    (
        GraphFacts(
            ("serve",),
            {"serving_default": Signature("tensorflow/serving/predict", {"x": X}, {"y": X})},
            {},
        ),
    ),
)
CANDIDATE, STABLE = "127.77.3.2", "127.77.3.1"


def config_map(text, binary=b""):
    return {
        "kind": "ConfigMap",
        "metadata": {"name": "golden", "namespace": "shop", "resourceVersion": "1", "uid": "u"},
        "data": {"one.json": text},
        "binaryData": {"two.npz": base64.b64encode(binary).decode()},
    }


def known(*answers):
    file = {"request": {"instances": [1.0, 2.0]}}
    return json.dumps({**file, "response": {"predictions": list(answers)}} if answers else file)


# reading


async def test_one_get_brings_all_files_of_a_map():
    server = FakeServer()
    server.answers["get", MAP] = config_map("text ß", b"\x00\xff")
    files = await GoldenReader(server.client).read("shop", REQUESTS)
    assert files == (("one", "text ß".encode()), ("two", b"\x00\xff"))
    assert [r.path for r in server.requests] == [MAP]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Refusal(404, "NotFound"),
            (
                "gate.requests[one].configMap: there is no ConfigMap golden in the namespace shop",
                "kubectl create configmap golden --from-file=one.json",
            ),
        ),
        (Refusal(403, "Forbidden"), ("may not read ConfigMaps", "grant")),
        (Refusal(500, "InternalError"), ("gate.requests[one].configMap", "could not be read")),
        (
            config_map("x") | {"data": {"other": "y"}},
            ("ConfigMap golden has no key one.json, it has other, two.npz; add it",),
        ),
        (config_map("x") | {"binaryData": {"two.npz": "%%"}}, ("requests[two]", "no base64")),
    ],
)
async def test_a_file_that_cannot_be_had_names_field_and_remedy(answer, words):
    server = FakeServer()
    server.answers["get", MAP] = answer
    with pytest.raises(GoldenError) as caught:
        await GoldenReader(server.client).read("shop", REQUESTS)
    for text in words:
        assert text in caught.value.message


def spec():
    return Spec(
        Source("s3://models/x", anonymous=True, poll_interval="10s"),
        Serving("image"),
        gate=Gate(requests=REQUESTS),
    )


def refused(gate, number=2):
    return {"stable": {"number": 1}, "rejected": [{"number": number, "gate": gate}]}


class Watched:
    def __init__(self):
        self.server, self.changes = FakeServer(), 0
        self.server.answers["get", MAP] = config_map("first")
        self.watcher = GoldenWatcher(GoldenReader(self.server.client), self.changed)

    def changed(self, owner):
        assert owner == KEY
        self.changes += 1

    def view(self, status):
        return self.watcher.view(KEY, spec(), status)


@pytest.mark.looptime
async def test_files_are_read_again_only_while_a_refusal_rests_on_them():
    watched = Watched()
    for status in ({}, refused("abc"), refused("abc+"), refused("abc+d", number=0)):
        assert watched.view(status) is None
    await asyncio.sleep(100)
    assert watched.server.requests == []
    resting = refused("abc+d")
    assert watched.view(resting) is None
    await asyncio.sleep(1)
    first = watched.view(resting)
    assert first == digest([("one", b"first"), ("two", b"")])
    await asyncio.sleep(35)
    assert len(watched.server.requests) == 4, "as often as the bucket"
    assert watched.changes == 1
    watched.server.answers["get", MAP] = config_map("second")
    await asyncio.sleep(10)
    assert watched.changes == 2
    assert watched.view(resting) not in (None, first)
    watched.server.answers["get", MAP] = Refusal(404, "NotFound")
    before = watched.view(resting)
    await asyncio.sleep(20)
    assert watched.view(resting) == before, "a file that is gone proves nothing"
    watched.view({})
    done = len(watched.server.requests)
    await asyncio.sleep(100)
    assert len(watched.server.requests) == done


# asking


class Pod:
    """A model server that answers y = slope · x, or as `answer` says."""

    def __init__(self, ip, slope=2.0):
        self.ip, self.slope, self.asked, self.answer = ip, slope, [], None

    async def __aenter__(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models/m/versions/{number}", self.status)
        app.router.add_get("/v1/models/m/versions/{number}/metadata", self.metadata)
        app.router.add_post("/v1/models/m/versions/{call}", self.predict)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, self.ip, 8501).start()
        return self

    async def __aexit__(self, *error):
        await self.runner.cleanup()

    async def status(self, request):
        entry = {"version": request.match_info["number"], "state": "AVAILABLE", "status": {}}
        return web.json_response({"model_version_status": [entry]})

    async def metadata(self, request):
        info = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}, "name": "x:0"}
        signature = {
            "inputs": {"x": info},
            "outputs": {"y": info},
            "method_name": "tensorflow/serving/predict",
        }
        spec = {"name": "m", "version": request.match_info["number"]}
        inner = {"signature_def": {"serving_default": signature}}
        return web.json_response({"model_spec": spec, "metadata": {"signature_def": inner}})

    async def predict(self, request):
        self.asked.append((request.match_info["call"], await request.json()))
        if self.answer is not None:
            return self.answer() if callable(self.answer) else self.answer
        values = [self.slope * x for x in self.asked[-1][1]["instances"]]
        return web.json_response({"predictions": values})


def target(gate, stable=True, process="p1", loaded=1.0):
    def record(number):
        return RevisionRecord(number, str(number), "f", "h", FACTS, {}, {}, {})

    base = "old" if stable else None
    question = Question("m", ("serve",), gate, "new", base)
    there = (STABLE, record(1)) if stable else None
    return Target("shop", "new", process, CANDIDATE, question, record(2), loaded, there)


class Tried:
    """A candidate check over a ConfigMap with one JSON file."""

    def __init__(self, text, seconds=0.0):
        server = FakeServer()
        server.answers["get", MAP] = config_map(text)
        self.server, self.pods = server, PodClient()
        self.check = CandidateCheck(self.pods, GoldenReader(server.client), self.tick).check
        self.now, self.seconds = 0.0, seconds

    def tick(self):
        """A clock by which each request takes `seconds`."""
        self.now += self.seconds
        return self.now

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.pods.close()


ONE = REQUESTS[:1]


async def test_the_right_answer_passes_and_is_bound_to_the_file():
    async with Pod(CANDIDATE) as pod, Tried(known(2.0, 4.0)) as tried:
        verdict = await tried.check(target(Gate(requests=ONE)))
    assert verdict.passed, verdict.message
    assert "1 golden request answered as expected" in verdict.message
    assert verdict.files == digest([("one", known(2.0, 4.0).encode())])
    body = {"signature_name": "serving_default", "instances": [1.0, 2.0]}
    assert pod.asked == [("2:predict", body)]


async def test_a_wrong_answer_is_refused_with_figures():
    async with Pod(CANDIDATE), Tried(known(2.0, 4.5)) as tried:
        verdict = await tried.check(target(Gate(requests=ONE)))
    assert verdict.reason is Reason.GoldenMismatch
    assert "y[1]: expected 4.5, got 4, off by 0.5" in verdict.message
    assert verdict.files


async def test_agreement_asks_stable_the_same():
    gate = Gate(requests=ONE, agreement=Agreement("0.5"))
    async with Pod(CANDIDATE, 2.3) as pod, Pod(STABLE) as stable, Tried(known()) as tried:
        verdict = await tried.check(target(gate))
    assert verdict.reason is Reason.AgreementMismatch
    assert "y[1]: stable answers 4, the candidate 4.6, 0.6 apart, allowed 0.5" in verdict.message
    assert [call for call, _ in stable.asked] == ["1:predict"]
    assert stable.asked[0][1] == pod.asked[0][1]


async def test_without_stable_there_is_nothing_to_agree_with():
    gate = Gate(requests=ONE, agreement=Agreement("0"))
    async with Pod(CANDIDATE), Tried(known()) as tried:
        assert (await tried.check(target(gate, stable=False))).passed


async def test_a_stable_that_does_not_answer_refuses_nothing():
    gate = Gate(requests=ONE, agreement=Agreement("0"))
    async with Pod(CANDIDATE), Tried(known()) as tried:
        verdict = await tried.check(target(gate))
    assert verdict.outcome is Outcome.Errored
    assert "stable gave no answer" in verdict.message


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=503),
        lambda: web.json_response({"error": "Servable not found"}, status=404),
        lambda: web.Response(body=b" " * (MAX_BYTES + 1)),
    ],
)
async def test_no_answer_is_no_refusal(answer):
    async with Pod(CANDIDATE) as pod, Tried(known(1.0, 2.0)) as tried:
        pod.answer = answer
        verdict = await tried.check(target(Gate(requests=ONE)))
    assert verdict.outcome is Outcome.Errored, verdict.message


async def test_redirects_are_not_followed():
    async with Pod(CANDIDATE) as pod, Pod(STABLE) as elsewhere, Tried(known(2.0, 4.0)) as tried:
        place = f"http://{STABLE}:8501/v1/models/m/versions/1:predict"
        pod.answer = lambda: web.Response(status=307, headers={"Location": place})
        verdict = await tried.check(target(Gate(requests=ONE)))
    assert verdict.reason is Reason.GoldenMismatch
    assert elsewhere.asked == []


async def test_a_missing_file_is_no_refusal_and_sends_nothing():
    async with Pod(CANDIDATE) as pod, Tried("") as tried:
        tried.server.answers["get", MAP] = Refusal(404, "NotFound")
        verdict = await tried.check(target(Gate(requests=ONE)))
    assert verdict.outcome is Outcome.Errored
    assert "there is no ConfigMap golden" in verdict.message
    assert pod.asked == []


async def test_a_signature_that_is_not_there_is_no_refusal():
    asked = (GoldenRequest("one", ConfigMapFile("golden", "one.json"), "other"),)
    async with Pod(CANDIDATE), Tried(known(2.0, 4.0)) as tried:
        verdict = await tried.check(target(Gate(requests=asked)))
    assert verdict.outcome is Outcome.Errored
    assert "gate.requests[one].signature: version 2 has no signature other" in verdict.message


async def test_only_the_first_answer_of_a_process_has_the_budget_of_a_first_one():
    gate = Gate(requests=ONE, budgets=Budgets(first_request="2s"))
    async with Pod(CANDIDATE) as pod, Tried(known(2.0, 4.0), seconds=2.5) as tried:
        pod.answer = lambda: web.Response(status=503)
        busy = await tried.check(target(gate))
        pod.answer = None
        first = await tried.check(target(gate))
        again = await tried.check(target(gate))
        other = await tried.check(target(gate, process="p2"))
    assert busy.outcome is Outcome.Errored
    assert first.reason is Reason.TimeOverBudget
    assert "(golden request one) took 2.500 s" in first.message
    assert first.files
    assert again.passed, "it is warm now"
    assert other.reason is Reason.TimeOverBudget


async def test_load_time_needs_no_request():
    gate = Gate(budgets=Budgets(load_time="10s"))
    async with Pod(CANDIDATE), Tried("") as tried:
        verdict = await tried.check(target(gate, loaded=11.0))
        assert (verdict.reason, verdict.files) == (Reason.TimeOverBudget, "")
        assert (await tried.check(target(gate, loaded=10.0))).passed
        assert tried.server.requests == []
