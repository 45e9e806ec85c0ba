"""What people change under traffic: serving flag and image, the routers' ConfigMap by hand, the release.

One shop for all of them, two pods and two routers, called by four kinds of client without a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from campaign_case import Seen, case
from data_plane import Plane, opened, restarts

from cluster_shop import NAME, PATIENCE, operator_pod
from lab import install, recipes
from lab.cluster import until
from lab.follow import condition
from lab.install import Installed
from lab.kube import Kube, Object
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.usefixtures("installed", "models")

NOTHING = "0 failed requests"
CONFIG = f"{NAME}-router"


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    with opened(request, "data-plane-changes", (Step(50, hold=2),)) as found:
        yield found


def _by_its_other_name(image: str) -> str:
    """The same bytes under another reference: all that Kubernetes goes by."""
    return recipes.image(image).stable


CHANGES: dict[str, Object] = {
    "flag": {"options": {"sessionParallelism": 1}},
    "image": {"image": _by_its_other_name("tensorflow-serving-compatible")},
}


@pytest.mark.parametrize("what", CHANGES)
@case(
    "H9",
    "a serving flag, then the serving image changed in the spec (the same bytes by another name)",
    f"a rollout by itself: new pods beside the old ones, steps, promotion; {NOTHING}",
    "cluster",
)
def test_h9_a_serving_change_is_a_rollout_by_itself(plane: Plane, what: str, seen: Seen) -> None:
    shop, since, before = plane.shop, time.time(), plane.revision("stable")
    shop.patch(serving=CHANGES[what])
    status = shop.wait(
        lambda s: s["stable"]["revision"] != before and not s.get("candidate"), f"the new {what}"
    )
    cost = plane.count(since)
    told = plane.load.record.summary(since).revisions
    seen.say(f"{what}: {cost}; answers by revision {sorted(told.values(), reverse=True)}")
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


@case(
    "H12",
    "operator, fetcher and router image changed by helm upgrade in the middle of a rollout, which "
    "then goes on",
    "no model pod and no router restarts while the rollout is open; after it each router is replaced, "
    f"no model pod; {NOTHING}",
    "cluster",
)
def test_h12_an_upgrade_in_a_rollout_restarts_nobody_before_its_end(
    plane: Plane, kube: Kube, installed: Installed, seen: Seen
) -> None:
    shop = plane.shop
    shop.wait_left()
    shop.patch(rollout={"steps": [Step(50, pause=True).manifest()]})
    shop.upload(CALC[1])
    shop.wait_paused(2)
    since = time.time()
    routers, models = _processes(plane, "router"), _processes(plane, "model")
    before = operator_pod(kube)["metadata"]["uid"]
    try:
        install.upgrade({**installed.values, **_renamed_images()})
        assert operator_pod(kube)["metadata"]["uid"] != before, "the operator was not upgraded"
        shop.act("sync #upgraded")
        shop.wait(lambda s: s.get("lastHandledAction") == "sync #upgraded", "the new operator")
        cost = plane.count(since)
        seen.say(f"rollout open: {cost}")
        assert (_processes(plane, "router"), _processes(plane, "model")) == (routers, models)
        assert not cost.failed, cost.explain()

        since = time.time()
        shop.act("promote v2")
        shop.wait_stable(2)
        envoy = _by_its_other_name("envoy")
        assert until(lambda: _images(plane) == [envoy] * 2, patience=PATIENCE), "old routers stay"
        shop.wait_pods("router", 2)
        shop.wait_left()
        shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")
        cost = plane.count(since)
        seen.say(f"rollout over, routers replaced: {cost}")
        assert not routers & _processes(plane, "router")
        kept = _processes(plane, "model", plane.revision("stable")) & models
        assert kept, "the promoted version's pods were replaced"
        assert not cost.failed, cost.explain()
    finally:
        install.upgrade(installed.values)


def _renamed_images() -> dict[str, str]:
    """Values of the chart."""
    found = {}
    for key, name in (("image", "savedmodel-operator"), ("router.image", "envoy")):
        repository, _, tag = _by_its_other_name(name).rpartition(":")
        found |= {f"{key}.repository": repository, f"{key}.tag": tag}
    return found


def _processes(plane: Plane, component: str, revision: str = "") -> set[tuple[str, int]]:
    """(uid, restarts) of every pod."""
    pods = plane.shop.pods(component, revision)
    return {(pod["metadata"]["uid"], restarts(pod)) for pod in pods}


def _images(plane: Plane) -> list[str]:
    return [p["spec"]["containers"][0]["image"] for p in plane.shop.pods("router")]


def _config(kube: Kube, namespace: str) -> Object:
    found = kube.get("ConfigMap", namespace, CONFIG)
    assert found is not None
    return found
