"""The real HorizontalPodAutoscaler, over a stand-in for metrics-server whose figures the test sets:
the load grows, a new version takes over at the scale that the load needs, nobody fights over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from cluster_shop import Shop
from lab import metrics
from lab.kube import Kube, Object
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster

HPA = "HorizontalPodAutoscaler"
REQUEST = 50
"""Thousandths of a core that a serving pod of the laboratory asks for (`lab.objects`)."""

PATIENCE = 120.0
"""Seconds for the controller, which looks every 5 s (15 s on kind), on a busy machine."""


@pytest.fixture(scope="module")
def figures(kube: Kube) -> Iterator[None]:
    with metrics.serving(kube):
        yield


@pytest.mark.usefixtures("figures")
def test_an_autoscaled_version_is_replaced_at_the_scale_of_its_load(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    began, marks = time.monotonic(), []
    metrics.set_load(shop.kube, shop.namespace, 10)
    shop.upload(CALC[0])
    shop.kube.apply(_manifest(shop))
    shop.wait(lambda s: (s.get("stable") or {}).get("readyReplicas") == 1, "one pod")
    first = shop.status["stable"]["revision"]
    shop.kube.wait(HPA, shop.namespace, first, lambda o: o is not None, PATIENCE, "an autoscaler")
    marks.append(("autoscaler", time.monotonic()))
    metrics.set_load(shop.kube, shop.namespace, 2 * REQUEST * 8 // 10)
    with shop.load() as load:
        _wait_scale(shop, first, 2)
        marks.append(("scaled", time.monotonic()))
        assert _scale_writer(shop, first) == ("kube-controller-manager", "Update", "scale")
        _make_drift(shop, first)
        assert _scale(shop, first) == 2
        shop.wait(lambda s: s["stable"]["readyReplicas"] == 2, "two pods")
        shop.upload(CALC[1])
        shop.wait(lambda s: (s.get("candidate") or {}).get("weight") == 50, "version 2 at 50 %")
        assert shop.status["candidate"]["baseReplicas"] == 2
        assert _bounds(shop, first) == (2, 3)
        status = shop.wait_stable(2)
        second = status["stable"]["revision"]
        marks.append(("promoted", time.monotonic()))
        assert _scale(shop, second) == 2
        _wait_bounds(shop, second, (1, 3))
        _wait_decision(shop, second)
        marks.append(("decided", time.monotonic()))
        assert _scale_writer(shop, second)[:2] == ("savedmodel-operator", "Apply")
        _make_drift(shop, second)  # left out now, the number would fall back to 1
        assert _scale(shop, second) == 2
        assert shop.kube.get(HPA, shop.namespace, first) is None
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1, 2}
    record_property("requests", seen.requests)
    record_property("seconds", ", ".join(f"{what} {at - began:.0f}" for what, at in marks))


def _manifest(shop: Shop) -> Object:
    body = shop.manifest(steps=(Step(50, hold=3),))
    serving = body["spec"]["serving"]
    del serving["replicas"]
    limits = {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80}
    return {**body, "spec": {**body["spec"], "serving": {**serving, "autoscaling": limits}}}


def _scale(shop: Shop, revision: str) -> int:
    found = shop.kube.get("Deployment", shop.namespace, revision)
    assert found is not None
    return int(found["spec"]["replicas"])


def _wait_scale(shop: Shop, revision: str, replicas: int) -> None:
    def done(body: Object | None) -> bool:
        return body is not None and body["spec"]["replicas"] == replicas

    shop.kube.wait("Deployment", shop.namespace, revision, done, PATIENCE, f"{replicas} replicas")


def _scale_writer(shop: Shop, revision: str) -> tuple[str, str, str]:
    """(manager, operation, subresource) of the only owner of spec.replicas."""
    found = shop.kube.get("Deployment", shop.namespace, revision)
    assert found is not None
    [entry] = [
        e
        for e in found["metadata"]["managedFields"]
        if "f:replicas" in e["fieldsV1"].get("f:spec", {})
    ]
    return entry["manager"], entry["operation"], entry.get("subresource", "")


def _make_drift(shop: Shop, revision: str) -> None:
    """Somebody takes the owner reference away; the operator applies the Deployment again."""
    shop.kube.patch("Deployment", shop.namespace, revision, {"metadata": {"ownerReferences": None}})

    def done(body: Object | None) -> bool:
        return bool((body or {})["metadata"].get("ownerReferences"))

    shop.kube.wait("Deployment", shop.namespace, revision, done, PATIENCE, "its owner again")


def _bounds(shop: Shop, revision: str) -> tuple[int, int]:
    found = shop.kube.get(HPA, shop.namespace, revision)
    assert found is not None
    return found["spec"]["minReplicas"], found["spec"]["maxReplicas"]


def _wait_bounds(shop: Shop, revision: str, bounds: tuple[int, int]) -> None:
    def done(body: Object | None) -> bool:
        spec = (body or {}).get("spec", {})
        return (spec.get("minReplicas"), spec.get("maxReplicas")) == bounds

    shop.kube.wait(HPA, shop.namespace, revision, done, PATIENCE, f"bounds {bounds}")


def _wait_decision(shop: Shop, revision: str) -> None:
    """Until the new autoscaler has read the load and decided by it."""

    def done(body: Object | None) -> bool:
        status = (body or {}).get("status", {})
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        return conditions.get("ScalingActive") == "True" and status["desiredReplicas"] == 2

    shop.kube.wait(HPA, shop.namespace, revision, done, PATIENCE, "two pods wanted by the load")
