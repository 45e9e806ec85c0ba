"""Objects as the operator leaves them at the telling moments: by the real planner, simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from savedmodel_operator.cli.standing import Seen
from simulation.sim_api import OWNER, clone
from simulation.sim_scenarios import make, version
from simulation.sim_world import World

SEED = 11


def seen(world: World) -> Seen:
    """The object as `kubectl get` would give it."""
    body = clone(world.api.objects[OWNER])
    body["metadata"].setdefault("namespace", "shop")
    return Seen(body)


def served() -> World:
    """Version 1 serves."""
    world = make(SEED)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(30)
    return world


def empty() -> World:
    """The bucket has nothing yet."""
    world = make(SEED)
    world.settle(5)
    return world


def holding() -> World:
    """Version 2 has 10 %."""
    world = served()
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    world.run(lambda: "holds" in world.status["message"])
    return world


def paused(*weights: int) -> World:
    """Version 2 waits for a person at the first of these weights."""
    world = served()

    def edit(spec: dict[str, Any]) -> None:
        spec["rollout"]["steps"] = [{"weight": w, "pause": True} for w in weights or (20,)]

    world.edit_spec(edit)
    world.publish(version(2), version(1))
    world.run(lambda: world.status["phase"] == "Paused")
    return world


def suspended() -> World:
    """Version 2 has 10 % and is held there by the spec."""
    world = holding()
    world.edit_spec(lambda spec: spec.update(suspend=True))
    world.run(lambda: world.status["phase"] == "Paused")
    return world


def not_started() -> World:
    """Version 2 is not tried because of the spec."""
    world = served()
    world.edit_spec(lambda spec: spec.update(suspend=True))
    world.publish(version(2), version(1))
    world.settle(60)
    return world


def pinned_to_nothing() -> World:
    """The spec asks for a version that the bucket does not have."""
    world = served()
    world.edit_spec(
        lambda spec: spec.update(versions={"policy": "Pinned", "pinned": {"number": 7}})
    )
    world.settle(60)
    return world


def refused() -> World:
    """The gate did not let version 2 in."""
    world = served()
    world.publish(version(2, "y"), version(1))
    world.run(lambda: bool(world.status["rejected"]))
    world.settle(30)
    return world


def rolled_back() -> World:
    """Version 2 was aborted at 10 %."""
    world = holding()
    world.act("abort")
    world.run(lambda: bool(world.status["rejected"]))
    world.settle(60)
    return world


def stalled() -> World:
    """The first version crashes."""
    world = make(SEED)
    world.kubelet.behaviour[1] = "crash"
    world.publish(version(1))
    world.run(lambda: bool(world.status.get("rejected")))
    world.settle(60)
    return world


def promoted() -> World:
    """Version 2 took over."""
    world = holding()
    world.run(lambda: world.stable_number() == 2)
    world.settle(60)
    return world


def bytes_gone() -> World:
    """Version 1 serves and was deleted from the bucket."""
    world = served()
    world.publish()
    world.settle(60)
    return world


def overwritten() -> World:
    """Version 1 serves and has other bytes in the bucket, which keeps its old object versions."""
    world = served()
    world.bucket.versioned = True
    world.publish(version(1, content="b"))
    world.settle(60)
    return world


STORIES: dict[str, Callable[[], World]] = {
    f.__name__: f
    for f in (
        empty,
        served,
        holding,
        paused,
        suspended,
        not_started,
        pinned_to_nothing,
        refused,
        rolled_back,
        stalled,
        promoted,
        bytes_gone,
        overwritten,
    )
}
