"""The named stories: each drives a world to its end and says what the end must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject, VersionView
from savedmodel_operator.gate.verdict import errored, passed, rejected
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from simulation.sim_api import OWNER
from simulation.sim_invariants import written_weights
from simulation.sim_world import Fault, World

SPEC: Mapping[str, Any] = {
    "source": {"uri": "s3://models/flowers", "secretRef": {"name": "savedmodel-storage"}},
    "serving": {"image": "localhost/tensorflow-serving-compatible:2.20.0", "replicas": 2},
    "rollout": {
        "steps": [{"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "10s"}],
        "deadline": "2m",
        "scaleDownDelay": "20s",
    },
    "traffic": {"router": {"replicas": 2}},
}


def facts(*outputs: str) -> ModelFacts:
    """A model with these outputs."""
    tensors = {name: TensorSpec("float32", (-1, 3), f"{name}:0") for name in outputs}
    x = {"x": TensorSpec("float32", (-1, 4), "x:0")}
    signature = Signature("tensorflow/serving/predict", x, tensors)
    return ModelFacts(1, (GraphFacts(("serve",), {"serving_default": signature}, {"MatMul": 1}),))


def version(number: int, *outputs: str, content: str = "a") -> VersionView:
    """A complete version in the bucket."""
    fingerprint = f"sha256:{number:04d}{content}"
    objects = (LockedObject("saved_model.pb", 100, "etag"),)
    lock = Lock("models", f"flowers/{number}/", number, str(number), fingerprint, objects)
    return VersionView(
        number,
        str(number),
        fingerprint,
        100,
        1,
        Reason.Complete,
        "",
        facts(*(outputs or ("y", "z"))),
        lock,
    )


Scenario = Callable[[World], None]


def _serve_first(world: World) -> None:
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)


def first_revision(world: World) -> None:
    """An empty bucket, then version 1: full scale and 100 % without steps."""
    world.settle(5)
    _serve_first(world)
    assert sorted(written_weights(world).values()) == [100]


def promotion(world: World) -> None:
    """1 → 2 step by step; 1 goes after its delay."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.run(lambda: not _deployed(world, 1))


def refusal(world: World) -> None:
    """Version 2 lacks an output: refused, and never started."""
    world.bad.add(2)
    _serve_first(world)
    world.publish(version(2, "y"), version(1))
    world.run(lambda: [r["number"] for r in world.status["rejected"]] == [2])
    world.settle(60)
    assert not _deployed(world, 2)
    assert world.stable_number() == 1


def missing_op(world: World) -> None:
    """Version 2 has an op that the image's TensorFlow lacks: refused by its name, never started."""
    world.bad.add(2)
    _serve_first(world)
    newer = facts("y", "z")
    graph = replace(newer.graphs[0], ops={"MatMul": 1, "DecodeJxl": 1})
    world.publish(replace(version(2), facts=replace(newer, graphs=(graph,))), version(1))
    world.run(lambda: [r["number"] for r in world.status["rejected"]] == [2])
    world.settle(60)
    [refused] = world.status["rejected"]
    assert refused["reason"] == "OpMissing"
    assert "op DecodeJxl is not in TensorFlow 2.20 (it came with 2.21)" in refused["message"]
    assert not _deployed(world, 2)
    assert world.stable_number() == 1


def newer_mid_rollout(world: World) -> None:
    """3 arrives while 2 carries traffic: 2 ends, 3 starts at step 0 against 1."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.publish(version(3), version(2), version(1))
    world.run(lambda: world.stable_number() == 3)
    world.run(lambda: not _deployed(world, 2))
    assert not any(h["number"] == 2 and h["outcome"] == "Promoted" for h in world.status["history"])


def abort(world: World) -> None:
    """A person aborts at 50 %: back to 1, and 2 is not tried again."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 50)
    world.act("abort")
    world.run(lambda: not _deployed(world, 2))
    world.settle(60)
    assert world.stable_number() == 1
    assert [r["number"] for r in world.status["rejected"]] == [2]


def abort_and_retry(world: World) -> None:
    """After an abort, retry starts the same version from step 0."""
    abort(world)
    world.act("retry v2 #again")
    world.run(lambda: world.stable_number() == 2)


