"""Pods that cannot be replaced: what is held back for them, and what people are told. Pure.

`restorable` knows whether bytes are gone; here is what only some ask: `rollout` its rule about a
candidate, `desired` the budget, `decide` the Events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import seconds
from savedmodel_operator.plan.actions import Action, Apply, Event, Manifest
from savedmodel_operator.plan.children import PodView, RevisionView, World
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.put import difference, put
from savedmodel_operator.plan.restorable import (
    find_overwritten,
    find_restore,
    reason_of,
    stable_gone,
    stored_condition,
)
from savedmodel_operator.plan.trial import LOOK_AGAIN, End, Trial, Wait
from savedmodel_operator.workload.revision import RevisionRecord


def check_bytes(trial: Trial) -> Candidate | Wait | End:
    """A rule of the rollout: no further weight for a candidate that could not be started again, nor
    for one of which a new operator does not know it yet. A person's promote goes on. The first
    revision has nobody to be safer than."""
    candidate = trial.candidate
    by_hand = trial.advance or candidate.full or candidate.returning
    if trial.memory.stable is None or by_hand or candidate.step_since is None:
        return candidate
    found = find_restore(trial.world, candidate)
    if found.here or (found.here is None and found.asked and not _was_gone(trial)):
        return candidate
    if found.here is None and not found.asked and not _was_gone(trial):
        text = f"{candidate.revision} stays at {trial.weight} % until the bucket has been looked at"
        return Wait(Reason.SourcePending, text, clock_stops=True, again=trial.now + LOOK_AGAIN)
    deadline = trial.world.snapshot.spec.rollout.deadline
    hold = 0.0 if trial.last else seconds(trial.steps[candidate.step].hold)
    until = max(candidate.step_since + hold, candidate.progress_since) + seconds(deadline)
    if trial.now > until:
        text = f"its bytes did not come back within rollout.deadline ({deadline}): {found.message}"
        return End(Reason.RolledBack, Reason.LockedBytesGone, text)
    text = f"{candidate.revision} stays at {trial.weight} %, because it could not be started again"
    return Wait(Reason.LockedBytesGone, f"{text}: {found.message}", until + 0.001, True)


def _was_gone(trial: Trial) -> bool:
    """Whether this is what the candidate waited for when status was written: it stays so until a
    look at the bucket says otherwise, over restarts too."""
    status = trial.world.snapshot.status
    tried, listed = status.get("candidate"), status.get("conditions")
    if not isinstance(tried, Mapping) or tried.get("revision") != trial.candidate.revision:
        return False
    known = listed if isinstance(listed, list) else []
    return any(
        c.get("type") == "RollingOut" and c.get("reason") == Reason.LockedBytesGone for c in known
    )


def put_budget(
    world: World, memory: Memory, view: RevisionView, record: RevisionRecord
) -> Iterator[Action]:
    """The disruption budget, with nothing to give while it is stable's and its pods cannot be
    replaced. Its change is ours and nobody's drift."""
    frozen = record.pdb
    strict: Manifest = {**frozen, "spec": {**frozen["spec"], "maxUnavailable": 0}}
    is_stable = memory.stable is not None and memory.stable.revision == view.name
    if is_stable and stable_gone(world, memory) is not None:
        wanted, other, words = strict, frozen, "gives no pod away: none could come back"
    else:
        wanted, other, words = frozen, strict, "gives a pod away again"
    for action in put(world, wanted):
        ours = view.pdb is not None and difference(view.pdb, other) is None
        why = f"PodDisruptionBudget {view.name} {words}"
        yield (
            replace(action, why=why, drift=False) if ours and isinstance(action, Apply) else action
        )


def tell(world: World, memory: Memory, status: Mapping[str, Any]) -> tuple[Event, ...]:
    """Events of what this status says and the stored one did not."""
    before, stable = world.snapshot.status, memory.stable
    if stable is None or status is before:
        return ()
    old, new = (
        stored_condition(before, stable.revision) or {},
        stored_condition(status, stable.revision) or {},
    )
    events: list[Event] = []
    gone = new.get("status") == "False"
    if gone and old.get("status") != "False":
        text = f"pods of {stable.revision} cannot be replaced any more: {new['message']}"
        events.append(Event(reason_of(new), text, warning=True))
    elif old.get("status") == "False" and new.get("status") == "True":
        events.append(Event(Reason.Restorable, str(new["message"])))
    left, had = _with_bytes(world.revision(stable.revision)), _ready(before)
    if gone and old.get("status") == "False" and left < had:
        text = f"{stable.revision} lost a pod that cannot be replaced: {left} of {had} are left"
        events.append(Event(reason_of(new), text, warning=True))
    return (*events, *_tell_overwritten(world, memory, before))


def _with_bytes(view: RevisionView) -> int:
    """Pods that have fetched and stay; whether they are ready just now is another matter."""
    return sum(not pod.terminating and (pod.ready or _initialized(pod)) for pod in view.pods)


def _initialized(pod: PodView) -> bool:
    conditions = pod.body.get("status", {}).get("conditions") or ()
    return any(c.get("type") == "Initialized" and c.get("status") == "True" for c in conditions)


def _ready(status: Mapping[str, Any]) -> int:
    return int((status.get("stable") or {}).get("readyReplicas") or 0)


def _tell_overwritten(world: World, memory: Memory, before: Mapping[str, Any]) -> tuple[Event, ...]:
    """Once, however often the bytes change again."""
    found, stable = find_overwritten(world, memory), memory.stable
    if found is None or stable is None:
        return ()
    listed = before.get("versions")
    entries = [v for v in listed if isinstance(v, Mapping)] if isinstance(listed, list) else []
    known = next((v for v in entries if v.get("number") == stable.number), {})
    tried = before.get("candidate")  # versions[] is empty for a moment after a restart
    told = {known.get("fingerprint", "")} - {"", stable.fingerprint}
    if told or (isinstance(tried, Mapping) and tried.get("fingerprint") == found.fingerprint):
        return ()
    rolled_out = world.snapshot.spec.versions.on_overwrite == "Rollout"
    then = "are tried like a new version" if rolled_out else "are not rolled out"
    text = f"the bytes of version {stable.number} changed in the bucket: {stable.revision} serves"
    text += f" on, and the other ones {then} (versions.onOverwrite)"
    return (Event(Reason.VersionOverwritten, text, warning=True),)
