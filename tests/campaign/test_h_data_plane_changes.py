"""What people change under traffic: a serving flag, and the routers' ConfigMap, deleted and edited by hand.

One shop for all of them, two pods and two routers, called by four kinds of client without a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from campaign_case import Seen, case
from data_plane import Plane, opened

from cluster_shop import NAME, PATIENCE
from lab.cluster import until
from lab.follow import condition
from lab.kube import Kube, Object
from lab.objects import Step

pytestmark = pytest.mark.usefixtures("installed", "models")

NOTHING = "0 failed requests"
CONFIG = f"{NAME}-router"


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    with opened(request, "data-plane-changes", (Step(50, hold=2),)) as found:
        yield found


@case(
    "H9",
    "a serving flag changed in the spec",
    f"a rollout by itself: new pods beside the old ones, steps, promotion; {NOTHING}",
    "cluster",
)
def test_h9_a_serving_change_is_a_rollout_by_itself(plane: Plane, seen: Seen) -> None:
    shop, since, before = plane.shop, time.time(), plane.revision("stable")
    shop.patch(serving={"options": {"sessionParallelism": 1}})
    status = shop.wait(
        lambda s: s["stable"]["revision"] != before and not s.get("candidate"), "the new flag"
    )
    cost = plane.count(since)
    told = plane.load.record.summary(since).revisions
    seen.say(f"{cost}; answers by revision {sorted(told.values(), reverse=True)}")
    assert status["stable"]["number"] == 1
    assert set(told) == {before, status["stable"]["revision"]}
    assert not cost.failed, cost.explain()


@case(
    "H10",
    "the routers' ConfigMap deleted",
    f"routers keep what they have read; it is written again and verified; {NOTHING}",
    "cluster",
)
def test_h10_a_deleted_configmap_comes_back(plane: Plane, kube: Kube, seen: Seen) -> None:
    shop = plane.shop
    shop.wait_pods("router", 2)
    shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")
    since, before = time.time(), _config(kube, shop.namespace)
    shop.kube.delete("ConfigMap", shop.namespace, CONFIG)

    def back() -> bool:
        now = kube.get("ConfigMap", shop.namespace, CONFIG)
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    assert until(back, patience=PATIENCE), "it was not written again"
    took = time.time() - since
    shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")
    cost = plane.count(since)
    seen.say(f"back after {took:.1f} s; {cost}")
    assert _config(kube, shop.namespace)["data"] == before["data"]
    assert not cost.failed, cost.explain()


@case(
    "H11",
    "the routers' ConfigMap edited by hand: every file cut in half",
    f"Envoy refuses it and keeps the last good one; put back, named by an Event; {NOTHING}",
    "cluster",
)
def test_h11_a_configmap_edited_by_hand_is_put_back(plane: Plane, kube: Kube, seen: Seen) -> None:
    shop, since = plane.shop, time.time()
    before = _config(kube, shop.namespace)["data"]
    spoilt = {file: text[: len(text) // 2] for file, text in before.items()}
    kube.patch("ConfigMap", shop.namespace, CONFIG, {"data": spoilt})
    assert until(lambda: _config(kube, shop.namespace)["data"] == before, patience=PATIENCE)
    took = time.time() - since
    shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")

    def told() -> bool:
        found = [e for e in kube.list("Event", shop.namespace) if e["reason"] == "DriftCorrected"]
        return any(CONFIG in e["message"] for e in found)

    assert until(told, patience=PATIENCE), "no Event says it"
    cost = plane.count(since)
    seen.say(f"put back after {took:.1f} s; {cost}")
    assert not cost.failed, cost.explain()


def _config(kube: Kube, namespace: str) -> Object:
    found = kube.get("ConfigMap", namespace, CONFIG)
    assert found is not None
    return found
