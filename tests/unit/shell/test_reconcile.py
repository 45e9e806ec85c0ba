"""A cycle from end to end over a server in memory: what is written, told and asked for again."""

import json
import logging

import pytest

from fake_server import FakeServer, Refusal, child
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.apply import Applier
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.handlers import Transport
from savedmodel_operator.observe.access import AccessReader
from savedmodel_operator.observe.candidate import CandidateCheck
from savedmodel_operator.observe.counters import Counters
from savedmodel_operator.observe.golden import GoldenReader, GoldenWatcher
from savedmodel_operator.observe.live import LiveChecks
from savedmodel_operator.observe.observer import Observer
from savedmodel_operator.observe.pods import PodClient
from savedmodel_operator.observe.prometheus import PrometheusClient
from savedmodel_operator.observe.queries import Queries
from savedmodel_operator.observe.routers import Routers
from savedmodel_operator.observe.sources import Sources, Tools
from savedmodel_operator.plan.desired import FLAPS
from savedmodel_operator.plan.snapshot import Settings
from savedmodel_operator.reconcile import BLOCKED_AGAIN, Reconciler
from savedmodel_operator.report import Reporter
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.telemetry import Telemetry

KEY = ("shop", "flowers")
OBJECT = "/apis/savedmodel.dev/v1alpha1/namespaces/shop/savedmodeldeployments/flowers"
STATUS = ("put", f"{OBJECT}/status")
EVENTS = ("post", "/apis/events.k8s.io/v1/namespaces/shop/events")


def smd(version=10, **spec):
    return {
        "apiVersion": "savedmodel.dev/v1alpha1",
        "kind": "SavedModelDeployment",
        "metadata": {
            "name": "flowers",
            "namespace": "shop",
            "uid": "u-1",
            "generation": 1,
            "resourceVersion": str(version),
        },
        "spec": {
            "source": {"uri": "s3://models/flowers", "anonymous": True},
            "serving": {"image": "tensorflow/serving:2.20.0"},
            **spec,
        },
        "status": {"observedGeneration": -1},
    }


class Guard:
    def __init__(self):
        self.writing = True

    def may_write(self):
        return self.writing

    def remaining(self):
        return 15.0


class NoBucket:
    """Every look fails, so that only what needs no bucket happens."""

    async def read(self, namespace, source):
        raise StorageError(Reason.Unreachable, "no route to the store")


class Operator:
    """One replica's reconciler over a FakeServer that stores what is written."""

    def __init__(self):
        self.server, self.guard, self.leading = FakeServer(), Guard(), True
        self.server.clock.observe("Fri, 15 Jan 2027 08:00:00 GMT", 0.0, 0.0)
        self.objects, self.children = ObjectCache(), ChildCache()
        self.telemetry = Telemetry()
        client = self.server.client
        files = GoldenReader(client)
        prometheus = PrometheusClient(EndpointGuard(()))
        tools = Tools(NoBucket(), None, None, None, self.server.clock.now, lambda _: None)
        self.observer = Observer(
            objects=self.objects,
            children=self.children,
            clock=self.server.clock,
            sources=Sources(tools),
            routers=Routers(PodClient().probe, lambda _: None),
            live=LiveChecks(CandidateCheck(PodClient(), files).check, lambda _: None),
            golden=GoldenWatcher(files, lambda _: None),
            counters=Counters(PodClient().count, self.server.clock.now, lambda _: None),
            queries=Queries(
                AccessReader(client, ()).read_prometheus,
                prometheus.ask,
                self.server.clock.now,
                lambda _: None,
            ),
            prometheus=prometheus,
            settings=Settings("operator:1", "envoy:1"),
            pods=PodClient(),
        )
        applier = Applier(client, self.children, self.guard)
        reporter = Reporter(client, self.objects, applier, self.telemetry, "pod-0")
        self.reconciler = Reconciler(
            self.observer, client, applier, reporter, self.telemetry, lambda: self.leading
        )
        self.stored = 100
        self.keep(smd())

    def keep(self, body):
        """The object as everybody sees it; children are stored as they are sent."""
        self.objects.put(body)
        self.server.answers["get", OBJECT] = body
        self.server.answers[STATUS] = self.store_status
        for path in ("api/v1", "apis/apps/v1", "apis/policy/v1", "apis/networking.k8s.io/v1"):
            for plural in (
                "configmaps",
                "services",
                "deployments",
                "poddisruptionbudgets",
                "networkpolicies",
            ):
                key = ("post", f"/{path}/namespaces/shop/{plural}")
                self.server.answers[key] = lambda request: self.store(request.body)

    def store(self, body):
        self.stored += 1
        meta = {**body["metadata"], "resourceVersion": str(self.stored)}
        meta.setdefault("uid", f"uid-{meta['name']}")
        return {**body, "metadata": meta}

    def store_status(self, request):
        seen = self.objects.get(KEY)
        return self.store({**seen, "status": request.body["status"]})

    async def cycle(self):
        return await self.reconciler.cycle(KEY)

    def sent(self, method, path):
        return [r for r in self.server.requests if (r.method, r.path) == (method, path)]


