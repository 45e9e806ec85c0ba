"""Stories with an autoscaled object: its load, its rollouts, and the way in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulation.sim_hpa import KIND, Autoscalers, autoscale
from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World

CALM = 400.0  # seconds after which an autoscaler scales in


def _scale(world: World, number: int) -> int:
    """Replicas of a version's Deployment; 0 without one."""
    return sum(
        int(body["spec"]["replicas"])
        for key, body in world.api.objects.items()
        if key[0] == "Deployment" and f"-v{number}-" in key[1]
    )


def _bounds(world: World) -> list[tuple[str, int, int]]:
    """(version, minReplicas, maxReplicas) of all autoscalers."""
    found = []
    for body in world.api.of_kind(KIND):
        spec: Mapping[str, Any] = body["spec"]
        number = spec["scaleTargetRef"]["name"].split("-v")[1].split("-")[0]
        found.append((number, spec["minReplicas"], spec["maxReplicas"]))
    return found


def _serve_under(world: World, load: float) -> Autoscalers:
    """Version 1 serves, scaled to this load."""
    autoscalers = autoscale(world)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.run(lambda: _bounds(world) == [("1", 2, 8)])
    autoscalers.load = load
    world.run(lambda: _scale(world, 1) == load)
    return autoscalers


def autoscaled_promotion(world: World) -> None:
    """1 runs on 4 pods; 2 gets its share of 4, is promoted with 4 and scaled in by its own
    autoscaler once the load is gone."""
    autoscalers = _serve_under(world, 4)
    world.publish(version(2), version(1))
    world.run(lambda: written_weights(world).get(_name(world, 2)) == 50)
    assert (_scale(world, 1), _scale(world, 2)) == (4, 2)
    assert _bounds(world) == [("1", 4, 8)]
    world.run(lambda: world.stable_number() == 2)
    assert _scale(world, 2) == 4
    world.run(lambda: [b for b in _bounds(world) if b[0] == "2"] == [("2", 4, 8)])
    world.run(lambda: _scale(world, 1) == 0)
    world.run(lambda: _bounds(world) == [("2", 2, 8)])
    autoscalers.load = 1
    world.settle(CALM)
    assert _scale(world, 2) == 2


def _name(world: World, number: int) -> str:
    [name] = [n for k, n in world.api.objects if k == "Deployment" and f"-v{number}-" in n] or [""]
    return name


def autoscaled_load_rises(world: World) -> None:
    """At 50 % the load of 3 pods becomes that of 8: stable, with half of it, goes to 4, so 8 are
    needed in all; the candidate goes on with its share of 8 and is promoted with 8."""
    autoscalers = _serve_under(world, 3)
    steps = [{"weight": 50, "hold": "60s"}, {"weight": 75, "hold": "5s"}]
    world.edit_spec(lambda s: s["rollout"].update(steps=steps))
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 50)
    assert (_scale(world, 1), _scale(world, 2)) == (3, 2)
    autoscalers.load = 8
    world.run(lambda: _bounds(world) == [("1", 8, 8)])
    world.run(lambda: _scale(world, 2) == 4, limit=20)
    world.run(lambda: world.stable_number() == 2)
    assert _scale(world, 2) == 8
    world.settle(CALM)
    assert (_bounds(world), _scale(world, 2)) == ([("2", 2, 8)], 8)


def autoscaled_load_falls(world: World) -> None:
    """At 50 % the load of 6 pods becomes that of one: stable keeps its 6 until 2 is promoted."""
    autoscalers = _serve_under(world, 6)
    hold = [{"weight": 50, "hold": "10m"}]
    world.edit_spec(lambda s: s["rollout"].update(steps=hold))
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 50)
    autoscalers.load = 1
    world.settle(CALM)
    assert (_scale(world, 1), _scale(world, 2)) == (6, 3)
    world.run(lambda: world.stable_number() == 2)
    assert _scale(world, 2) == 6
    world.settle(CALM)
    assert _scale(world, 2) == 2


