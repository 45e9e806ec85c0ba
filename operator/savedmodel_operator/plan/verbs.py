"""The action annotation: is it new, does it make sense, what does it change. Pure.

Recorded in status.lastHandledAction together with its effect, so that it happens at most once. An
action found while nothing was ever recorded (a copied manifest, a lost status) is recorded only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from savedmodel_operator.api import action, names
from savedmodel_operator.api.action import Action, Verb
from savedmodel_operator.api.mirror import name_step
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.snapshot import Snapshot


@dataclass(frozen=True)
class Handled:
    """The memory afterwards, what to say, and what the rollout has to do about it."""

    memory: Memory
    events: tuple[Event, ...] = ()
    abort: str | None = None  # the sentence with which the candidate ends
    advance: bool = False  # leave the present hold or pause
    sync: bool = False  # list the bucket now


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
    if parsed.verb is Verb.Sync:
        return _sync(recorded, parsed)
    if parsed.verb is Verb.Retry:
        return _retry(snapshot, recorded, parsed)
    return _steer(snapshot, recorded, parsed, steps)


def _refuse(memory: Memory, sentence: str) -> Handled:
    return Handled(memory, (Event(Reason.ActionRefused, sentence, warning=True),))


def _sync(memory: Memory, asked: Action) -> Handled:
    if asked.identity is not None or asked.step is not None:
        return _refuse(memory, "sync lists the whole bucket; it takes no version and no step")
    note = Event(Reason.ActionHandled, "the bucket is listed now, as asked")
    return Handled(memory, (note,), sync=True)


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


def _steer(snapshot: Snapshot, memory: Memory, asked: Action, steps: int) -> Handled:
    """The verbs about the running rollout."""
    candidate, verb = memory.candidate, asked.verb.value
    if candidate is None:
        return _refuse(memory, f"nothing to {verb}: no rollout is running; nothing was changed")
    if asked.identity is not None and not action.names(asked.identity, candidate.revision):
        return _refuse(
            memory, f"{verb} names {asked.identity}, the candidate is {candidate.revision}"
        )
    if asked.verb is Verb.Abort:
        return Handled(memory, abort="aborted by hand")
    if asked.step is not None and asked.step != candidate.step:
        return _refuse(
            memory,
            f"{verb} names {name_step(asked.step)}, the rollout is at {name_step(candidate.step)}",
        )
    if asked.verb is Verb.Pause:
        return _pause(snapshot, memory, candidate)
    if asked.verb is Verb.Resume:
        return _resume(snapshot, memory, candidate)
    return _promote(snapshot, memory, candidate, steps if asked.verb is Verb.PromoteFull else None)


_SUSPENDED = "{} is held by spec.suspend; set that to false first"


def _pause(snapshot: Snapshot, memory: Memory, candidate: Candidate) -> Handled:
    if candidate.paused:
        return _refuse(memory, f"{candidate.revision} is paused already; resume lets it go on")
    stable = snapshot.status.get("stable") or {}
    if snapshot.spec.rollout.capacity == "Recreate" and stable.get("weight") == 0:
        return _refuse(
            memory,
            f"stable is stopped for {candidate.revision} and nobody is answered until that serves, "
            "so nothing is held now; abort brings stable back",
        )
    note = Event(Reason.ActionHandled, f"{candidate.revision} is paused, as asked")
    return Handled(replace(memory, candidate=replace(candidate, paused=True)), (note,))


def _resume(snapshot: Snapshot, memory: Memory, candidate: Candidate) -> Handled:
    if not candidate.paused:
        if snapshot.spec.suspend:
            return _refuse(memory, _SUSPENDED.format(candidate.revision))
        return _refuse(
            memory,
            f"{candidate.revision} was not paused by hand; where a step has a pause, promote ends it",
        )
    note = Event(Reason.ActionHandled, f"{candidate.revision} goes on, as asked")
    return Handled(replace(memory, candidate=_released(snapshot, candidate)), (note,))


def _promote(
    snapshot: Snapshot, memory: Memory, candidate: Candidate, steps: int | None
) -> Handled:
    """`steps`: skip all of them. What a person had paused goes on."""
    if snapshot.spec.suspend:
        return _refuse(memory, _SUSPENDED.format(candidate.revision))
    free, reached = _released(snapshot, candidate), candidate.step_since is not None
    if steps is not None:
        moved = replace(free, step=steps, step_since=None, full=True)
        text = f"{candidate.revision} skips the remaining steps, as asked"
        return Handled(replace(memory, candidate=moved), (Event(Reason.ActionHandled, text),))
    if not reached and not candidate.paused:
        return _refuse(
            memory,
            f"{name_step(candidate.step)} is not reached yet, so there is nothing to promote",
        )
    verb = "leaves" if reached else "goes on to"
    text = f"{candidate.revision} {verb} {name_step(candidate.step)}"
    note = Event(Reason.ActionHandled, f"{text}, as asked")
    return Handled(replace(memory, candidate=free), (note,), advance=reached)


def _released(snapshot: Snapshot, candidate: Candidate) -> Candidate:
    """No longer held by hand; the deadline counts from here."""
    if not candidate.paused:
        return candidate
    return replace(candidate, paused=False, progress_since=snapshot.now)
