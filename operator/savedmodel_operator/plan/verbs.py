"""The action annotation: is it new, does it make sense, what does it change. Pure.

Recorded in status.lastHandledAction together with its effect, so that it happens at most once. An
action found while nothing was ever recorded (a copied manifest, a lost status) is recorded only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from savedmodel_operator.api import action, names
from savedmodel_operator.api.action import Action, Verb
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.memory import Memory
from savedmodel_operator.plan.snapshot import Snapshot


@dataclass(frozen=True)
class Handled:
    """The memory afterwards, what to say, and what the rollout has to do about it."""

    memory: Memory
    events: tuple[Event, ...] = ()
    abort: str | None = None  # the sentence with which the candidate ends
    advance: bool = False  # leave the present hold or pause


def handle(snapshot: Snapshot, memory: Memory, steps: int) -> Handled:
    """Look at the annotation; `steps` is the length of spec.rollout.steps."""
    text = snapshot.annotations.get(names.ANNOTATION_ACTION, "")
    if text == memory.last_action:
        return Handled(memory)
    recorded = replace(memory, last_action=text)
    if memory.last_action is None:
        note = Event(
            Reason.ActionRecorded,
            f"the action '{text}' was already there before this object was first handled; "
            "it is recorded and not carried out",
        )
        return Handled(recorded, (note,) if text else ())
    if not text:
        return Handled(recorded)
    parsed = action.parse(text)
    if isinstance(parsed, str):
        return _refuse(recorded, parsed)
    if parsed.verb is Verb.Retry:
        return _retry(snapshot, recorded, parsed)
    return _steer(recorded, parsed, steps)


def _refuse(memory: Memory, sentence: str) -> Handled:
    return Handled(memory, (Event(Reason.ActionRefused, sentence, warning=True),))


def _retry(snapshot: Snapshot, memory: Memory, asked: Action) -> Handled:
    matching = [
        r
        for r in memory.rejected
        if asked.identity is None or action.names(asked.identity, r.revision)
    ]
    numbers = [v.number for v in snapshot.source.versions if v.complete][:1]
    blocked = memory.high_water_mark is not None and any(
        n <= memory.high_water_mark for n in numbers
    )
    if not matching and not blocked:
        return _refuse(
            memory, "nothing to retry: no version that was refused or rolled back matches"
        )
    number = matching[0].number if matching else numbers[0]
    note = Event(Reason.ActionHandled, f"version {number} may be tried again, as asked")
    return Handled(memory.forget_rejections(number), (note,))


def _steer(memory: Memory, asked: Action, steps: int) -> Handled:
    candidate = memory.candidate
    if candidate is None:
        return _refuse(memory, f"nothing to {asked.verb.value}: no rollout is running")
    if asked.identity is not None and not action.names(asked.identity, candidate.revision):
        return _refuse(
            memory,
            f"{asked.verb.value} names {asked.identity}, the candidate is {candidate.revision}",
        )
    if asked.verb is Verb.Abort:
        return Handled(memory, abort="aborted by hand")
    if asked.step is not None and asked.step != candidate.step:
        return _refuse(
            memory, f"promote names step {asked.step}, the rollout is at step {candidate.step}"
        )
    if asked.verb is Verb.PromoteFull:
        moved = replace(candidate, step=steps, step_since=None, full=True)
        note = Event(
            Reason.ActionHandled, f"{candidate.revision} skips the remaining steps, as asked"
        )
        return Handled(replace(memory, candidate=moved), (note,))
    if candidate.step_since is None:
        return _refuse(
            memory, f"step {candidate.step} is not reached yet, so there is nothing to promote"
        )
    note = Event(
        Reason.ActionHandled, f"{candidate.revision} leaves step {candidate.step}, as asked"
    )
    return Handled(memory, (note,), advance=True)
