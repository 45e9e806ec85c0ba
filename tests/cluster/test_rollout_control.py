"""Hands on a rollout: a person's verbs, newer versions, drift, a full GPU, deletion."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cluster_shop import NAME, PATIENCE, Shop, operator_pod, refusal
from lab.cluster import until
from lab.follow import condition
from lab.install import NAMESPACE, RELEASE
from lab.kube import SMD, Kube, Object
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster

V1, V2, V3 = CALC[:3]
GPU = "nvidia.com/gpu"
SETTLED = 10.0  # seconds without a failure: longer than anything here repeats itself


def test_verbs_and_a_newer_version_steer_a_rollout(shop: Shop) -> None:
    shop.serve(V1, steps=(Step(20, pause=True),))
    with shop.load() as load:
        shop.upload(V2)
        shop.wait_paused(2)

        shop.act("abort")
        status = shop.wait(lambda s: refusal(s, 2) is not None, "the rollback of version 2")
        candidate = refusal(status, 2)
        assert candidate is not None
        assert (candidate["kind"], candidate["reason"]) == ("RolledBack", "Aborted")
        assert until(lambda: _weight_of(shop, 2) == 0, patience=PATIENCE)
        gone = candidate["revision"]
        assert until(lambda: not _exists(shop, gone), patience=PATIENCE), f"{gone} is still there"

        shop.act("retry v2")
        shop.wait_paused(2)

        shop.upload(V3)
        status = shop.wait_paused(3)
        assert status["history"][0]["number"] == 2
        assert status["stable"]["number"] == 1

        shop.act("promote v3 0 #by-hand")
        status = shop.wait_stable(3)
        assert status["lastHandledAction"] == "promote v3 0 #by-hand"
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1, 2, 3}


def test_what_others_change_is_put_back(shop: Shop) -> None:
    """Routers keep their last good configuration while the written one cannot be read."""
    shop.serve(V1, replicas=2)
    revision = shop.status["stable"]["revision"]
    router = f"{NAME}-router"
    with shop.load() as load:
        shop.kube.patch("Deployment", shop.namespace, revision, {"spec": {"replicas": 3}})
        _wait_for(shop, "Deployment", revision, lambda o: o["spec"]["replicas"] == 2)

        data = _get(shop, "ConfigMap", router)["data"]
        spoiled = {file: text[: len(text) // 2] for file, text in data.items()}
        shop.kube.patch("ConfigMap", shop.namespace, router, {"data": spoiled})
        _wait_for(shop, "ConfigMap", router, lambda o: o["data"] == data)
        shop.wait(lambda s: condition(s, "TrafficSynced") == "True", "verified routers")
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()


def test_a_deleted_service_comes_back_and_traffic_with_it(shop: Shop) -> None:
    """Without it DNS denies the name, so requests fail; they do not any more once it has settled:
    DNS keeps a denial for some seconds, and then the routers have to look again."""
    shop.serve(V1)
    revision = shop.status["stable"]["revision"]
    before = _get(shop, "Service", revision)["metadata"]["uid"]
    with shop.load() as load:
        shop.kube.delete("Service", shop.namespace, revision)
        _wait_for(shop, "Service", revision, lambda o: o["metadata"]["uid"] != before)
        back = time.time()

        def settled() -> bool:
            seen = load.record.summary(max(back, time.time() - SETTLED))
            return time.time() - back > SETTLED and seen.requests > 200 and not seen.failed

        assert until(settled, patience=PATIENCE), load.record.summary(back).explain()


@pytest.fixture
def gpus(kube: Kube) -> Iterator[str]:
    """The node's name; it has one GPU, as far as the scheduler knows, for this test."""
    node = kube.list("Node")[0]["metadata"]["name"]
    set_gpus(kube, node, "1")
    yield node
    set_gpus(kube, node, None)


def set_gpus(kube: Kube, node: str, count: str | None) -> None:
    status = {"capacity": {GPU: count}, "allocatable": {GPU: count}}
    kube.core.patch_node_status(node, {"status": status})


def test_a_candidate_without_a_gpu_waits_with_the_schedulers_words(shop: Shop, gpus: str) -> None:
    shop.upload(V1)
    manifest = shop.manifest()
    manifest["spec"]["serving"]["resources"]["limits"][GPU] = 1
    shop.kube.apply(manifest)
    shop.wait(lambda s: condition(s, "Ready") == "True", "version 1 on the GPU")
    with shop.load() as load:
        shop.upload(V2)
        words = f"Insufficient {GPU}"
        status = shop.wait(lambda s: words in s.get("message", ""), "the scheduler's words")
        assert status["stable"]["readyReplicas"] == 1
        assert condition(status, "Ready") == "True"
        assert status["phase"] == "Progressing"
        set_gpus(shop.kube, gpus, "2")
        shop.wait_stable(2)
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()


def test_everything_goes_with_its_object_while_the_operator_is_down(shop: Shop) -> None:
    shop.serve(V1)
    scale = {"spec": {"replicas": 0}}
    shop.kube.patch("Deployment", NAMESPACE, RELEASE, scale)
    try:
        selector = f"app.kubernetes.io/name={RELEASE}"
        assert until(lambda: not shop.kube.list("Pod", NAMESPACE, selector), patience=PATIENCE)
        shop.kube.delete(SMD, shop.namespace, NAME)
        assert until(lambda: not _owned(shop), patience=PATIENCE), _owned(shop)
        assert shop.kube.get(SMD, shop.namespace, NAME) is None
    finally:
        shop.kube.patch("Deployment", NAMESPACE, RELEASE, {"spec": {"replicas": 1}})
        operator_pod(shop.kube)


def _owned(shop: Shop) -> list[str]:
    """Everything that carries our label, pods and their ReplicaSets too."""
    kinds = (
        "Pod", "ReplicaSet", "Deployment", "Service", "ConfigMap", "ControllerRevision",
        "PodDisruptionBudget", "NetworkPolicy",
    )  # fmt: skip
    selector = f"savedmodel.dev/deployment={NAME}"
    return [
        f"{kind}/{found['metadata']['name']}"
        for kind in kinds
        for found in shop.kube.list(kind, shop.namespace, selector)
    ]


def _weight_of(shop: Shop, number: int) -> int:
    """Percent of a version by what is written for the routers now."""
    weights = shop.follower.story.routes[-1].weights
    return sum(weight for name, weight in weights.items() if f"-v{number}-" in name)


def _exists(shop: Shop, revision: str) -> bool:
    return shop.kube.get("Deployment", shop.namespace, revision) is not None


def _get(shop: Shop, kind: str, name: str) -> Object:
    found = shop.kube.get(kind, shop.namespace, name)
    assert found is not None, f"{kind} {name} is not there"
    return found


def _wait_for(shop: Shop, kind: str, name: str, done: object) -> None:
    assert callable(done)
    shop.kube.wait(
        kind, shop.namespace, name, lambda o: o is not None and bool(done(o)), 60, "being put back"
    )
