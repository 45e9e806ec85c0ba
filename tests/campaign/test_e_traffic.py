"""Group E on the real cluster: the route, who carries it, what is counted, and the way back.

One shop for all of them: version 2 is the candidate until E7 promotes it or a newer one comes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from audit_log import written_in
from campaign_case import Seen, case
from data_plane import Plane, opened
from route_writes import favour, splits

from cluster_shop import NAME, PATIENCE, operator_pod, refusal
from lab import node, packets, prometheus
from lab.cluster import until
from lab.follow import condition, unix
from lab.kube import Kube, Object
from lab.objects import Step
from lab.rollback import Limit, Rollback, failed, find_rollback
from lab.samples import CALC, FAILING, SOUND

pytestmark = pytest.mark.usefixtures("installed", "models")

CONFIG = f"{NAME}-router"
STATS = 9902
ROUTE = "savedmodel.dev/route"
HELD = 8.0  # seconds for which a step is watched while it must not be taken
DELAY = 10  # seconds of scaleDownDelay
AT_MOST = 30.0
"""Seconds from the evidence to weight 0. The budget is 10; a machine whose cores are taken is no
defect, and the figure is told."""

LEAST = 30  # answers before a limit says anything
LIMITS: Object = {
    "source": "Router",
    "interval": "1s",
    "minRequests": LEAST,
    "maxServerErrorRate": "1%",
}
NAN: Object = {
    "source": "Prometheus",
    "interval": "1s",
    "queries": [{"name": "errors", "query": "vector(NaN)", "max": "0.05"}],
}
NO_QUERIES: Object = {"prometheus": None, "queries": None}
"""For a merge patch from the one to the other."""


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    steps = (Step(60, pause=True), Step(80, pause=True))
    with opened(request, "traffic", steps) as found:
        found.shop.upload(CALC[1])
        found.shop.wait_paused(2)
        yield found


@case(
    "E1",
    "60 % made 90 % by hand, in the routers' files and in the annotation beside them",
    "put back each time with a DriftCorrected Event; the sum stays 100; 0 failed requests",
    "cluster",
)
def test_e1_a_route_edited_by_hand_is_put_back(plane: Plane, kube: Kube, seen: Seen) -> None:
    shop, since = plane.shop, time.time()
    before, candidate = _config(kube, shop.namespace), plane.revision("candidate")
    files = {**before["data"], "rds.json": favour(before["data"]["rds.json"], candidate, 90)}
    assert files != before["data"]
    kube.patch("ConfigMap", shop.namespace, CONFIG, {"data": files})
    assert until(lambda: _config(kube, shop.namespace)["data"] == before["data"], patience=PATIENCE)
    first = time.time() - since

    marks = before["metadata"]["annotations"]
    lie = json.dumps({"weights": {candidate: 90, plane.revision("stable"): 10}})
    kube.patch("ConfigMap", shop.namespace, CONFIG, {"metadata": {"annotations": {ROUTE: lie}}})

    def back() -> bool:
        now = _config(kube, shop.namespace)
        return now["metadata"]["annotations"][ROUTE] == marks[ROUTE]

    assert until(back, patience=PATIENCE), "the annotation keeps the lie"
    after = _config(kube, shop.namespace)["data"]
    assert after == before["data"]
    found = splits(after["rds.json"])
    assert found
    assert all(sum(split) == 100 for split in found)
    shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")
    assert until(lambda: _events(kube, shop.namespace, "DriftCorrected"), patience=PATIENCE)
    cost = plane.count(since)
    seen.say(f"the files back after {first:.1f} s; {cost}")
    assert shop.status["candidate"]["weight"] == 60
    assert not cost.failed, cost.explain()


@case(
    "E2",
    "the route is written and no router gets it: the kubelet is stopped (SIGSTOP) for "
    f"{HELD:g} s as a step is due",
    "RouterUnverified; the step is not taken until every router answers with it; 0 failed requests",
    "cluster",
)
def test_e2_a_route_that_no_router_carries_holds_the_step(
    plane: Plane, kube: Kube, seen: Seen
) -> None:
    shop, since = plane.shop, time.time()
    with _stopped_kubelet(kube):
        shop.act("promote v2")
        status = shop.wait(
            lambda s: (
                condition(s, "TrafficSynced") == "False" and "stepSince" not in s["candidate"]
            ),
            "unverified routers",
        )
        synced = next(c for c in status["conditions"] if c["type"] == "TrafficSynced")
        assert synced["reason"] == "RouterUnverified"
        assert not until(lambda: "stepSince" in shop.status["candidate"], patience=HELD)
        assert shop.status["candidate"]["weight"] == 60, "it tells a weight that nobody carries"
    gone_on = time.time()
    shop.wait(lambda s: s["phase"] == "Paused" and s["candidate"]["weight"] == 80, "80 %")
    cost = plane.count(since)
    seen.say(f"held; 80 % proved {time.time() - gone_on:.1f} s after the kubelet went on; {cost}")
    assert not cost.failed, cost.explain()


@case(
    "E7",
    "the final switch to 100 %",
    f"the old pods stay ready for scaleDownDelay ({DELAY} s) after 100 % was proved; 0 failed requests",
    "cluster",
)
def test_e7_the_old_pods_outlive_the_final_switch(plane: Plane, kube: Kube, seen: Seen) -> None:
    shop, since, old = plane.shop, time.time(), plane.revision("stable")
    shop.patch(rollout={"scaleDownDelay": f"{DELAY}s"})
    shop.act("promote-full v2")
    proved = unix(shop.wait_stable(2)["stable"]["since"])
    assert sum(p["metadata"].get("deletionTimestamp") is None for p in shop.pods("model", old)) == 2
    assert until(lambda: kube.get("Deployment", shop.namespace, old) is None, patience=PATIENCE)
    shop.wait_left()
    log = written_in(kube.instance.audit_log, shop.namespace, since)
    taken = min(w.at for w in log if (w.verb, w.name) == ("delete", old))
    cost = plane.count(since)
    seen.say(f"old pods let go {taken - proved:.1f} s after the proof of 100 %; {cost}")
    assert taken - proved >= DELAY
    assert not cost.failed, cost.explain()


@case(
    "E4",
    "at 50 %: a query that Prometheus answers with NaN; then the routers' statistics port out of the "
    "operator's reach",
    "AnalysisInconclusive: held at 50 % beyond the hold by either, then RolledBack with "
    "DeadlineExceeded; never promoted; 0 failed requests",
    "cluster",
)
def test_e4_missing_metrics_never_pass(plane: Plane, kube: Kube, seen: Seen) -> None:
    shop, since = plane.shop, time.time()
    address = prometheus.start(kube.instance, shop.namespace, NAME)
    number = _try_out(plane, CALC[2], Step(50, hold=1), {**NAN, "prometheus": {"address": address}})
    _wait_doubt(plane, "its answer is nan")
    shop.patch(rollout={"analysis": {**NO_QUERIES, **LIMITS, "minRequests": 100_000}})
    _wait_doubt(plane, "requests that serverErrorRate needs")
    operator = operator_pod(kube)["status"]["podIP"]
    routers = [(operator, p["status"]["podIP"]) for p in shop.pods("router")]
    with packets.dropped(kube.instance, *routers, port=STATS):
        _wait_doubt(plane, "the routers' counters cannot be read any more")
        shop.patch(rollout={"deadline": "20s"})
        entry = _taken_back(plane, number)
    shop.wait(lambda s: s["phase"] == "Serving", "stable serving alone")
    shop.wait_left()
    cost = plane.count(since)
    seen.say(f"{entry['message'].partition(' (at ')[0]}; {cost}")
    assert (entry["kind"], entry["reason"]) == ("RolledBack", "DeadlineExceeded")
    assert "cannot be read any more" in entry["message"]
    assert not cost.failed, cost.explain()


@case(
    "E6",
    "a version that answers every fourth request with 500, at 30 %, under load",
    "RolledBack with AnalysisFailed; weight 0 within 10 s of the evidence; nobody's requests fail "
    "but those that it answered",
    "cluster",
)
def test_e6_a_failing_version_loses_its_weight_in_seconds(plane: Plane, seen: Seen) -> None:
    since, stable = time.time(), plane.revision("stable")
    number = _try_out(plane, FAILING, Step(30, hold=300), LIMITS, wait=False)
    entry = _taken_back(plane, number)
    found = _gone(plane, entry, Limit(failed, 0.01, LEAST))
    assert (entry["kind"], entry["reason"]) == ("RolledBack", "AnalysisFailed")
    assert found.since_broken is not None
    seen.say(
        f"weight 0 on every router {found.since_broken:.1f} s after the limit was broken; "
        f"{plane.count(since)}"
    )
    assert found.since_broken <= AT_MOST
    _check_others(plane, since, stable, lambda a: a.version == number)


@case(
    "E5",
    "the only pod of a candidate at 30 % deleted without grace: no ready endpoint",
    "the route is written before anything else; PodsLost; weight 0 within 10 s; nobody's requests "
    "fail but those of its share until then",
    "cluster",
)
def test_e5_a_version_without_endpoints_loses_its_weight_first(
    plane: Plane, kube: Kube, seen: Seen
) -> None:
    shop, since, stable = plane.shop, time.time(), plane.revision("stable")
    number = _try_out(plane, SOUND, Step(30, hold=300))
    (pod,) = shop.pods("model", plane.revision("candidate"))
    lost = time.time()
    shop.kube.delete("Pod", shop.namespace, pod["metadata"]["name"], grace=0)
    entry = _taken_back(plane, number)
    found = _gone(plane, entry, Limit(failed, 0.0, 1))
    assert (entry["kind"], entry["reason"]) == ("RolledBack", "PodsLost")
    first = written_in(kube.instance.audit_log, shop.namespace, lost)[0]
    seen.say(
        f"first write: {first.verb} {first.resource} {first.name}; weight 0 on every router "
        f"{found.gone - lost:.1f} s after the deletion; {plane.count(since)}"
    )
    assert (first.resource, first.name) == ("configmaps", CONFIG)
    assert found.gone - lost <= AT_MOST
    _check_others(
        plane, since, stable, lambda a: a.version in (number, None) and a.started <= found.gone
    )


def _try_out(
    plane: Plane, sample: Any, step: Step, limits: Object | None = None, *, wait: bool = True
) -> int:
    """Upload a version with this step before it; `wait`: until it carries its weight."""
    shop = plane.shop
    shop.patch(rollout={"steps": [step.manifest()], "deadline": "3m", "analysis": limits})
    shop.upload(sample)
    number: int = sample.number
    if wait:
        shop.wait(
            lambda s: (
                (s.get("candidate") or {}).get("number") == number and "stepSince" in s["candidate"]
            ),
            f"version {number} under weight",
        )
        called = plane.load.record
        assert until(lambda: number in called.summary().versions, patience=PATIENCE)
    return number


def _wait_doubt(plane: Plane, words: str) -> None:
    """Until the step is held at its weight for that reason."""

    def done(status: Object) -> bool:
        rolling = (c for c in status["conditions"] if c["type"] == "RollingOut")
        told = next(rolling)
        held = (told["reason"], status.get("candidate", {}).get("weight"))
        return held == ("AnalysisInconclusive", 50) and words in told["message"]

    plane.shop.wait(done, words)


def _taken_back(plane: Plane, number: int) -> Object:
    status = plane.shop.wait(lambda s: refusal(s, number) is not None, f"version {number} out")
    entry = refusal(status, number)
    assert entry is not None
    return entry


def _gone(plane: Plane, entry: Object, limit: Limit) -> Rollback:
    """Once no router knows it and its pods have left."""
    found: list[Rollback] = []

    def done() -> bool:
        told = find_rollback(plane.shop.follower.story, plane.load.record, entry, limit)
        found[:] = [told] if told else []
        return told is not None

    assert until(done, patience=PATIENCE), f"routers keep version {entry['number']}"
    plane.shop.wait(lambda s: s["phase"] == "Serving", "stable serving alone")
    plane.shop.wait_left()
    return found[0]


def _check_others(plane: Plane, since: float, stable: str, excused: Any) -> None:
    cost = plane.count(since)
    assert not cost.outside(excused), cost.explain()
    assert plane.revision("stable") == stable


@contextmanager
def _stopped_kubelet(kube: Kube) -> Iterator[None]:
    record = node.read_record(kube.instance, "kubelet")
    assert record is not None
    os.kill(record.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(record.pid, signal.SIGCONT)


def _config(kube: Kube, namespace: str) -> Object:
    found = kube.get("ConfigMap", namespace, CONFIG)
    assert found is not None
    return found


def _events(kube: Kube, namespace: str, reason: str) -> list[Object]:
    return [e for e in kube.list("Event", namespace) if e["reason"] == reason]
