"""Stories of `rollout.capacity: Recreate`: stop before start, and the way back."""

from __future__ import annotations

from simulation.sim_capacity import (
    REPLACED,
    WRONG,
    _back_to_1,
    _begin,
    _pods,
    _promoted,
    _ready,
    _silent,
)
from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import Scenario, _deployed, version
from simulation.sim_world import World


def _recreate(world: World, replicas: int = 1) -> None:
    _begin(world, "Recreate", replicas)


def recreate(world: World) -> None:
    """One pod: 1 stops, nobody is answered, 2 starts; status says it."""
    _recreate(world)
    world.run(lambda: _silent(world))
    world.run(lambda: "answered 503" in world.status["message"])
    assert world.status["stable"]["weight"] == 0
    _promoted(world, 2, 1)


def recreate_stuck_router(world: World) -> None:
    """A router does not take the route without 1: 1 runs on until it does."""
    _recreate(world)
    stuck = world.routers.pods()[0]["metadata"]["name"]
    world.routers.stuck.add(stuck)
    world.run(lambda: _silent(world))
    world.settle(60)
    assert _ready(world, 1) == 1
    world.routers.stuck.clear()
    _promoted(world, 2, 1)


def recreate_wrong_answers(world: World) -> None:
    """2 answers wrongly: it gets no request, 1 is started again and serves."""
    world.bad.add(2)
    world.live[2] = WRONG
    _recreate(world)
    world.run(lambda: _silent(world))
    _back_to_1(world, 1, 2)


def recreate_crash_loop(world: World) -> None:
    """2 crashes: 1 is back long before the deadline."""
    world.bad.add(2)
    world.kubelet.behaviour[2] = "crash"
    _recreate(world)
    world.run(lambda: _silent(world))
    start = world.now
    _back_to_1(world, 1, 2)
    assert world.now - start < 120


def recreate_never_ready(world: World) -> None:
    """2 never becomes ready: 1 is back after the deadline."""
    world.bad.add(2)
    world.kubelet.behaviour[2] = "never"
    _recreate(world, 2)
    _back_to_1(world, 2, 2)


def recreate_refused(world: World) -> None:
    """The gate refuses 2 by its file: nothing is stopped."""
    world.bad.add(2)
    _recreate(world)
    world.publish(version(2, "y"), version(1))
    world.invariants.append(_never_silent)
    world.run(lambda: [r["number"] for r in world.status["rejected"]] == [2])
    world.settle(60)


def _never_silent(world: World) -> None:
    assert "stable" not in world.status or not _silent(world), world.tail()


def recreate_abort(world: World) -> None:
    """A person aborts while nobody is answered: 1 comes back."""
    _recreate(world)
    world.run(lambda: _silent(world) and "candidate" in world.status)
    world.act("abort")
    _back_to_1(world, 1, 2)


def recreate_newer(world: World) -> None:
    """3 arrives while 1 stops for 2: 1 need not come back in between."""
    world.kubelet.behaviour[2] = "never"
    _recreate(world)
    world.run(lambda: len(_pods(world, 2)) == 1)
    world.publish(version(3), version(2), version(1))
    _promoted(world, 3, 1)
    assert not _deployed(world, 2)


def recreate_paused(world: World) -> None:
    """Suspended before anything is stopped: 1 serves as long as that lasts."""
    _begin(world, "Recreate", 1)
    world.edit_spec(lambda s: s.update(suspend=True))
    world.settle(300)
    if _silent(world):  # it was too late
        world.edit_spec(lambda s: s.update(suspend=False))
    else:
        assert len(_pods(world, 1)) == 1 or world.stable_number() == 2
        world.edit_spec(lambda s: s.update(suspend=False))
    _promoted(world, 2, 1)


def recreate_status_lost(world: World) -> None:
    """Status is lost while nobody is answered: 2 or 1 serves in the end, and 2 at last."""
    _recreate(world)
    world.run(lambda: _silent(world) and not _pods(world, 1))
    world.lose_status()
    _promoted(world, 2, 1)


def surge_to_recreate(world: World) -> None:
    """2 finds no place beside 1; then Recreate is set, and it gets 1's."""
    world.kubelet.behaviour[2] = "never"
    _begin(world, "Surge", 1)
    world.run(lambda: len(_pods(world, 2)) == 1)
    world.settle(10)
    assert world.stable_number() == 1
    world.spare = 1
    world.edit_spec(lambda s: s["rollout"].update(capacity="Recreate"))
    world.run(lambda: not _pods(world, 1))
    world.kubelet.behaviour[2] = "ok"
    for pod in _pods(world, 2):
        world.api.delete(("Pod", pod["metadata"]["name"]))
    _promoted(world, 2, 1)


def recreate_to_surge(world: World) -> None:
    """Surge is set while 1 is stopped and 2 does not come: 1 starts again beside it and serves."""
    world.kubelet.behaviour[2] = "never"
    _recreate(world)
    world.run(lambda: len(_pods(world, 2)) == 1)
    world.spare, world.floor = 1, 0
    world.edit_spec(lambda s: s["rollout"].update(capacity="Surge"))
    world.run(lambda: sorted(written_weights(world).values())[-1:] == [100])
    assert world.stable_number() == 1
    _back_to_1(world, 1, 2)


RECREATED: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        recreate,
        recreate_stuck_router,
        recreate_wrong_answers,
        recreate_crash_loop,
        recreate_never_ready,
        recreate_refused,
        recreate_abort,
        recreate_newer,
        recreate_paused,
        recreate_status_lost,
        surge_to_recreate,
        recreate_to_surge,
    )
}

CAPACITY: dict[str, Scenario] = {**REPLACED, **RECREATED}
"""All about `rollout.capacity`."""
