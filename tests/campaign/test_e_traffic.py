"""The written route and who carries it: edited by hand, and written where no router gets it.

One shop for both: version 2 is the candidate, paused at 60 %.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from campaign_case import Seen, case
from data_plane import Plane, opened
from route_writes import favour, splits

from cluster_shop import NAME, PATIENCE
from lab import node
from lab.cluster import until
from lab.follow import condition
from lab.kube import Kube, Object
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.usefixtures("installed", "models")

CONFIG = f"{NAME}-router"
ROUTE = "savedmodel.dev/route"
HELD = 8.0  # seconds for which a step is watched while it must not be taken


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