def serving_change(world: World) -> None:
    """A new flag is a new revision of the same version, rolled out the same way."""
    _serve_first(world)
    before = world.status["stable"]["revision"]
    world.edit_spec(lambda s: s["serving"].update(args=["--rest_api_num_threads=4"]))
    world.run(lambda: world.status["stable"]["revision"] != before)
    assert world.stable_number() == 1


def deletion(world: World) -> None:
    """The object is deleted in the middle of a rollout with the operator down: all goes."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.invariants.clear()
    world.duties.clear()
    world.stop()
    world.api.delete(OWNER)
    world.start()
    world.run(lambda: not world.api.objects)


def never_ready(world: World) -> None:
    """2 never becomes ready: rolled back at the deadline, 1 never disturbed."""
    world.kubelet.behaviour[2] = "never"
    world.bad.add(2)
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: [r["number"] for r in world.status["rejected"]] == [2], limit=400)
    world.run(lambda: not _deployed(world, 2))
    assert world.stable_number() == 1


def crash_loop(world: World) -> None:
    """2 crashes: rolled back long before the deadline."""
    world.kubelet.behaviour[2] = "crash"
    world.bad.add(2)
    _serve_first(world)
    start = world.now
    world.publish(version(2), version(1))
    world.run(lambda: [r["reason"] for r in world.status["rejected"]] == ["CrashLoop"])
    assert world.now - start < 60
    world.run(lambda: not _deployed(world, 2))


def paused_step(world: World) -> None:
    """A step with pause waits for promote, however long."""
    _serve_first(world)
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 20, "pause": True}]))
    world.publish(version(2), version(1))
    world.run(lambda: world.status["phase"] == "Paused")
    world.settle(600)
    assert world.status["phase"] == "Paused"
    world.act("promote v2 0")
    world.run(lambda: world.stable_number() == 2)


def paused_by_hand(world: World) -> None:
    """A person pauses 2 at 10 %: far beyond hold, deadline and a restart nothing moves."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.act("pause v2")
    world.run(lambda: world.status["phase"] == "Paused")
    world.settle(300)
    world.restart()
    world.settle(300)
    _held_at(world, 10)
    world.act("resume v2")
    world.run(lambda: world.stable_number() == 2)


def paused_before_the_first_step(world: World) -> None:
    """Paused before it got a request: weight 0 until promote, which lets it go on."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: "candidate" in world.status)
    world.act("pause")
    world.run(lambda: world.status["phase"] == "Paused", limit=120)
    world.settle(600)
    world.stop()
    world.after(300, 300, world.start)
    world.settle(360)
    _held_at(world, 0)
    world.act("promote v2")
    world.run(lambda: world.stable_number() == 2)


def suspended(world: World) -> None:
    """spec.suspend while 2 carries 10 %: it stays there, 3 does not replace it, nothing starts
    after an abort, a lost pod is healed; then all goes on with 3."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.edit_spec(lambda s: s.update(suspend=True))
    world.run(lambda: world.status["phase"] == "Paused")
    world.publish(version(3), version(2), version(1))
    world.settle(600)
    _held_at(world, 10)
    world.act("abort")
    world.run(lambda: not _deployed(world, 2))
    world.settle(120)
    assert not _deployed(world, 3)
    assert world.status["message"] == (
        "version 3 waits, because spec.suspend is true; version 1 serves"
    )
    stable = world.status["stable"]["revision"]
    world.api.delete(("PodDisruptionBudget", stable))
    world.run(lambda: ("PodDisruptionBudget", stable) in world.api.objects)
    world.edit_spec(lambda s: s.update(suspend=False))
    world.run(lambda: world.stable_number() == 3)