def autoscaled_rollback(world: World) -> None:
    """2 crashes at 50 %: 1 has all its pods for all requests, and its bounds again."""
    _serve_under(world, 5)
    hold = [{"weight": 50, "hold": "60s"}]
    world.edit_spec(lambda s: s["rollout"].update(steps=hold))
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 50)
    name = _name(world, 2)
    world.doomed.add(name)
    world.kubelet.behaviour[2] = "crash"
    world.kubelet.crash_all(name)
    world.run(lambda: written_weights(world).get(name, 0) == 0)
    world.run(lambda: _bounds(world) == [("1", 2, 8)])
    assert _scale(world, 1) == 5


def autoscaling_added(world: World) -> None:
    """From 3 replicas to an autoscaler: no new revision, nothing restarts, the count stays until
    the load moves it; then a rollout."""
    world.edit_spec(lambda s: s["serving"].update(replicas=3))
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.floor = 2  # an autoscaler has its own idea
    autoscalers = autoscale(world, load=3)
    world.run(lambda: _bounds(world) == [("1", 2, 8)])
    world.settle(60)
    assert _scale(world, 1) == 3
    autoscalers.load = 5
    world.run(lambda: _scale(world, 1) == 5)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    assert _scale(world, 2) == 5


def autoscaling_removed(world: World) -> None:
    """The autoscaler goes before its count is taken back to the spec's."""
    world.floor = 2
    _serve_under(world, 6)
    _fix(world, 3)
    world.run(lambda: _scale(world, 1) == 3)
    assert _bounds(world) == []
    world.settle(60)
    assert _scale(world, 1) == 3


def autoscaling_removed_mid_rollout(world: World) -> None:
    """At 50 %: both get their share of the spec's number."""
    world.floor = 2
    _serve_under(world, 6)
    hold = [{"weight": 50, "hold": "60s"}]
    world.edit_spec(lambda s: s["rollout"].update(steps=hold))
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 50)
    _fix(world, 4)
    world.run(lambda: (_scale(world, 1), _scale(world, 2)) == (4, 2))
    assert _bounds(world) == []
    world.run(lambda: world.stable_number() == 2)
    assert _scale(world, 2) == 4


def _fix(world: World, replicas: int) -> None:
    """The user wants a fixed number of pods from now on."""

    def change(spec: dict[str, Any]) -> None:
        del spec["serving"]["autoscaling"]
        spec["serving"]["replicas"] = replicas

    world.edit_spec(change)


def autoscaled_kept(world: World) -> None:
    """A kept former stable has no autoscaler; the operator keeps it at stable's count."""
    autoscalers = _serve_under(world, 4)
    world.edit_spec(lambda s: s.update(versions={"keep": 1}))
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.run(lambda: _bounds(world) == [("2", 2, 8)])
    autoscalers.load = 7
    world.run(lambda: (_scale(world, 1), _scale(world, 2)) == (7, 7))


def autoscaled_drift(world: World) -> None:
    """Somebody changes the Deployments of an autoscaled object: put back, at the present count,
    before and after its autoscaler has written the scale; an autoscaler that is deleted comes
    again."""
    autoscalers = _serve_under(world, 4)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.settle(120)
    _strip(world, 2)  # its count is still the operator's
    assert _scale(world, 2) == 4
    autoscalers.load = 6
    world.run(lambda: _scale(world, 2) == 6)
    _strip(world, 2)  # and now it is not
    assert _scale(world, 2) == 6
    world.api.delete((KIND, _name(world, 2)))
    world.run(lambda: _bounds(world) == [("2", 2, 8)])
    assert _scale(world, 2) == 6


def _strip(world: World, number: int) -> None:
    """Its Deployment loses the owner reference, and gets it again."""
    key = ("Deployment", _name(world, number))
    world.api.edit(key, lambda b: b["metadata"].update(ownerReferences=[]))
    world.run(lambda: bool(world.api.objects[key]["metadata"]["ownerReferences"]), limit=60)


AUTOSCALING: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        autoscaled_promotion,
        autoscaled_load_rises,
        autoscaled_load_falls,
        autoscaled_rollback,
        autoscaling_added,
        autoscaling_removed,
        autoscaling_removed_mid_rollout,
        autoscaled_kept,
        autoscaled_drift,
    )
}
