"""Stories of bytes that vanish from the bucket, while they serve and while they are tried."""

from __future__ import annotations

from typing import Any

from simulation.sim_hpa import KIND, autoscale
from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World


def condition(world: World, kind: str) -> tuple[str, str]:
    """(status, reason) of a condition."""
    found = next(c for c in world.status["conditions"] if c["type"] == kind)
    return found["status"], found["reason"]


def serve(world: World, **versions: Any) -> str:
    """Version 1 serves on two pods; its revision."""
    if versions:
        world.edit_spec(lambda s: s.update(versions=versions))
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(30)
    revision: str = world.status["stable"]["revision"]
    return revision


def gone(world: World) -> bool:
    """Whether status tells that the bytes are gone."""
    return condition(world, "Restorable") == ("False", "LockedBytesGone")


def told(world: World, reason: str) -> int:
    """How often. An operator that dies after it wrote status has not told it: at most once."""
    return [r for r, _ in world.events].count(reason)


def _scale(world: World, revision: str) -> int:
    return int(world.api.objects[("Deployment", revision)]["spec"]["replicas"])


def _budget(world: World, revision: str) -> int:
    return int(world.api.objects[("PodDisruptionBudget", revision)]["spec"]["maxUnavailable"])


def _replicas(world: World, count: int) -> None:
    world.edit_spec(lambda s: s["serving"].update(replicas=count))


def present(world: World) -> str | None:
    """The fingerprint that serves."""
    found: str | None = (world.status.get("stable") or {}).get("fingerprint")
    return found


def tried(world: World, weight: int) -> bool:
    """Whether a candidate is known to carry so much."""
    return bool((world.status.get("candidate") or {}).get("weight") == weight)


def bytes_vanish(world: World) -> None:
    """The serving version is deleted from the bucket and comes back: it serves on, no drain may
    have its pods meanwhile, and each turn is told once."""
    revision = serve(world)
    assert condition(world, "Restorable") == ("True", "Restorable")
    world.publish()
    world.run(lambda: gone(world))
    world.settle(120)
    assert condition(world, "Ready") == ("True", "Serving")
    assert condition(world, "UpToDate")[0] == "True"
    assert _budget(world, revision) == 0
    assert "saved_model.pb" in world.status["message"]
    assert told(world, "LockedBytesGone") <= 1
    world.publish(version(1))
    world.run(lambda: condition(world, "Restorable")[0] == "True")
    world.settle(30)
    assert _budget(world, revision) == 1
    assert told(world, "LockedBytesGone") <= 1


def vanish_and_scale_down(world: World) -> None:
    """Fewer pods are wanted of bytes that are gone: all are kept, over a restart too, and go once
    the bytes are back."""
    revision = serve(world)
    world.publish()
    world.run(lambda: gone(world))
    _replicas(world, 1)
    world.settle(60)
    world.restart()
    world.settle(60)
    assert _scale(world, revision) == 2
    assert condition(world, "Ready") == ("True", "Serving")
    assert condition(world, "Reconciling") == ("False", "LockedBytesGone")
    assert "the scale stays at 2, not 1, until the bytes are back" in world.status["message"]
    world.publish(version(1))
    world.run(lambda: _scale(world, revision) == 1)


def vanish_and_scale_up(world: World) -> None:
    """More pods are wanted of bytes that are gone: none is started that could not fetch."""
    revision = serve(world)
    world.publish()
    world.run(lambda: gone(world))
    world.floor = 2
    _replicas(world, 3)
    world.settle(120)
    assert _scale(world, revision) == 2
    assert condition(world, "Ready") == ("False", "StableDegraded")
    assert condition(world, "Reconciling") == ("False", "LockedBytesGone")
    world.publish(version(1))
    world.run(lambda: _scale(world, revision) == 3)
    world.run(lambda: condition(world, "Ready")[0] == "True")


def last_pods_evicted(world: World) -> None:
    """A pod of gone bytes is taken away by force: told at once; its successor starts when they are
    back."""
    revision = serve(world)
    world.publish()
    world.run(lambda: gone(world))
    pods = [k for k in world.api.objects if k[0] == "Pod" and k[1].startswith(revision)]
    world.kubelet.leave(min(pods))
    world.run(lambda: world.status["stable"]["readyReplicas"] == 1)
    world.settle(60)
    lost = [t for r, t in world.events if r == "LockedBytesGone" and "lost a pod" in t]
    assert lost in ([], [f"{revision} lost a pod that cannot be replaced: 1 of 2 are left"])
    assert condition(world, "Ready") == ("False", "StableDegraded")
    world.publish(version(1))
    world.run(lambda: condition(world, "Ready")[0] == "True")


def candidate_vanishes(world: World) -> None:
    """2 vanishes while it carries 10 %: it keeps the weight that it has when that is seen, and goes
    on once it is back."""
    serve(world)
    world.publish(version(2), version(1))
    world.run(lambda: tried(world, 10))
    world.publish(version(1))
    world.run(lambda: condition(world, "RollingOut") == ("True", "LockedBytesGone"))
    kept = written_weights(world)
    world.settle(60)
    assert written_weights(world) == kept
    world.restart()
    world.settle(30)
    assert world.stable_number() == 1
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)


