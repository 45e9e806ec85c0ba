"""Stories of `rollout.capacity`: one pod for one pod, and stop before start."""

from __future__ import annotations

from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.verdict import rejected
from simulation.sim_invariants import written_weights
from simulation.sim_scenarios import Scenario, _deployed, _serve_first, version
from simulation.sim_world import World

WRONG = rejected("golden", Reason.GoldenMismatch, "y[0]: 1 is wanted")


def _begin(world: World, capacity: str, replicas: int, *steps: dict[str, Any]) -> None:
    """Version 1 serves on all its pods, 2 is there."""

    def edit(spec: dict[str, Any]) -> None:
        spec["rollout"].update(capacity=capacity, steps=list(steps))
        spec["serving"]["replicas"] = replicas

    world.edit_spec(edit)
    world.settle(2)
    _serve_first(world)
    world.settle(10)
    world.publish(version(2), version(1))


def _replace(world: World, replicas: int = 2) -> None:
    _begin(world, "Replace", replicas, {"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "10s"})


def _ready(world: World, number: int) -> int:
    return sum(
        p["status"].get("conditions", [{}])[0].get("status") == "True" for p in _pods(world, number)
    )


def _pods(world: World, number: int) -> list[dict[str, Any]]:
    return [p for p in world.api.of_kind("Pod") if f"-v{number}-" in p["metadata"]["name"]]


def _weight(world: World) -> int:
    return int(world.status.get("candidate", {}).get("weight", -1))


def _silent(world: World) -> bool:
    return sum(written_weights(world).values()) == 0


def _back_to_1(world: World, replicas: int, *rejected: int) -> None:
    """2 is gone, 1 serves on all its pods and has all requests."""
    world.run(lambda: [r["number"] for r in world.status["rejected"]] == list(rejected))
    world.run(lambda: not _deployed(world, 2) and _ready(world, 1) == replicas)
    world.run(lambda: list(written_weights(world).values()) == [100])
    world.settle(30)
    assert world.stable_number() == 1
    assert _ready(world, 1) == replicas


def _promoted(world: World, number: int, replicas: int) -> None:
    world.run(lambda: world.stable_number() == number)
    world.run(lambda: not _deployed(world, 1) and _ready(world, number) == replicas)
    assert not _silent(world)


# Surge

NO_NODE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def surge_without_a_node(world: World) -> None:
    """No node has room for 2: that is said in the scheduler's words, 1 keeps all its pods and
    requests until the deadline, and then."""
    world.bad.add(2)
    world.kubelet.behaviour[2] = "never"
    _begin(world, "Surge", 2, {"weight": 50, "hold": "5s"})
    world.run(lambda: len(_pods(world, 2)) == 1)
    condition = {"type": "PodScheduled", "status": "False", "message": NO_NODE}
    for pod in _pods(world, 2):
        key = ("Pod", pod["metadata"]["name"])
        world.api.edit(key, lambda b: b["status"].update(conditions=[condition]))
    world.run(lambda: NO_NODE in world.status["message"])
    assert world.status["phase"] == "Progressing"
    start = world.now
    world.settle(60)
    assert world.status["candidate"]["weight"] == 0
    _back_to_1(world, 2, 2)
    assert world.now - start > 110
    assert world.status["rejected"][0]["reason"] == "CandidateUnschedulable"
    assert NO_NODE in world.status["rejected"][0]["message"]


# Replace


def replace_pair(world: World) -> None:
    """Two pods in all: 10 % and 50 % are one pod each, so both are 50 %."""
    _replace(world)
    world.run(lambda: _weight(world) == 50)
    assert sorted(written_weights(world).values()) == [50, 50]
    _promoted(world, 2, 2)


def replace_four(world: World) -> None:
    """Four pods: 30 % is one, 75 % are three, and each carries its quarter as it comes."""
    _begin(world, "Replace", 4, {"weight": 30, "hold": "5s"}, {"weight": 75, "hold": "5s"})
    for weight in (25, 50, 75):
        world.run(lambda w=weight: w in written_weights(world).values() and _weight(world) == w)
    _promoted(world, 2, 4)


def replace_without_steps(world: World) -> None:
    """No steps: pod by pod to the end."""
    _begin(world, "Replace", 3)
    world.run(lambda: _weight(world) == 33)
    _promoted(world, 2, 3)


def replace_wrong_answers(world: World) -> None:
    """The first pod answers wrongly: refused without a request, stable gets its pod back."""
    world.bad.add(2)
    world.live[2] = WRONG
    _replace(world, 3)
    _back_to_1(world, 3, 2)
    assert world.status["rejected"][0]["kind"] == "Rejected"


def replace_late_wrong_answers(world: World) -> None:
    """The second pod answers wrongly: rolled back from the share of the first."""
    _begin(world, "Replace", 3, {"weight": 80, "hold": "5s"})
    world.run(lambda: _weight(world) == 33)
    world.live[2] = WRONG
    _back_to_1(world, 3, 2)
    assert world.status["rejected"][0]["kind"] == "RolledBack"


def replace_pods_lost(world: World) -> None:
    """The candidate loses its pod at 50 %: weight 0 at once, stable grows back."""
    _replace(world)
    world.run(lambda: _weight(world) == 50)
    world.doomed.add(world.status["candidate"]["revision"])
    world.kubelet.behaviour[2] = "never"
    world.unseen = (
        1  # made in place of the lost one, just before the rollback deletes its Deployment
    )
    for pod in _pods(world, 2):
        world.api.delete(("Pod", pod["metadata"]["name"]))
    start = world.worked
    world.run(lambda: [r["reason"] for r in world.status["rejected"]] == ["PodsLost"])
    assert world.worked - start < 10
    _back_to_1(world, 2, 2)


def replace_abort(world: World) -> None:
    """A person aborts at 50 % of four pods."""
    _replace(world, 4)
    world.run(lambda: _weight(world) == 50)
    world.act("abort")
    _back_to_1(world, 4, 2)


def replace_newer(world: World) -> None:
    """3 arrives while 2 has a half: 2 goes, stable grows back, 3 replaces it pod by pod."""
    _replace(world, 4)
    world.run(lambda: _weight(world) == 50)
    world.publish(version(3), version(2), version(1))
    _promoted(world, 3, 4)
    assert not _deployed(world, 2)


def replace_less_asked(world: World) -> None:
    """The second step is lowered while 2 carries it: pods go back to stable one by one."""
    _begin(world, "Replace", 4, {"weight": 25}, {"weight": 75, "pause": True})
    world.run(lambda: _weight(world) == 75 and world.status["phase"] == "Paused")
    steps = [{"weight": 25}, {"weight": 30, "pause": True}]
    world.hurried = True
    world.edit_spec(lambda s: s["rollout"].update(steps=steps))
    world.run(lambda: _weight(world) == 25 and _ready(world, 1) == 3)
    world.run(lambda: world.status["phase"] == "Paused")
    assert sorted(written_weights(world).values()) == [25, 75]
    world.act("promote")
    _promoted(world, 2, 4)


def replace_grown(world: World) -> None:
    """Four pods are wanted instead of two while 2 has one of them: both grow to the new shares."""
    _begin(world, "Replace", 2, {"weight": 50, "pause": True})
    world.run(lambda: world.status["phase"] == "Paused")
    world.spare = 1  # shares are those of the old number until the operator saw the new one
    world.edit_spec(lambda s: s["serving"].update(replicas=4))
    world.run(lambda: _ready(world, 1) == 2 and _ready(world, 2) == 2)
    world.run(lambda: world.status["phase"] == "Paused")
    world.act("promote")
    _promoted(world, 2, 4)


def replace_shrunk(world: World) -> None:
    """Two pods are wanted instead of four while 2 has two of them: one each."""
    _begin(world, "Replace", 4, {"weight": 50, "pause": True})
    world.run(lambda: world.status["phase"] == "Paused")
    world.spare = 2
    world.edit_spec(lambda s: s["serving"].update(replicas=2))
    world.run(lambda: len(_pods(world, 1)) == 1 and len(_pods(world, 2)) == 1)
    world.run(lambda: world.status["phase"] == "Paused")
    world.spare = 0
    world.act("promote")
    _promoted(world, 2, 2)


def replace_never_ready(world: World) -> None:
    """The candidate's pod never becomes ready: stable has its pod back after the deadline."""
    world.bad.add(2)
    world.kubelet.behaviour[2] = "never"
    _replace(world, 3)
    world.run(lambda: "candidate" in world.status and len(_pods(world, 2)) == 1)
    assert len(_pods(world, 1)) == 2
    _back_to_1(world, 3, 2)


def replace_paused(world: World) -> None:
    """A person pauses it after the first pod: no further one is replaced."""
    _begin(world, "Replace", 4, {"weight": 75, "hold": "5s"})
    world.run(lambda: _weight(world) == 25)
    world.act("pause")
    world.run(lambda: world.status["phase"] == "Paused")
    world.settle(600)
    assert _weight(world) <= 50
    assert not world.status["rejected"]
    world.act("resume")
    _promoted(world, 2, 4)


def replace_waits_for_stable(world: World) -> None:
    """Stable loses a pod that does not come back: not one more is taken from it, however long."""
    _begin(world, "Replace", 4, {"weight": 25, "hold": "5s"}, {"weight": 50, "hold": "5s"})
    world.run(lambda: _weight(world) == 25)
    world.kubelet.behaviour[1] = "never"
    world.spare = 1  # the lost pod leaves while another one starts
    lost = next(p for p in _pods(world, 1) if p["status"].get("conditions"))
    world.kubelet.leave(("Pod", lost["metadata"]["name"]))
    world.run(lambda: world.status["conditions"] and "StableDegraded" in _reasons(world))
    world.settle(600)
    assert _weight(world) == 25
    assert not world.status["rejected"]
    world.kubelet.behaviour[1] = "ok"
    for pod in _pods(world, 1):
        if not pod["status"].get("conditions"):
            world.api.delete(("Pod", pod["metadata"]["name"]))
    _promoted(world, 2, 4)


def _reasons(world: World) -> list[str]:
    return [c["reason"] for c in world.status["conditions"] if c["type"] == "RollingOut"]


REPLACED: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        surge_without_a_node,
        replace_pair,
        replace_four,
        replace_without_steps,
        replace_wrong_answers,
        replace_late_wrong_answers,
        replace_pods_lost,
        replace_abort,
        replace_newer,
        replace_less_asked,
        replace_grown,
        replace_shrunk,
        replace_never_ready,
        replace_paused,
        replace_waits_for_stable,
    )
}
