"""What happens next, in one sentence, so that nobody has to know the rules. Pure."""

from __future__ import annotations

from savedmodel_operator.api.mirror import MIRROR_STEP
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Pinned
from savedmodel_operator.plan import memory as memories
from savedmodel_operator.plan.capacity import carried_at
from savedmodel_operator.plan.memory import Candidate
from savedmodel_operator.plan.trial import steps_of
from savedmodel_operator.status.report import Report

_HOLDS = (Reason.Holding, Reason.Mirroring)


def next_step(report: Report) -> str:
    """`status.next`."""
    memory, snapshot = report.memory, report.world.snapshot
    if memory.candidate is not None:
        return _next_of(report, memory.candidate)
    if report.wait.reason is Reason.Suspended:
        return "it starts once spec.suspend is false"
    if report.lacking:
        return "it goes on once the bytes are back in the bucket, or a newer version is there"
    pinned = snapshot.spec.versions.pinned
    if pinned is not None:
        return _next_pinned(report, pinned)
    if report.choice.refused is not None:
        number = report.choice.refused.number
        return f"upload a version above {number}, or set the action retry to try {number} again"
    if report.kept:
        return "upload the same files to the same place again, or a version with a higher number"
    if memory.stable is not None:
        return (
            f"a version above {memory.stable.number} in {snapshot.spec.source.uri} starts a rollout"
        )
    return f"the first complete version in {snapshot.spec.source.uri} is served"


def _next_of(report: Report, candidate: Candidate) -> str:
    wait = report.wait
    steps = steps_of(report.world, report.memory)
    rest = steps[candidate.step + 1 :]
    weight = carried_at(report.world, report.memory, rest[0].weight if rest else 100)
    mirror = report.world.snapshot.spec.rollout.mirror if candidate.step == MIRROR_STEP else None
    if wait.reason in _HOLDS and wait.clock_stops and wait.wake_at is not None:
        moment = memories.timestamp(wait.wake_at)[11:19]
        step = steps[candidate.step] if 0 <= candidate.step < len(steps) else None
        if step is not None and step.pause:
            return f"pause at {step.weight} % from {moment} UTC until the action promote"
        asked = report.world.snapshot.spec.rollout.analysis is not None
        return f"{weight} % at {moment} UTC" + (" if the analysis passes" if asked else "")
    if wait.reason is Reason.Paused:
        verb = "resume" if candidate.paused else "promote"
        return f"{weight} % once the action {verb} is set; abort takes it back"
    if wait.reason is Reason.Suspended:
        return f"{weight} % once spec.suspend is false; abort takes it back"
    if wait.reason is Reason.AnalysisInconclusive:
        return f"{weight} % once the analysis passes; promote goes on without it"
    if wait.reason is Reason.LockedBytesGone:
        return f"{weight} % once its bytes are back in the bucket; promote goes on without them"
    if mirror is not None:
        return f"{mirror.percent} % of requests are mirrored to it once that is done"
    here = steps[candidate.step].weight if candidate.step < len(steps) else 100
    here = carried_at(report.world, report.memory, here)
    return f"{here} % for version {candidate.number} once that is done"


def _next_pinned(report: Report, pinned: Pinned) -> str:
    if report.choice.refused is not None:
        number = report.choice.refused.number
        return f"pin another version, or set the action retry to try {number} again"
    if report.choice.missing is not None or report.memory.stable is None:
        return f"version {pinned.number} starts once it is complete in the bucket"
    return "another version in versions.pinned starts a rollout"
