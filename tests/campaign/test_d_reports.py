"""D: what kubelet, scheduler, API server and server report of a candidate's pods, and what comes of it.

On the simulator, under 10 seeds each: the reports are written as a cluster writes them, and the
invariants of all stories are asked after every event. Every candidate ends at weight 0, unserved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaign_case import Seen, case

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.verdict import Verdict, errored, rejected
from simulation.sim_api import Key
from simulation.sim_invariants import quiesces, watch, written_weights
from simulation.sim_scenarios import _serve_first, make, version
from simulation.sim_world import World

SEEDS = range(10)
Report = Callable[[dict[str, Any]], None]


def _pods(world: World) -> list[Key]:
    return [k for k in sorted(world.api.objects) if k[0] == "Pod" and "-v2-" in k[1]]


def _try_two(world: World) -> None:
    """Version 1 serves, version 2 has its first pod."""
    _serve_first(world)
    world.publish(version(2), version(1))
    world.run(lambda: bool(_pods(world)) or bool(world.status.get("rejected")))


def _pod_reports(report: Report) -> Callable[[World], None]:
    """A story in which the first pod of version 2 never gets ready and has this status."""

    def story(world: World) -> None:
        world.kubelet.behaviour[2] = "never"
        _try_two(world)
        world.api.edit(_pods(world)[0], lambda body: report(body["status"]))

    return story


def _server_says(verdict: Verdict) -> Callable[[World], None]:
    """A story in which version 2 stands and answers so for itself."""

    def story(world: World) -> None:
        world.live[2] = verdict
        _try_two(world)

    return story


def _pods_refused(words: str) -> Callable[[World], None]:
    """A story in which the API server admits no pod of version 2."""

    def story(world: World) -> None:
        _pod_reports(lambda _: None)(world)
        revision = world.status["candidate"]["revision"]
        failed = {"type": "ReplicaFailure", "status": "True", "message": words}
        deployment = ("Deployment", revision)
        world.api.edit(deployment, lambda b: b.setdefault("status", {}).update(conditions=[failed]))

    return story


def _play(story: Callable[[World], None], kind: str, reason: Reason, words: str) -> str:
    """The story under every seed; how long the refusal took, in virtual time."""
    took = []
    for seed in SEEDS:
        world = make(seed)
        watch(world)
        world.disturb()
        story(world)
        begun = world.now
        world.run(lambda: bool(world.status.get("rejected")))  # noqa: B023 - asked at once
        took.append(world.now - begun)
        [entry] = world.status["rejected"]
        assert (entry["kind"], entry["reason"]) == (kind, reason), entry["message"]
        assert words in entry["message"]
        quiesces(world)
        assert list(written_weights(world).values()) == [100]
        assert world.stable_number() == 1
    return f"{reason} after {min(took):.0f} to {max(took):.0f} s (virtual), {len(took)} seeds"


def _ended(restarts: int, **terminated: Any) -> Report:
    container = {
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": terminated},
    }
    return lambda status: status.update(containerStatuses=[container])


@case(
    "D1",
    injection="the kubelet reports OOMKilled twice while the model loads",
    expected="OutOfMemory at once, naming the limit to raise; no traffic",
    where="simulation",
)
def test_d1_killed_for_memory(seen: Seen) -> None:
    report = _ended(1, exitCode=137, reason="OOMKilled")
    words = "raise serving.resources.limits.memory"
    seen.say(_play(_pod_reports(report), "RolledBack", Reason.OutOfMemory, words))


@case(
    "D2",
    injection="the server ends at every start",
    expected="CrashLoop at the third restart with exit code and last words, before the deadline",
    where="simulation",
)
def test_d2_a_crash_loop_reported(seen: Seen) -> None:
    report = _ended(3, exitCode=1, message="unknown flag")
    words = "restarted 3 times, exit code 1: unknown flag"
    seen.say(_play(_pod_reports(report), "RolledBack", Reason.CrashLoop, words))


@case(
    "D3",
    injection="pods that run and never become ready",
    expected="DeadlineExceeded; weight 0 all the time",
    where="simulation",
)
def test_d3_never_ready_reported(seen: Seen) -> None:
    nothing = _pod_reports(lambda _: None)
    seen.say(_play(nothing, "RolledBack", Reason.DeadlineExceeded, "pods"))


@case(
    "D4",
    injection="pods that are ready while their server says LOADING",
    expected="no traffic: the live check waits (CheckErrored); the deadline never condemns what "
    "could not be asked",
    where="simulation",
)
def test_d4_ready_but_loading(seen: Seen) -> None:
    for seed in SEEDS:
        world = make(seed)
        watch(world)
        world.disturb()
        _server_says(errored("available", "version 2 is LOADING, not AVAILABLE yet"))(world)
        world.settle(300)
        assert written_weights(world).get(world.status["candidate"]["revision"], 0) == 0
        assert "LOADING" in world.status["message"]
        del world.live[2]
        world.run(lambda: world.stable_number() == 2)  # noqa: B023 - asked at once
        quiesces(world)
    seen.say(f"{len(SEEDS)} seeds: no weight in 5 virtual minutes, promoted once it was AVAILABLE")


@case(
    "D5",
    injection="a server that answers for another version",
    expected="Rejected, MetadataMismatch; no traffic",
    where="simulation",
)
def test_d5_another_version_answers(seen: Seen) -> None:
    words = "the server answered for flowers version 1, asked was flowers version 2"
    verdict = rejected("metadata", Reason.MetadataMismatch, words)
    seen.say(_play(_server_says(verdict), "Rejected", Reason.MetadataMismatch, words))


@case(
    "D6",
    injection="the scheduler finds no GPU",
    expected="CandidateUnschedulable with its words until the deadline; stable untouched",
    where="simulation",
)
def test_d6_no_gpu_reported(seen: Seen) -> None:
    words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "message": words}
    story = _pod_reports(lambda status: status.update(conditions=[unscheduled]))
    seen.say(_play(story, "RolledBack", Reason.CandidateUnschedulable, words))


@case(
    "D9",
    injection="the kubelet cannot pull the image",
    expected="ImagePullFailed at the deadline, naming the image; no traffic",
    where="simulation",
)
def test_d9_image_pull_reported(seen: Seen) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    container = {"image": "nowhere/serving:1", "state": {"waiting": waiting}}
    story = _pod_reports(lambda status: status.update(containerStatuses=[container]))
    seen.say(_play(story, "RolledBack", Reason.ImagePullFailed, "cannot pull nowhere/serving:1"))


@case(
    "D10",
    injection="the API server admits no pod: quota, Pod Security",
    expected="ReplicaFailure with its words; no storm of writes; RolledBack at the deadline",
    where="simulation",
)
def test_d10_pods_refused_reported(seen: Seen) -> None:
    for words in ("pods is forbidden: exceeded quota: few", 'violates PodSecurity "restricted"'):
        seen.say(_play(_pods_refused(words), "RolledBack", Reason.ReplicaFailure, words))