@pytest.fixture
async def operator():
    made = Operator()
    yield made
    await made.observer.close()


async def settled(operator):
    """After the cycles that make what is there from the beginning."""
    for _ in range(5):
        await operator.cycle()
    operator.server.requests.clear()


async def test_a_new_object_gets_its_children_its_status_and_one_line(operator, caplog):
    caplog.set_level(logging.INFO)
    done = await operator.cycle()
    kinds = {r.body["kind"] for r in operator.server.requests if r.method == "post"}
    assert {"Service", "ConfigMap", "Deployment"} <= kinds
    assert done.after == 0.0, "own writes wake nobody, so it looks again by itself"
    (status,) = operator.sent(*STATUS)
    assert status.body["metadata"]["resourceVersion"] == "10"
    assert status.body["status"]["phase"] == "Pending"
    (line,) = [r for r in caplog.records if r.name == "savedmodel_operator.cycle"]
    assert line.fields["namespace"] == "shop"
    assert "create Service/flowers" in line.fields["actions"]


async def test_an_idle_cycle_makes_no_call_at_all(operator, caplog):
    await settled(operator)
    caplog.set_level(logging.INFO)
    caplog.clear()
    await operator.cycle()
    assert operator.server.requests == []
    assert caplog.records == []


async def test_a_standby_replica_does_nothing(operator):
    operator.leading = False
    await operator.cycle()
    assert operator.server.requests == []


async def test_a_replica_that_lost_its_lease_ends_quietly(operator):
    operator.guard.writing = False
    done = await operator.cycle()
    assert not done.failed
    assert operator.server.writes == []


async def test_nothing_is_made_for_a_ghost(operator):
    operator.server.answers["get", OBJECT] = Refusal(404, "NotFound")
    await operator.cycle()
    assert operator.server.writes == []
    assert operator.objects.get(KEY) is None


async def test_nothing_is_made_for_a_former_namesake(operator):
    newer = smd(version=50)
    newer["metadata"]["uid"] = "u-2"
    operator.server.answers["get", OBJECT] = newer
    await operator.cycle()
    assert operator.server.writes == []


