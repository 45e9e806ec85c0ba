"""How a SavedModelDeployment stands: one word, one exit code, and its status by name. Pure.

The rule of `status`, `watch` and the verbs' `--wait`. Reads only what the operator wrote into
status; must not judge what the operator has not, and show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.cli.output import Exit

REFUSALS = (Reason.Rejected, Reason.RolledBack)

WORDS: Mapping[Exit, str] = {
    Exit.YES: "yes",
    Exit.NO: "no",
    Exit.WAITING: "waiting",
    Exit.COULD_NOT_TELL: "unknown",
}


@dataclass(frozen=True)
class Seen:
    """An object as the API server gave it; absent parts read as empty."""

    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace."""
        return str(self.body["metadata"].get("namespace", ""))

    @cached_property
    def status(self) -> Mapping[str, Any]:
        """The status."""
        return _mapping(self.body.get("status"))

    @property
    def phase(self) -> str:
        """status.phase; Pending where nobody wrote one."""
        return str(self.status.get("phase") or "Pending")

    @property
    def stable(self) -> Mapping[str, Any]:
        """What serves."""
        return _mapping(self.status.get("stable"))

    @property
    def candidate(self) -> Mapping[str, Any]:
        """What is tried."""
        return _mapping(self.status.get("candidate"))

    def entries(self, part: str) -> Sequence[Mapping[str, Any]]:
        """A list of status: versions, rejected, history, conditions."""
        found = self.status.get(part)
        return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []

    def condition(self, kind: str) -> tuple[str, str, str]:
        """(status, reason, message); empty where it is not there."""
        for entry in self.entries("conditions"):
            if entry.get("type") == kind:
                state, reason, message = (
                    str(entry.get(k, "")) for k in ("status", "reason", "message")
                )
                return state, reason, message
        return "", "", ""

    @property
    def steps(self) -> tuple[int, ...]:
        """The weights of spec.rollout.steps and the 100 that is implied."""
        rollout = _mapping(_mapping(self.body.get("spec")).get("rollout"))
        listed = rollout.get("steps")
        found = [s for s in listed if isinstance(s, Mapping)] if isinstance(listed, list) else []
        return (*(int(s["weight"]) for s in found), 100) if self.stable else (100,)

    @property
    def behind(self) -> str:
        """Why status says nothing about the present spec; empty where it does."""
        observed = int(self.status.get("observedGeneration", -1))
        wanted = int(self.body["metadata"].get("generation", 0))
        if observed < 0:
            return "the operator has not looked at it yet; is it running?"
        if observed < wanted:
            return f"the operator has not looked at the last change of the spec yet ({observed} of {wanted})"
        return ""

    @property
    def refused(self) -> Mapping[str, Any]:
        """The entry of rejected[] that keeps the object from being up to date."""
        state, reason, message = self.condition("UpToDate")
        if state != "False" or reason not in REFUSALS:
            return {}
        rejected = self.entries("rejected")
        told = [r for r in rejected if r.get("message") == message] or rejected
        return told[0] if told else {"kind": reason, "message": message}

    @property
    def last_refused(self) -> Mapping[str, Any]:
        """The newest entry of rejected[]."""
        rejected = self.entries("rejected")
        return rejected[0] if rejected else {}

    @property
    def paused(self) -> bool:
        """Whether a rollout, or its start, waits for a person."""
        return self.phase == "Paused" or self.suspended

    @property
    def suspended(self) -> bool:
        """Whether spec.suspend is what it waits for."""
        return self.condition("UpToDate")[1] == Reason.Suspended

    @property
    def held(self) -> bool:
        """Whether a person paused the rollout by the verb, and not the step by its `pause`."""
        return self.candidate.get("paused") is True

    @property
    def synced(self) -> bool:
        """Whether every router carries what status says."""
        return self.condition("TrafficSynced")[0] == "True"


@dataclass(frozen=True)
class Standing:
    """The answer to "is all well?": YES, NO, WAITING or COULD_NOT_TELL, and why in a sentence."""

    code: Exit
    why: str

    @property
    def word(self) -> str:
        """The verdict as programs read it."""
        return WORDS[self.code]


def stand(seen: Seen) -> Standing:
    """The standing now, a rollout that is under way included."""
    if seen.behind:
        return Standing(Exit.COULD_NOT_TELL, seen.behind)
    if seen.body["metadata"].get("deletionTimestamp"):
        return Standing(Exit.NO, "it is being deleted")
    stalled, _, why = seen.condition("Stalled")
    if stalled == "True":
        return Standing(Exit.NO, why)
    if seen.paused:
        return Standing(Exit.WAITING, str(seen.status.get("message", "")))
    if seen.refused:
        return Standing(Exit.NO, str(seen.refused.get("message", "")))
    ready, _, why = seen.condition("Ready")
    if ready != "True":
        return Standing(Exit.NO, why or "nothing serves yet")
    if seen.condition("UpToDate")[1] in (Reason.PinnedMissing, Reason.VersionOverwritten):
        return Standing(Exit.NO, seen.condition("UpToDate")[2])
    restorable, _, why = seen.condition("Restorable")
    if restorable == "False":
        return Standing(Exit.NO, f"its pods cannot be replaced: {why}")
    return Standing(Exit.YES, str(seen.status.get("message", "")))


def settled(seen: Seen) -> Standing | None:
    """The standing once no rollout is under way; None while one is, or the spec is not read yet.

    A bucket that cannot be read is settled: what serves, serves, and nothing will come of waiting.
    """
    now = stand(seen)
    if now.code is Exit.WAITING or seen.condition("Stalled")[0] == "True":
        return now
    if seen.behind or seen.candidate or not seen.stable or seen.phase == "RollingBack":
        return None
    if seen.refused or seen.condition("UpToDate")[1] == Reason.VersionOverwritten:
        return now
    newest = seen.condition("UpToDate")[0] == "True" or seen.condition("SourceReady")[0] == "False"
    told = now.code is Exit.YES or seen.condition("Restorable")[0] == "False"
    return now if newest and told and seen.synced else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