def candidate_lost(world: World) -> None:
    """2 vanishes for longer than the deadline: taken back, for it could not be started again."""
    serve(world)
    world.publish(version(2), version(1))
    world.run(lambda: tried(world, 10))
    world.publish(version(1))
    world.run(lambda: [r["reason"] for r in world.status["rejected"]] == ["LockedBytesGone"])
    assert world.stable_number() == 1


def stable_vanishes_mid_rollout(world: World) -> None:
    """1 vanishes while 2 is tried: 2 goes on; it is told that 1 cannot come back, and 1 ends."""
    former = serve(world)
    world.publish(version(2), version(1))
    world.run(lambda: tried(world, 10))
    world.publish(version(2))
    world.run(lambda: gone(world))
    _replicas(world, 1)
    world.run(lambda: world.stable_number() == 2)
    world.run(lambda: condition(world, "Restorable")[0] == "True")
    world.run(lambda: ("Deployment", former) not in world.api.objects)
    told = [t for r, t in world.events if r == "Promoted" and f"; {former}" in t]
    assert all("cannot come back once its pods have ended" in text for text in told)


def serving_change_while_gone(world: World) -> None:
    """A new flag needs a fetch of bytes that are gone: nothing is started, and it is Stalled until
    they are back."""
    revision = serve(world)
    world.publish()
    world.run(lambda: gone(world))
    world.edit_spec(lambda s: s["serving"].update(args=["--rest_api_num_threads=4"]))
    world.run(lambda: condition(world, "Stalled") == ("True", "LockedBytesGone"))
    world.settle(120)
    assert "cannot be started: saved_model.pb" in world.status["message"]
    assert [k[1] for k in world.api.objects if k[0] == "ControllerRevision"] == [revision]
    assert condition(world, "Ready")[0] == "True"
    world.publish(version(1))
    world.run(lambda: world.status["stable"]["revision"] != revision)
    world.settle(30)
    assert condition(world, "Stalled")[0] == "False"


def unreadable_is_not_gone(world: World) -> None:
    """The key expires: Unknown, and a person may scale down. What was gone before stays gone while
    nobody can look, over a restart too."""
    revision = serve(world)
    world.bucket.readable = False
    world.wake(0.05)
    world.run(lambda: condition(world, "Restorable") == ("Unknown", "Forbidden"))
    world.floor = 1
    _replicas(world, 1)
    world.run(lambda: world.status["stable"]["readyReplicas"] == 1)
    _replicas(world, 2)
    world.run(lambda: world.status["stable"]["readyReplicas"] == 2)
    world.bucket.readable = True
    world.publish()
    world.run(lambda: gone(world))
    world.bucket.readable = False
    world.wake(0.05)
    world.settle(5)
    world.restart()
    _replicas(world, 1)
    world.settle(60)
    assert gone(world)
    assert _scale(world, revision) == 2
    world.bucket.readable = True
    world.publish(version(1))
    world.run(lambda: _scale(world, revision) == 1)


def status_lost_while_gone(world: World) -> None:
    """Status and process are lost while the bytes are gone and fewer pods are wanted: nobody knows
    until the bucket is read, so nothing is taken."""
    revision = serve(world)
    world.publish()
    world.run(lambda: gone(world))
    world.stop()
    _replicas(world, 1)
    world.lose_status()
    world.start()
    world.run(lambda: "stable" in world.status)
    world.settle(60)
    assert gone(world)
    assert _scale(world, revision) == 2
    world.publish(version(1))
    world.run(lambda: _scale(world, revision) == 1)


def kept_without_bytes(world: World) -> None:
    """A former stable that is kept comes back at once though its bytes are gone: its pods run."""
    serve(world, keep=1)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.settle(60)
    world.publish(version(2))
    world.settle(30)
    pin = {"policy": "Pinned", "pinned": {"number": 1}, "keep": 1}
    world.edit_spec(lambda s: s.update(versions=pin))
    world.run(lambda: world.stable_number() == 1, limit=20)
    world.run(lambda: gone(world))


def vanish_while_autoscaled(world: World) -> None:
    """The load falls and rises while the bytes are gone: the autoscaler may do neither, nor may
    taking it away; once they are back the count is the spec's again."""
    autoscalers = autoscale(world)
    revision = serve(world)
    autoscalers.load = 4
    world.run(lambda: _scale(world, revision) == 4)
    world.publish()
    world.run(lambda: gone(world))
    for load in (1, 8):
        autoscalers.load = load
        world.settle(400)
        [found] = world.api.of_kind(KIND)
        assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (4, 4)
        assert _scale(world, revision) == 4
    assert condition(world, "Ready")[0] == "True"

    def fix(spec: dict[str, Any]) -> None:
        del spec["serving"]["autoscaling"]
        spec["serving"]["replicas"] = 1

    world.edit_spec(fix)
    world.settle(60)
    assert _scale(world, revision) == 4
    world.publish(version(1))
    world.run(lambda: _scale(world, revision) == 1)


RESTORABLE: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        bytes_vanish,
        vanish_and_scale_down,
        vanish_and_scale_up,
        last_pods_evicted,
        candidate_vanishes,
        candidate_lost,
        stable_vanishes_mid_rollout,
        serving_change_while_gone,
        unreadable_is_not_gone,
        status_lost_while_gone,
        kept_without_bytes,
        vanish_while_autoscaled,
    )
}