def suspended_while_starting(world: World) -> None:
    """spec.suspend before the first request of 2, lifted while the operator is down for longer
    than the deadline: 2 goes on as if it had just begun."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: "candidate" in world.status)
    world.edit_spec(lambda s: s.update(suspend=True))
    world.run(lambda: world.status["phase"] == "Paused")
    world.settle(60)
    _held_at(world, 0)
    world.stop()
    world.settle(600)
    world.edit_spec(lambda s: s.update(suspend=False))
    world.start()
    world.run(lambda: world.stable_number() == 2)
    assert not world.status["rejected"]


def paused_and_crashed(world: World) -> None:
    """A pause protects nobody: what crashes while it is paused is taken back."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.act("pause")
    world.run(lambda: world.status["phase"] == "Paused")
    revision = world.status["candidate"]["revision"]
    world.doomed.add(revision)
    world.kubelet.behaviour[2] = "crash"
    world.kubelet.crash_all(revision)
    world.run(lambda: [r["kind"] for r in world.status["rejected"]] == ["RolledBack"])
    world.run(lambda: not _deployed(world, 2))
    assert world.stable_number() == 1


def _held_at(world: World, weight: int) -> None:
    assert world.status["phase"] == "Paused", world.tail()
    assert world.status["candidate"]["number"] == 2
    assert world.status["candidate"]["weight"] == weight
    assert sorted(written_weights(world).values()) == sorted((weight, 100 - weight))
    assert not world.status["rejected"]


def golden_failure(world: World) -> None:
    """2 answers wrongly: refused without weight. A corrected file brings it back by itself."""
    world.bad.add(2)
    world.live[2] = replace(rejected("golden", Reason.GoldenMismatch, "y[0]: …"), files="first")
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: [r["reason"] for r in world.status["rejected"]] == ["GoldenMismatch"])
    world.run(lambda: not _deployed(world, 2))
    world.golden = "first"
    world.wake(1)
    world.settle(60)
    assert not _deployed(world, 2), "the file is the one that it was judged by"
    world.bad.clear()
    world.live[2], world.golden = passed("live", "right"), "second"
    world.wake(1)
    world.run(lambda: world.stable_number() == 2)
    assert not world.status["rejected"]


def golden_error(world: World) -> None:
    """The file of a golden request is missing for far longer than the deadline: 2 waits, and is
    promoted once it is there."""
    world.bad.add(2)
    world.live[2] = errored("golden", "there is no ConfigMap")
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("message") == "there is no ConfigMap")
    world.settle(200)
    world.stop()  # nobody sets the clock back for a while
    world.after(150, 150, world.start)
    world.settle(180)
    assert world.status["candidate"]["number"] == 2
    assert not world.status["rejected"]
    world.bad.clear()
    world.live[2] = passed("live", "right")
    world.run(lambda: world.stable_number() == 2)


def late_pod_fails(world: World) -> None:
    """A pod that the second step added answers wrongly: 2 is rolled back from the first weight."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.live[2] = replace(rejected("golden", Reason.GoldenMismatch, "y[0]: …"), files="first")
    world.run(lambda: [r["kind"] for r in world.status["rejected"]] == ["RolledBack"])
    world.run(lambda: not _deployed(world, 2))
    assert world.stable_number() == 1
    assert world.status["rejected"][0]["reason"] == "GoldenMismatch"


def drift(world: World) -> None:
    """Hands in the children: scale, route and a deleted Service are put back."""
    _serve_first(world)
    revision = world.status["stable"]["revision"]
    world.settle(30)
    world.doomed.add(revision)
    world.floor = 0
    world.api.edit(("Deployment", revision), lambda b: b["spec"].update(replicas=1))
    world.api.delete(("Service", revision))
    world.run(
        lambda: (
            world.api.objects[("Deployment", revision)]["spec"]["replicas"] == 2
            and ("Service", revision) in world.api.objects
        )
    )


def _deployed(world: World, number: int) -> bool:
    return any(k[0] == "Deployment" and f"-v{number}-" in k[1] for k in world.api.objects)


SCENARIOS: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        first_revision,
        promotion,
        refusal,
        missing_op,
        newer_mid_rollout,
        abort,
        abort_and_retry,
        serving_change,
        deletion,
        never_ready,
        crash_loop,
        paused_step,
        paused_by_hand,
        paused_before_the_first_step,
        paused_and_crashed,
        suspended,
        suspended_while_starting,
        golden_failure,
        golden_error,
        late_pod_fails,
        drift,
    )
}


def make(seed: int, *faults: Fault) -> World:
    """A fresh world for a scenario."""
    world = World(seed, SPEC, faults)
    world.start()
    return world
