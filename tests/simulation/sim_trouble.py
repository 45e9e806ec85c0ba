"""Stories of trouble around a rollout: routers, pods and status go, the spec and the bucket change."""

from __future__ import annotations

from typing import Any

from savedmodel_operator.plan.memory import KEPT
from simulation.sim_scenarios import Scenario, _deployed, _serve_first, version
from simulation.sim_world import World


def _at_weight(world: World, weight: int) -> None:
    """Version 1 serves, 2 carries this weight."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: world.status.get("candidate", {}).get("weight") == weight)


def routers_replaced(world: World) -> None:
    """A router drains while 2 is aborted: what it still sends to 2 is answered until it is gone."""
    _at_weight(world, 50)
    world.kubelet.leave(("Pod", world.routers.pods()[0]["metadata"]["name"]))
    world.act("abort")
    world.run(lambda: not _deployed(world, 2))
    world.settle(30)
    assert len(world.routers.pods()) == 2
    assert world.stable_number() == 1


def stuck_router(world: World) -> None:
    """A router takes no configuration in a rollback: it goes, the other one serves meanwhile."""
    _at_weight(world, 50)
    stuck = world.routers.pods()[0]["metadata"]["name"]
    world.routers.stuck.add(stuck)
    world.act("abort")
    world.run(lambda: not _deployed(world, 2), limit=120)
    assert stuck not in [p["metadata"]["name"] for p in world.routers.pods()]


def all_routers_stuck(world: World) -> None:
    """No router takes the rollback: none is sent away, for one that is stuck serves and none does
    not; 2 goes on running until they took it."""
    _at_weight(world, 50)
    names = [p["metadata"]["name"] for p in world.routers.pods()]
    world.routers.stuck.update(names)
    world.act("abort")
    world.settle(60)
    assert [p["metadata"]["name"] for p in world.routers.pods()] == names
    assert _deployed(world, 2)
    world.routers.stuck.clear()
    world.run(lambda: not _deployed(world, 2))


def pods_lost(world: World) -> None:
    """2 loses all its pods at 50 % and gets no new ones: taken back at once, not at the deadline."""
    _at_weight(world, 50)
    revision = world.status["candidate"]["revision"]
    world.doomed.add(revision)
    world.kubelet.behaviour[2] = "never"
    start = world.worked
    for key in [k for k in world.api.objects if k[0] == "Pod" and k[1].startswith(revision)]:
        world.api.delete(key)
    world.run(lambda: [r["reason"] for r in world.status["rejected"]] == ["PodsLost"])
    assert world.worked - start < 10
    world.run(lambda: not _deployed(world, 2), limit=40)  # by nudges
    assert world.stable_number() == 1


def three_replicas(world: World) -> None:
    """50 % of three pods are two."""
    world.edit_spec(lambda s: s["serving"].update(replicas=3))
    _at_weight(world, 50)
    world.run(lambda: world.stable_number() == 2)


def steps_edited(world: World) -> None:
    """The steps are taken out of the spec while 2 holds at the second: 100 % is verified as ever."""
    world.edit_spec(lambda s: s["serving"].update(replicas=1))  # no scaling that gains time
    _at_weight(world, 50)
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 10}]))
    world.run(lambda: world.stable_number() == 2)


def newest_vanishes(world: World) -> None:
    """2 serves and is deleted from the bucket: it goes on serving, and 1 does not come back."""
    _at_weight(world, 50)
    world.run(lambda: world.stable_number() == 2)
    world.publish(version(1))
    world.settle(120)
    assert world.stable_number() == 2
    assert "candidate" not in world.status


def unseen_and_unrecorded(world: World) -> None:
    """At 10 % the bucket loses sight of 2 and somebody deletes its record: 2 stays where it is, and
    goes on once the bucket has it again."""
    revision = _lose_record(world)
    world.settle(30)
    assert world.status["candidate"]["revision"] == revision
    assert world.status["candidate"]["weight"] == 10
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)


def unrecorded_and_taken_back(world: World) -> None:
    """The same, and a person aborts: without its record, too, it is at weight 0 on every router
    before it goes."""
    _lose_record(world)
    world.act("abort")
    world.run(lambda: not _deployed(world, 2))
    assert world.stable_number() == 1


def _lose_record(world: World) -> str:
    _at_weight(world, 10)
    revision: str = world.status["candidate"]["revision"]
    world.publish(version(1))
    world.note("> somebody deletes the record of version 2")
    world.api.delete(("ControllerRevision", revision))
    return revision


def many_refusals(world: World) -> None:
    """More refusals than are kept: none of the refused versions ever comes back."""
    _serve_first(world)
    last = KEPT + 3
    for number in range(2, last + 1):
        world.bad.add(number)
        world.publish(version(number, "y"), version(1))
        world.run(lambda n=number: world.status["rejected"][:1] and _refused(world) == n)
    world.publish(version(2, content="b"), version(1))  # good bytes under a number refused long ago
    world.settle(60)
    assert len(world.status["rejected"]) == KEPT
    assert world.stable_number() == 1
    assert "candidate" not in world.status
    assert world.status["highWaterMark"] == 3


def _refused(world: World) -> int:
    newest: int = world.status["rejected"][0]["number"]
    return newest


def status_lost_after_rollback(world: World) -> None:
    """Status is lost after a rollback: stable and the rollback stand on the records."""
    _at_weight(world, 10)
    world.act("abort")
    world.run(lambda: not _deployed(world, 2))
    world.settle(30)
    world.edit_spec(lambda s: s["rollout"].update(scaleDownDelay="21s"))
    world.lose_status()
    world.run(lambda: "stable" in world.status)
    world.settle(120)
    assert world.stable_number() == 1
    assert not _deployed(world, 2)
    assert [r["number"] for r in world.status["rejected"]] == [2]


def stable_loses_pods(world: World) -> None:
    """Pods of stable go one by one in a rollout: they come back, and the rollout ends well."""
    _at_weight(world, 10)
    stable = world.status["stable"]["revision"]
    for _ in range(2):
        pods = [k for k in world.api.objects if k[0] == "Pod" and k[1].startswith(stable)]
        world.kubelet.leave(min(pods))
        world.settle(12)
    world.run(lambda: world.stable_number() == 2)


def replicas_changed(world: World) -> None:
    """More pods are wanted at 50 %: the step is made good first, and 100 % has all of them."""
    _at_weight(world, 50)

    def change(spec: dict[str, Any]) -> None:
        spec["serving"]["replicas"] = 4

    world.floor = 2  # stable grows as fast as its pods can
    world.edit_spec(change)
    world.run(lambda: world.stable_number() == 2)
    revision = world.status["stable"]["revision"]
    assert world.api.objects[("Deployment", revision)]["spec"]["replicas"] == 4


TROUBLE: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        routers_replaced,
        stuck_router,
        all_routers_stuck,
        pods_lost,
        three_replicas,
        steps_edited,
        newest_vanishes,
        unseen_and_unrecorded,
        unrecorded_and_taken_back,
        many_refusals,
        status_lost_after_rollback,
        stable_loses_pods,
        replicas_changed,
    )
}
