"""Whether what serves could be started again, and what follows while it could not. Pure.

A pod fetches what its revision's lock says. Once these bytes are gone from the bucket, pods that
have them cannot be replaced, and so:

    stable's scale      stays as it is: fewer pods could not become more again, and more cannot start
    a pod of stable     is not given to a drain: its budget allows no disruption
    the same identity   is not started anew under other serving inputs; status says why
    a candidate         whose bytes are gone gets no further weight, and ends at the deadline
    a newer version     goes through gate and steps as ever; after it has taken over, the former
                        stable ends as ever, too, and the event of the promotion says that it is
                        for good

Only a look at the bucket says that bytes are gone. A bucket that cannot be read says nothing, and
what was gone before stays gone until a look says otherwise, over restarts too. Neighbours:
`storage.held` looks; `irreplaceable` has the candidate's rule, the budget and the Events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Candidate, Memory, Stable
from savedmodel_operator.plan.target import Target, find_identity
from savedmodel_operator.workload.model import fetches_from

CONDITION = "Restorable"
READ = (Reason.SourceReady, Reason.SourceEmpty)


@dataclass(frozen=True)
class Restore:
    """The answer for one revision. `here` None: it could not be told; `asked` False: not yet."""

    here: bool | None
    reason: Reason
    message: str
    asked: bool = True

    @property
    def state(self) -> str:
        """As the status of a condition."""
        return {True: "True", False: "False", None: "Unknown"}[self.here]


def find_restore(world: World, held: Stable | Candidate) -> Restore:
    """Whether a new pod of this revision could fetch its bytes. Many rules ask it in a cycle."""
    asked = (find_restore, held.revision, held.number, held.fingerprint)
    if asked not in world.worked_out:
        world.worked_out[asked] = _find_restore(world, held)
    found: Restore = world.worked_out[asked]
    return found


def _find_restore(world: World, held: Stable | Candidate) -> Restore:
    source, revision = world.snapshot.source, world.revision(held.revision)
    if revision.record and not fetches_from(revision.record.deployment, world.snapshot.spec.source):
        text = f"{held.revision} fetches from another store than spec.source names now"
        return Restore(None, Reason.SourceMoved, text)
    seen = source.lock(held.revision)
    if seen is not None and (seen.here is False or source.reason in READ):
        return Restore(seen.here, seen.reason, seen.message)
    listed = find_identity(source.versions, held.number, held.fingerprint)
    if listed is not None and source.reason in READ:
        text = f"the bucket has version {held.number} with the bytes of {held.revision}"
        return Restore(True, Reason.Restorable, text)
    stored = stored_condition(world.snapshot.status, held.revision)
    if seen is None and stored is not None and stored.get("status") == "False":
        return Restore(False, reason_of(stored), str(stored.get("message", "")))
    if source.reason not in READ:
        return Restore(None, source.reason, source.message, world.source_seen)
    if revision.lock is not None:
        text = f"the lock of {held.revision} has not been compared with the bucket yet"
        return Restore(None, Reason.SourcePending, text, False)
    text = f"the lock of {held.revision} is gone, and so are its bytes from the bucket"
    return Restore(False, Reason.LockedBytesGone, text)


def stored_condition(status: Mapping[str, Any], revision: str) -> Mapping[str, Any] | None:
    """The condition as stored, which is about the stable revision as stored."""
    stable, listed = status.get("stable"), status.get("conditions")
    if not isinstance(stable, Mapping) or stable.get("revision") != revision:
        return None
    known = listed if isinstance(listed, list) else []
    return next((c for c in known if isinstance(c, Mapping) and c.get("type") == CONDITION), None)


def reason_of(stored: Mapping[str, Any]) -> Reason:
    try:
        return Reason(stored.get("reason", ""))
    except ValueError:
        return Reason.LockedBytesGone


def stable_gone(world: World, memory: Memory) -> Restore | None:
    """Why stable's pods are the last that have its bytes; None where they are not."""
    if memory.stable is None:
        return None
    found = find_restore(world, memory.stable)
    return found if found.here is False else None


def hold_scale(world: World, memory: Memory, wanted: int) -> int:
    """Stable's scale: `wanted`, unless pods that are there might not come again."""
    if memory.stable is None:
        return wanted
    view, found = world.revision(memory.stable.revision), find_restore(world, memory.stable)
    if view.deployment is None:
        return wanted
    if found.here is False:
        return view.scale
    return wanted if found.asked else max(view.scale, wanted)


def held_scale(world: World, memory: Memory) -> int | None:
    """Stable's present scale while its pods cannot be replaced, for an autoscaler's bounds."""
    if memory.stable is None or stable_gone(world, memory) is None:
        return None
    return world.revision(memory.stable.revision).scale or None


def find_lack(world: World, memory: Memory, target: Target) -> str | None:
    """Why this target cannot be started; None where its bytes are there, or its pods are."""
    source = world.snapshot.source
    if find_identity(source.versions, target.number, target.fingerprint) is not None:
        return None
    if world.revision(target.revision).ready_replicas >= max(1, world.snapshot.spec.replicas):
        return None
    stable = memory.stable
    same = stable is not None and _identity(stable) == _identity(target)
    told = source.lock(target.revision)
    if told is None and stable is not None and same:
        found = find_restore(world, stable)
        return found.message if found.here is False else None
    return told.message if told is not None and told.here is False else None


def _identity(held: Stable | Target | VersionView) -> tuple[int, str]:
    return held.number, held.fingerprint


def find_overwritten(world: World, memory: Memory) -> VersionView | None:
    """What the bucket has now under the serving number, where that is not what serves."""
    stable = memory.stable
    if stable is None:
        return None
    found = next((v for v in world.snapshot.source.versions if v.number == stable.number), None)
    other = found is not None and found.fingerprint not in ("", stable.fingerprint)
    return found if other else None


def say_kept(world: World, memory: Memory, wanted: int) -> str:
    """The addition to the serving sentence while nothing may be taken from stable."""
    gone = stable_gone(world, memory)
    if gone is None or memory.stable is None:
        return ""
    scale = world.revision(memory.stable.revision).scale
    text = f", which cannot be replaced: {gone.message}"
    if scale != wanted:
        text += f"; the scale stays at {scale}, not {wanted}, until the bytes are back"
    return text


def say_parting(world: World, former: Stable) -> str:
    """The addition to the event of a promotion."""
    if find_restore(world, former).here is not False:
        return ""
    return "; its bytes are gone from the bucket, so it cannot come back once its pods have ended"