async def test_a_deleted_object_is_left_to_the_collector(operator):
    body = smd(version=20)
    body["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    operator.keep(body)
    assert not (await operator.cycle()).failed
    assert operator.server.requests == []


async def test_a_lost_race_for_status_is_run_again_and_says_nothing(operator):
    operator.server.answers[STATUS] = Refusal(409, "Conflict")
    done = await operator.cycle()
    assert done.failed
    assert operator.sent(*EVENTS) == []


async def test_a_spec_that_makes_no_sense_is_a_condition_until_it_is_corrected(operator):
    operator.keep(smd(version=20, versions={"policy": "Newest"}))
    done = await operator.cycle()
    assert done.after == BLOCKED_AGAIN
    assert not done.failed
    (status,) = operator.sent(*STATUS)
    stalled = {c["type"]: c for c in status.body["status"]["conditions"]}["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert "spec.versions.policy" in stalled["message"]
    (event,) = operator.sent(*EVENTS)
    assert (event.body["type"], event.body["reason"]) == ("Warning", "InvalidSpec")
    assert event.body["regarding"]["uid"] == "u-1"
    operator.server.requests.clear()
    await operator.cycle()
    assert operator.server.requests == [], "told once"
    operator.keep(smd(version=500))
    await operator.cycle()
    (status,) = operator.sent(*STATUS)
    stalled = {c["type"]: c for c in status.body["status"]["conditions"]}["Stalled"]
    assert stalled["status"] == "False"


async def test_a_taken_name_blocks_and_is_tried_again(operator):
    services = "/api/v1/namespaces/shop/services"
    operator.server.answers["post", services] = Refusal(409, "AlreadyExists")
    operator.server.answers["get", f"{services}/flowers"] = {
        "metadata": {"name": "flowers", "namespace": "shop", "uid": "x", "resourceVersion": "1"}
    }
    done = await operator.cycle()
    assert done.after == BLOCKED_AGAIN
    (status,) = operator.sent(*STATUS)
    assert status.body["status"]["phase"] == "Blocked"
    assert "Service flowers" in status.body["status"]["message"]


@pytest.mark.parametrize(
    ("answer", "after"),
    [(Refusal(503), None), (Refusal(429, headers={"Retry-After": "9"}), 9.0), (OSError("x"), None)],
)
async def test_an_api_server_in_trouble_is_waited_for(operator, answer, after):
    operator.server.answers["post", "/api/v1/namespaces/shop/services"] = answer
    done = await operator.cycle()
    assert (done.failed, done.after) == (True, after)
    assert operator.sent(*STATUS) == []


async def test_a_dying_namespace_is_no_news(operator, caplog):
    caplog.set_level(logging.INFO)
    details = {"causes": [{"reason": "NamespaceTerminating"}]}
    refusal = Refusal(403, "Forbidden", "terminating", details=details)
    operator.server.answers["post", "/api/v1/namespaces/shop/services"] = refusal
    assert (await operator.cycle()).failed
    assert operator.sent(*STATUS) == []
    assert [r for r in caplog.records if r.levelno >= logging.INFO] == []


async def test_an_older_crd_that_drops_fields_is_reported_and_not_written_forever(operator, caplog):
    def prune(request):
        body = operator.store_status(request)
        return {**body, "status": {k: v for k, v in body["status"].items() if k != "phase"}}

    operator.server.answers[STATUS] = prune
    for _ in range(6):
        await operator.cycle()
    assert "status.phase" in caplog.text
    assert "upgrade the chart" in caplog.text
    writes = len(operator.sent(*STATUS))
    await operator.cycle()
    assert len(operator.sent(*STATUS)) == writes


async def test_an_event_that_cannot_be_posted_fails_no_cycle(operator, caplog):
    operator.server.answers[EVENTS] = Refusal(403, "Forbidden", "no right")
    operator.keep(smd(version=20, versions={"policy": "Newest"}))
    assert not (await operator.cycle()).failed
    assert "event not posted" in caplog.text


async def test_a_quarrel_with_another_writer_is_no_hot_loop(operator):
    await settled(operator)
    afters = []
    for round_ in range(FLAPS + 3):
        foreign = operator.children.children(KEY, "u-1")
        service = next(c for c in foreign if c.kind == "Service")
        body = json.loads(json.dumps(service.body))
        body["spec"]["ports"] = []
        body["metadata"]["resourceVersion"] = str(5000 + round_ * 10)
        operator.children.put(body)
        path = ("patch", "/api/v1/namespaces/shop/services/flowers")
        version = 5001 + round_ * 10
        operator.server.answers[path] = lambda r, v=version: {
            **r.body,
            "metadata": {**r.body["metadata"], "resourceVersion": str(v)},
        }
        afters.append((await operator.cycle()).after)
    assert afters[:FLAPS] == [0.0] * FLAPS  # put back at once, a few times …
    assert all(after > 0 for after in afters[FLAPS:])  # … then left alone and named
    patches = [r for r in operator.server.requests if r.method == "patch" and r.path == path[1]]
    assert len(patches) == FLAPS


async def test_a_bug_is_logged_with_its_stack_and_ends_nothing(operator, caplog):
    operator.children.put(child("ConfigMap", "flowers-router", metadata={"annotations": 7}))
    done = await operator.cycle()
    assert done.failed
    assert "Traceback" in caplog.text
    assert "shop/flowers" in caplog.text


async def test_events_of_kopf_become_objects_and_keys(operator):
    keys = []
    transport = Transport(None, (), operator.objects, keys.append)
    transport.take(None, smd(version=30))
    transport.take("MODIFIED", smd(version=29))
    assert keys == [KEY], "older than what is known: no news"
    transport.take("MODIFIED", smd(version=31))
    transport.take("DELETED", smd(version=32))
    assert keys == [KEY] * 3
    assert operator.objects.get(KEY) is None
