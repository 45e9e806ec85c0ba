"""Stories of what a person decides: which version is pinned, and what is kept for the way back."""

from __future__ import annotations

from typing import Any

from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World

OLD, NEW = version(1, "w", "y", "z"), version(2)
"""The old one has an output more, so that either way breaks clients."""


def _replace_old(world: World) -> None:
    _allow_breaking(world, True)
    world.publish(OLD)
    world.run(lambda: world.stable_number() == 1)
    world.publish(NEW, OLD)
    world.run(lambda: world.stable_number() == 2)
    _allow_breaking(world, False)


def _allow_breaking(world: World, allowed: bool) -> None:
    mode = "None" if allowed else "Backward"
    world.edit_spec(lambda s: s.update(gate={"compatibility": {"mode": mode}}))


def _pin(world: World, number: int | None) -> None:
    def edit(spec: dict[str, Any]) -> None:
        spec["versions"] = (
            {"policy": "Latest"}
            if number is None
            else {"policy": "Pinned", "pinned": {"number": number}}
        )

    world.edit_spec(edit)


def _condition(world: World, kind: str) -> tuple[str, str]:
    found = next(c for c in world.status["conditions"] if c["type"] == kind)
    return found["status"], found["reason"]


def _gone(world: World, number: int) -> bool:
    return not any(k[0] == "Deployment" and f"-v{number}-" in k[1] for k in world.api.objects)


def pinned_back(world: World) -> None:
    """Pinned to the former stable after its pods are gone: back without steps, though it breaks
    the clients of 2; 2 is not tried again until the policy says so."""
    _replace_old(world)
    world.run(lambda: _gone(world, 1))
    first = len(world.events)
    _pin(world, 1)
    world.run(lambda: world.stable_number() == 1)
    world.run(lambda: _gone(world, 2))
    assert sorted(written_weights(world).values()) == [100]
    assert not any("carries 10 %" in text for _, text in world.events[first:])
    world.settle(60)
    assert world.stable_number() == 1
    assert _condition(world, "UpToDate") == ("True", "UpToDate")


def pinned_mid_rollout(world: World) -> None:
    """Pinned to stable while 2 carries 10 %: 2 goes at once; Latest tries it again."""
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == 10)
    start = world.worked
    _pin(world, 1)
    world.run(lambda: list(written_weights(world).values())[:1] == [100])
    assert world.worked - start < 10
    world.run(lambda: _gone(world, 2))
    world.settle(60)
    assert not world.status["rejected"]
    _pin(world, None)
    world.run(lambda: world.stable_number() == 2)


def pinned_refused(world: World) -> None:
    """The pinned version is refused: what Git asks for cannot be had, so Stalled; 1 serves on."""
    world.bad.add(3)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(3, "y"), version(2), version(1))
    _pin(world, 3)
    world.run(lambda: _condition(world, "Stalled") == ("True", "Rejected"))
    assert _condition(world, "Ready")[0] == "True"
    assert world.stable_number() == 1
    _pin(world, 2)
    world.run(lambda: world.stable_number() == 2)
    assert _condition(world, "Stalled")[0] == "False"
    assert [r["number"] for r in world.status["rejected"]] == [3]


def pinned_missing(world: World) -> None:
    """The pinned version is not there yet: 1 serves, status says so; then it is rolled out."""
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    _pin(world, 4)
    world.publish(version(2), version(1))
    world.run(lambda: _condition(world, "UpToDate") == ("False", "PinnedMissing"))
    world.settle(60)
    assert world.stable_number() == 1
    assert _gone(world, 2)
    world.publish(version(4), version(2), version(1))
    world.run(lambda: world.stable_number() == 4)
    stepped = [
        w for w in world.operator_writes if w.startswith("route flowers-v4-") and " 10 %" in w
    ]
    assert stepped, "it is tried step by step"


def _scale(world: World, number: int) -> int:
    [found] = [
        body["spec"]["replicas"]
        for key, body in world.api.objects.items()
        if key[0] == "Deployment" and f"-v{number}-" in key[1]
    ]
    return int(found)


def kept_way_back(world: World) -> None:
    """One former stable is kept: it runs on at stable's scale, comes back without waiting for a
    pod, and the one that it replaces is kept in turn; 3 pushes it out; none are kept in the end."""
    world.edit_spec(lambda s: s.update(versions={"keep": 1}))
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.settle(120)
    assert sorted(written_weights(world).values()) == [0, 100]
    world.floor = 2  # until the operator saw the edit
    world.edit_spec(lambda s: s["serving"].update(replicas=3))
    world.run(lambda: _scale(world, 1) == 3)
    world.settle(30)
    pin = {"policy": "Pinned", "pinned": {"number": 1}, "keep": 1}
    world.kubelet.behaviour[1] = "never"  # no new pod of it would become ready
    world.edit_spec(lambda s: s.update(versions=pin))
    world.run(lambda: world.stable_number() == 1, limit=10)
    world.settle(120)
    assert _scale(world, 2) == 3
    world.edit_spec(lambda s: s.update(versions={"keep": 1}))
    world.publish(version(3), version(2), version(1))
    world.run(lambda: world.stable_number() == 3)
    world.run(lambda: _gone(world, 2))
    assert _scale(world, 1) == 3
    world.edit_spec(lambda s: s.update(versions={"keep": 0}))
    world.run(lambda: _gone(world, 1))
    assert list(written_weights(world).values()) == [100]


POLICY: dict[str, Scenario] = {
    s.__name__: s
    for s in (pinned_back, pinned_mid_rollout, pinned_refused, pinned_missing, kept_way_back)
}
