"""Violence during a rollout: whatever falls over beside the clients, none of their requests fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cluster_shop import Shop, kill_operator, operator_pod
from lab import install
from lab.load import Load
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster


@pytest.fixture
def paused(shop: Shop) -> Iterator[Load]:
    """Version 2 waits at 30 % for a person, under load; two pods and two routers each."""
    shop.serve(CALC[0], replicas=2, steps=(Step(30, pause=True),))
    with shop.load() as load:
        shop.upload(CALC[1])
        shop.wait_paused(2)
        yield load


def test_nobody_notices_what_falls_over_during_a_rollout(shop: Shop, paused: Load) -> None:
    """Operator killed, router drained, DNS restarted, stable pod deleted, operator upgraded."""
    load = paused
    stable = shop.status["stable"]["revision"]
    models = {pod["metadata"]["uid"] for pod in shop.pods("model")}

    kill_operator(shop.kube)
    _none_failed(load, "the operator was killed")

    shop.wait_pods("router", 2)  # the disruption budget lets one of two go, never one of one
    router = shop.pods("router")[0]["metadata"]
    shop.kube.evict(shop.namespace, router["name"])
    shop.wait_pods("router", 2, without=router["uid"])
    _none_failed(load, "a router was drained")

    shop.cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
    shop.cluster.wait_rolled_out("kube-system", "coredns")
    _none_failed(load, "CoreDNS was restarted")

    assert models == {pod["metadata"]["uid"] for pod in shop.pods("model")}, "model pods changed"
    victim = shop.pods("model", stable)[0]["metadata"]
    shop.kube.delete("Pod", shop.namespace, victim["name"])
    shop.wait_pods("model", 2, without=victim["uid"], revision=stable)
    _none_failed(load, "a stable pod was deleted")

    models = {pod["metadata"]["uid"] for pod in shop.pods("model")}
    before = operator_pod(shop.kube)["metadata"]["uid"]
    mark = {"podAnnotations.upgraded": uuid.uuid4().hex}
    install.upgrade({**shop.installed.values, **mark})
    assert operator_pod(shop.kube)["metadata"]["uid"] != before, "the operator was not upgraded"
    assert models == {pod["metadata"]["uid"] for pod in shop.pods("model")}, "model pods changed"
    _none_failed(load, "the operator was upgraded")

    shop.act("promote v2")
    shop.wait_stable(2)
    shop.wait_left()
    seen = load.stop().summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1, 2}


def test_a_killed_operator_finishes_what_it_began(shop: Shop) -> None:
    """Killed as soon as the first weight is written, it goes on from what it finds."""
    shop.serve(CALC[0], steps=(Step(50, hold=3),))
    with shop.load() as load:
        shop.upload(CALC[1])
        shop.wait(lambda s: (s.get("candidate") or {}).get("liveChecked"), "the live checks")
        kill_operator(shop.kube)
        shop.wait_stable(2)
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert seen.versions.get(2), "version 2 never answered"


def _none_failed(load: Load, event: str) -> None:
    seen = load.record.summary()
    assert seen.failed == 0, f"after {event}: {seen.explain()}"
