"""D: a GPU or a node goes in the middle of a rollout. On the simulator: this machine has one node.

The world's invariants are asked after every event: weights sum to 100, none for a revision without
ready pods, and never less ready capacity than the weights need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaign_case import Seen, case

from savedmodel_operator.api.reasons import Reason
from simulation.sim_api import Key
from simulation.sim_invariants import quiesces, watch
from simulation.sim_scenarios import _serve_first, make, version
from simulation.sim_world import World

SEEDS = range(25)
HOLD = 10.0  # seconds of the second step in the stories' spec
NO_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def _play(story: Callable[[World], str]) -> list[str]:
    """The story under every seed; what each says."""
    said = []
    for seed in SEEDS:
        world = make(seed)
        watch(world)
        world.disturb()
        said.append(story(world))
        quiesces(world)
    return said


def _hold_at_half(world: World) -> None:
    """Four pods of version 1; version 2 holds at 50 % on two of its own."""
    world.edit_spec(lambda s: s["serving"].update(replicas=4))
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: _candidate(world).get("weight") == 50 and _candidate(world).get("stepSince"))


def _candidate(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.status.get("candidate") or {}
    return found


def _pods(world: World, revision: str) -> list[Key]:
    return sorted(k for k in world.api.objects if k[0] == "Pod" and k[1].startswith(revision))


def _reason(world: World) -> str:
    listed = world.status["conditions"]
    return next(str(c["reason"]) for c in listed if c["type"] == "RollingOut")


def _lose_gpu(world: World) -> str:
    _hold_at_half(world)
    candidate, lost = _candidate(world), world.now
    world.kubelet.behaviour[2] = "never"
    world.api.delete(_pods(world, candidate["revision"])[0])
    world.run(lambda: len(_pods(world, candidate["revision"])) == 2)
    waiting = _pods(world, candidate["revision"])[-1]
    unscheduled = {"type": "PodScheduled", "status": "False", "message": NO_GPU}
    world.api.edit(waiting, lambda b: b["status"].update(conditions=[unscheduled]))
    world.run(lambda: _reason(world) == Reason.CandidateUnschedulable)
    assert NO_GPU in world.status["message"]
    world.settle(60)
    assert world.stable_number() == 1
    assert _candidate(world)["weight"] <= 50, "it was given more than its pods can carry"
    world.kubelet.behaviour[2] = "ok"
    world.api.delete(waiting)
    world.run(lambda: world.stable_number() == 2)
    return f"{world.now - lost:.0f} s"


@case(
    "D7",
    injection="one of two candidate pods lost with its GPU at 50 %; no node has another for 60 s",
    expected="CandidateUnschedulable with the scheduler's words, no promotion below capacity; goes "
    "on once there is a GPU again",
    where="simulation",
)
def test_d7_a_gpu_is_lost(seen: Seen) -> None:
    said = _play(_lose_gpu)
    seen.say(f"{len(said)} seeds: held at 50 %, promoted once the GPU was back")


def _lose_node(of_candidate: bool) -> Callable[[World], str]:
    def story(world: World) -> str:
        _hold_at_half(world)
        candidate = _candidate(world)
        stable = world.status["stable"]["revision"]
        revision = candidate["revision"] if of_candidate else stable
        world.doomed.add(revision)
        world.api.delete(_pods(world, revision)[0])
        if of_candidate:
            world.run(lambda: not _candidate(world).get("stepSince"))
            world.run(lambda: bool(_candidate(world).get("stepSince")))
        begun = world.now
        world.run(lambda: _candidate(world).get("weight") != 50)
        held = world.now - begun
        if of_candidate:
            assert held >= HOLD - 1, "the hold went on without its pods"
        world.run(lambda: world.stable_number() == 2)
        return f"{held:.0f}"

    return story


@case(
    "D8",
    injection="a node dies with one of two candidate pods, in the hold at 50 %",
    expected="capacity first: the step's hold begins anew once both pods are ready; then promoted",
    where="simulation",
)
def test_d8_a_node_with_a_candidate_pod_dies(seen: Seen) -> None:
    said = _play(_lose_node(of_candidate=True))
    seen.say(f"{len(said)} seeds: held {min(said, key=int)} s and more after the pod was back")


@case(
    "D8",
    injection="a node dies with one of four stable pods, in the hold at 50 %",
    expected="stable healed; the rollout goes on; capacity never below what the weights need",
    where="simulation",
)
def test_d8_a_node_with_a_stable_pod_dies(seen: Seen) -> None:
    said = _play(_lose_node(of_candidate=False))
    seen.say(f"{len(said)} seeds: promoted")
