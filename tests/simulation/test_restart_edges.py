"""Moments around a restart that the stories meet seldom, each as one snapshot; and their words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.gate.verdict import errored, rejected
from savedmodel_operator.plan.decide import decide
from savedmodel_operator.plan.rollout import LOOK_AGAIN
from simulation.sim_api import Refused, SimApi, clone
from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import make, version
from simulation.sim_world import World


def tried_at(weight: int) -> World:
    """Version 1 serves, 2 is tried."""
    world = make(19)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: (world.status.get("candidate") or {}).get("weight") == weight)
    return world


def test_a_candidate_whose_record_is_not_seen_yet_is_not_given_up() -> None:
    snapshot = tried_at(10).observe()
    revision = snapshot.status["candidate"]["revision"]
    there = {k: o for k, o in snapshot.objects.items() if k != ("ControllerRevision", revision)}
    unlisted = SourceView(Reason.SourcePending, "not listed yet")
    plan = decide(replace(snapshot, objects=there, source=unlisted))
    assert plan.status["candidate"]["revision"] == revision
    assert not any(e.reason is Reason.Superseded for e in plan.events)


def test_the_first_revision_keeps_its_requests_when_a_newer_one_comes() -> None:
    """Its weight is written and not verified yet, or the answer to the write that said so is lost:
    to take it away would leave nobody to answer."""
    world = make(19)
    world.publish(version(1))
    world.run(lambda: sum(written_weights(world).values()) == 100)
    assert world.stable_number() is None
    world.bucket.versions = (version(2), version(1))
    plan = decide(world.observe())
    assert plan.status["candidate"]["number"] == 1
    assert not any(" 0 %" in a.why for a in plan.actions)
    world.run(lambda: world.stable_number() == 2)


def test_an_unasked_candidate_beyond_its_deadline_is_looked_at_now_and_then() -> None:
    world = make(19)
    world.live[2] = errored("golden", "there is no ConfigMap")
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("message") == "there is no ConfigMap")
    snapshot = world.observe()
    late = snapshot.now + 3600
    plan = decide(replace(snapshot, now=late, live={}))
    assert not plan.status["rejected"], "nobody asked it: that is not its fault"
    assert plan.wake_at is not None
    assert plan.wake_at >= late + LOOK_AGAIN


def test_what_stays_out_is_told_once_and_with_its_remedy() -> None:
    world = tried_at(10)
    world.act("abort")
    world.run(lambda: bool(world.status["rejected"]))
    world.settle(60)
    assert world.status["message"] == (
        "version 1 serves on 2 of 2 pods; version 2 stays out: aborted by hand (at 10 %; use the "
        "action retry to try it again)"
    )
    world = make(19)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2, "y"), version(1))
    world.run(lambda: bool(world.status["rejected"]))
    world.settle(60)
    assert "; version 2 stays out: refused before any traffic: " in world.status["message"]


def test_a_wrong_answer_is_no_wait() -> None:
    """The clamp on wake-ups keeps nothing bad alive."""
    world = tried_at(10)
    snapshot = world.observe()
    revision = snapshot.status["candidate"]["revision"]
    verdict = replace(rejected("golden", Reason.GoldenMismatch, "y[0]: …"), files="f")
    plan = decide(replace(snapshot, live={revision: verdict}, now=snapshot.now + 3600))
    assert [r["revision"] for r in plan.status["rejected"]] == [revision]


def test_a_weight_that_a_crash_took_back_is_not_forgotten() -> None:
    """The route was taken back between two steps and status not written; wrong answers are seen two
    restarts later."""
    snapshot = tried_at(10).observe()
    between = {k: v for k, v in snapshot.status["candidate"].items() if k != "stepSince"}
    revision, config = snapshot.status["candidate"]["revision"], ("ConfigMap", "flowers-router")
    taken = clone(snapshot.objects[config].body)
    weights = {snapshot.status["stable"]["revision"]: 100, revision: 0}
    taken["metadata"]["annotations"][names.ANNOTATION_ROUTE] = json.dumps({"weights": weights})
    there = {**snapshot.objects, config: replace(snapshot.objects[config], body=taken)}
    status = {**snapshot.status, "candidate": between}
    unasked = decide(replace(snapshot, objects=there, status=status, live={}))
    assert unasked.status["candidate"]["weight"] == 0
    wrong = replace(rejected("golden", Reason.GoldenMismatch, "y[0]: …"), files="f")
    after = replace(snapshot, objects=there, status=unasked.status, live={revision: wrong})
    assert [r["kind"] for r in decide(after).status["rejected"]] == ["RolledBack"]


def deployment(**spec: object) -> dict[str, object]:
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {}, **spec}}


def test_the_simulated_api_server_knows_who_owns_a_field() -> None:
    """As a real one does (facts; live): what only an apply owned is gone with it, what somebody
    else took stays theirs."""
    api = SimApi()
    made = api.create(deployment())
    uid = made["metadata"]["uid"]
    assert made["spec"]["replicas"] == 1
    key = ("Deployment", "d")
    api.apply(deployment(replicas=3), uid, api.objects[key]["metadata"]["resourceVersion"])
    assert api.managers(key)["spec.replicas"] == "savedmodel-operator"
    api.apply(deployment(), uid, api.objects[key]["metadata"]["resourceVersion"])
    assert api.objects[key]["spec"]["replicas"] == 1, "nobody owned it any more: the default"
    api.apply(deployment(replicas=3), uid, api.objects[key]["metadata"]["resourceVersion"])
    api.edit(key, lambda b: b["spec"].update(replicas=5), manager="autoscaler")
    assert api.managers(key)["spec.replicas"] == "autoscaler"
    api.apply(deployment(), uid, api.objects[key]["metadata"]["resourceVersion"])
    assert api.objects[key]["spec"]["replicas"] == 5, "it is the autoscaler's"
    version_seen = api.objects[key]["metadata"]["resourceVersion"]
    api.edit(key, lambda b: b["spec"].update(replicas=6), manager="autoscaler")
    with pytest.raises(Refused, match="Conflict"):
        api.apply(deployment(replicas=2), uid, version_seen)


def test_routers_that_others_shrink_in_a_rollout_are_put_back_in_it() -> None:
    """A step may wait for a person for days; only what is new waits with it."""
    world = tried_at(10)
    router = ("Deployment", "flowers-router")
    world.act("pause v2")
    world.run(lambda: world.status["phase"] == "Paused")
    world.api.edit(router, lambda b: b["spec"].update(replicas=1))
    world.api.edit(router, lambda b: b["metadata"].update(ownerReferences=[]))
    world.cache[router] = world.api.objects[router]
    snapshot = world.observe()
    [action] = [a for a in decide(snapshot).actions if "flowers-router" in a.why]
    assert action.why.startswith("Deployment flowers-router: ")
    next_release = replace(snapshot.settings, router_image="localhost/envoy:next")
    later = decide(replace(snapshot, settings=next_release))
    assert not [a for a in later.actions if "flowers-router" in a.why]
