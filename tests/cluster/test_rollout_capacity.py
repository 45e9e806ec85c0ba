"""rollout.capacity on real pods: one for one without a failed request, and one GPU's worth of downtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster_shop import NAME, PATIENCE, Shop
from lab.clients import Transport
from lab.cluster import until
from lab.load import Stream
from lab.samples import CALC

pytestmark = pytest.mark.cluster

Record = Callable[[str, object], None]


def begin(shop: Shop, capacity: str, replicas: int, steps: list[dict[str, Any]]) -> None:
    """Version 1 serves, with this capacity from the start."""
    shop.upload(CALC[0])
    manifest = shop.manifest(replicas=replicas)
    manifest["spec"]["rollout"].update(capacity=capacity, steps=steps)
    shop.kube.apply(manifest)
    shop.wait(lambda s: (s.get("stable") or {}).get("readyReplicas") == replicas, "version 1 ready")


def model_pods(shop: Shop) -> list[str]:
    """Revisions of all model pods that hold a node's resources: leaving ones until they ended. Of
    an ended one the object may stand for a moment; the scheduler counts it no more."""
    labels = f"savedmodel.dev/component=model,savedmodel.dev/deployment={NAME}"
    found = shop.kube.list("Pod", shop.namespace, labels)
    held = [pod for pod in found if pod["status"].get("phase") not in ("Failed", "Succeeded")]
    return [pod["metadata"]["labels"]["savedmodel.dev/revision"] for pod in held]


def test_replace_needs_no_third_pod_and_fails_nobody(shop: Shop, record_property: Record) -> None:
    begin(shop, "Replace", 2, [{"weight": 10, "hold": "2s"}])
    counts: list[int] = []

    def done() -> bool:
        pods = model_pods(shop)
        counts.append(len(pods))
        stable = shop.status.get("stable") or {}
        return stable.get("number") == 2 and stable.get("readyReplicas") == 2 == len(pods)

    with shop.load() as load:
        shop.upload(CALC[1])
        assert until(done, patience=PATIENCE), shop.status.get("message")
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1, 2}
    assert max(counts) == 2, f"{max(counts)} model pods at once"
    routes = [set(route.weights.values()) for route in shop.follower.story.routes]
    assert {50} in routes, "one of two pods carries a half, though the step says 10 %"
    record_property("requests", f"{seen.requests}, none failed; {len(counts)} looks at the pods")


def test_recreate_says_that_nobody_is_answered(shop: Shop, record_property: Record) -> None:
    begin(shop, "Recreate", 1, [])
    both: list[set[str]] = []

    def done() -> bool:
        both.append(set(model_pods(shop)))
        status = shop.status
        return (status.get("stable") or {}).get("number") == 2 and not status.get("candidate")

    with shop.load(Stream("REST", Transport.REST, shop.question, 20)) as load:
        assert until(lambda: len(load.record.answers) > 20, patience=PATIENCE)
        shop.upload(CALC[1])
        assert until(done, patience=PATIENCE), shop.status.get("message")
        count = len(load.record.answers)
        assert until(lambda: len(load.record.answers) > count + 20, patience=PATIENCE)
    assert max(map(len, both)) == 1, "pods of both revisions at once"
    said = [s.get("message", "") for _, s in shop.follower.story.statuses]
    assert any("requests are answered 503 until then" in text for text in said)
    events = shop.kube.list("Event", shop.namespace)
    assert [e for e in events if e.get("reason") == "Recreating" and e.get("type") == "Warning"]
    answers = sorted(load.record.answers, key=lambda a: a.started)
    failed = [a for a in answers if a.failure]
    assert failed, "stable stopped and nobody noticed"
    others = [a.failure for a in failed if "503" not in str(a.failure)]
    assert not others, others[:3]
    assert answers[-1].version == 2
    assert answers[-1].failure is None
    down = max(a.ended for a in failed) - min(a.started for a in failed)
    record_property("downtime", f"{down:.1f} s, {len(failed)} requests: {failed[0].failure}")
