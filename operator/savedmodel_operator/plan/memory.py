"""What the planner remembers between cycles: the part of status that cannot be observed again.

`Memory` is read from status, changed by pure rules, and written back whole. When status is lost,
`recover` rebuilds what the children still tell: promotions and rejections are marked on the
revision records. A second look at the world always beats what stands here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from savedmodel_operator.analysis.looks import Ledger
from savedmodel_operator.api.mirror import MIRROR_STEP
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Spec

JUDGED_BY = "+"  # in `Rejection.gate`: hash of the gate, then the digest of its golden files

TIMES = 4096  # kept converted, either way: each cycle asks for the same dozens

KEPT = 10  # entries of rejected[] and history[] each; a status stays below 16 KiB


@lru_cache(maxsize=TIMES)
def timestamp(seconds: float) -> str:
    """RFC 3339 with milliseconds, for status and annotations."""
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


@lru_cache(maxsize=TIMES)
def unix(text: str | None) -> float | None:
    """Unix seconds of a timestamp of ours; None for none or a damaged one."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # before year 1 or after 9999: could not be written again
        return None


@dataclass(frozen=True)
class Stable:
    """The revision that holds the traffic."""

    number: int
    fingerprint: str
    revision: str
    since: float


@dataclass(frozen=True)
class Candidate:
    """The revision being tried.

    `step` indexes spec.rollout.steps; one past the last is the implied 100 %, MIRROR_STEP the step
    before the first; `mirror` is the percentage that every router was seen to copy. `step_since` is when
    that step's weight was verified on every router, None before. `progress_since` is the base of
    the deadline's clock. `full`: a person skipped the remaining steps. `served`: it had a weight at
    some time, which no route tells any more once it is taken back. `ledger`: what the analysis has
    spent of this rollout's doubt; its stages are those of `window`.
    """

    number: int
    fingerprint: str
    revision: str
    since: float
    step: int = 0
    step_since: float | None = None
    progress_since: float = 0.0
    full: bool = False
    paused: bool = False  # a person holds it where it is
    returning: bool = False  # stable here before and pinned: no steps
    suspended: bool = False  # spec.suspend held it when it was last looked at
    live_checked: bool = False
    served: bool = False
    weight: int = 0
    mirror: int = 0
    base: int | None = None  # pods that carry all traffic, where an autoscaler says how many
    ledger: Ledger = field(default_factory=Ledger)
    window: str = ""


@dataclass(frozen=True)
class Rejection:
    """A version that is not tried again: `kind` Rejected (by the gate) or RolledBack.

    A static refusal binds this identity under this gate (`gate` is its hash). What golden requests,
    agreement or time budgets refuse binds the revision under this gate and these files (hash,
    `JUDGED_BY`, digest of the files). With an empty `gate`, a rollback say, it binds the revision.
    """

    number: int
    fingerprint: str
    revision: str
    kind: Reason
    reason: Reason
    message: str
    at: float
    gate: str = ""


def gate_hash(spec: Spec) -> str:
    """What a gate's refusal is bound to: change the gate or what else it looks at in the spec, and
    it is asked again."""
    options = spec.serving.options
    text = msgspec.json.encode((spec.gate, options.tags, options.warmup), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:12]


def bound_by(gate: str, files: str | None) -> str:
    """`Rejection.gate` of a live refusal; files: as in `gate.Verdict`."""
    return "" if files is None else f"{gate}{JUDGED_BY}{files}"


@dataclass(frozen=True)
class Past:
    """How an earlier stable or candidate ended. `at` of Promoted-over ones starts the delay."""

    number: int
    fingerprint: str
    revision: str
    outcome: Reason
    message: str
    at: float


@dataclass(frozen=True)
class Memory:
    """All of it."""

    stable: Stable | None = None
    candidate: Candidate | None = None
    rejected: tuple[Rejection, ...] = ()  # newest first
    history: tuple[Past, ...] = ()  # newest first
    high_water_mark: int | None = None
    last_action: str | None = None  # None: never recorded

    def reject(self, entry: Rejection) -> Memory:
        """With one more rejection; what falls off the end raises the high-water mark."""
        kept = (entry, *(r for r in self.rejected if r.revision != entry.revision))
        evicted = [r.number for r in kept[KEPT:]]
        mark = max([*evicted, -1 if self.high_water_mark is None else self.high_water_mark])
        return replace(self, rejected=kept[:KEPT], high_water_mark=mark if mark >= 0 else None)

    def forget_rejections(self, number: int) -> Memory:
        """As a person asked: this number may be tried again."""
        mark = self.high_water_mark
        return replace(
            self,
            rejected=tuple(r for r in self.rejected if r.number != number),
            high_water_mark=None if mark is not None and number <= mark else mark,
        )

    def try_again(self, revision: str) -> Memory:
        """Without what was held against this revision: it is the candidate once more."""
        kept = tuple(r for r in self.rejected if r.revision != revision)
        return self if len(kept) == len(self.rejected) else replace(self, rejected=kept)

    def remember(self, past: Past) -> Memory:
        """With one more entry of history."""
        return replace(self, history=(past, *self.history)[:KEPT])


def read(status: Mapping[str, Any]) -> Memory:
    """The memory in a stored status; damaged entries are dropped, never guessed."""
    return Memory(
        stable=_read_stable(status.get("stable")),
        candidate=_read_candidate(status.get("candidate")),
        rejected=tuple(_entries(_read_rejection, status.get("rejected"))),
        history=tuple(_entries(_read_past, status.get("history"))),
        high_water_mark=status.get("highWaterMark"),
        last_action=status.get("lastHandledAction"),
    )


def is_lost(status: Mapping[str, Any]) -> bool:
    """Whether this status never held a memory (new object) or lost it."""
    return status.get("observedGeneration", -1) == -1 and "lastHandledAction" not in status


def recover(records: Iterable[tuple[str, int, str, float | None, str | None]]) -> Memory:
    """Memory from revision records: (revision, number, fingerprint, promoted at, rejected JSON)."""
    memory = Memory()
    newest: Stable | None = None
    for revision, number, fingerprint, promoted_at, rejected in sorted(records, key=lambda r: r[0]):
        entry = _read_rejection(_json(rejected)) if rejected else None
        if entry is not None:
            memory = memory.reject(entry)
        elif promoted_at is not None and (newest is None or promoted_at > newest.since):
            newest = Stable(number, fingerprint, revision, promoted_at)
    return replace(memory, stable=newest)


def write_stable(stable: Stable) -> dict[str, Any]:
    """As it stands in status."""
    return {
        "number": stable.number,
        "fingerprint": stable.fingerprint,
        "revision": stable.revision,
        "since": timestamp(stable.since),
    }


def write_candidate(candidate: Candidate) -> dict[str, Any]:
    """As it stands in status."""
    body: dict[str, Any] = {
        "number": candidate.number,
        "fingerprint": candidate.fingerprint,
        "revision": candidate.revision,
        "since": timestamp(candidate.since),
        "step": candidate.step,
        "progressSince": timestamp(candidate.progress_since),
        "full": candidate.full,
        "paused": candidate.paused,
        "suspended": candidate.suspended,
        "returning": candidate.returning,
        "liveChecked": candidate.live_checked,
        "weight": candidate.weight,
    }
    if candidate.served:
        body["served"] = True
    if candidate.step_since is not None:
        body["stepSince"] = timestamp(candidate.step_since)
    if candidate.mirror:
        body["mirror"] = candidate.mirror
    if candidate.base is not None:
        body["baseReplicas"] = candidate.base
    if candidate.window:
        body["analysis"] = _write_ledger(candidate)
    return body


def _write_ledger(candidate: Candidate) -> dict[str, Any]:
    ledger = candidate.ledger
    metrics = [
        {"metric": metric, "looks": looks, "stage": ledger.stages.get(metric, -1)}
        for metric, looks in sorted(ledger.looks.items())
    ]
    return {"window": candidate.window, "brokenLooks": ledger.broken, "metrics": metrics}


def write_rejection(entry: Rejection) -> dict[str, Any]:
    """As it stands in status, and as JSON on the revision's record."""
    return {
        "number": entry.number,
        "fingerprint": entry.fingerprint,
        "revision": entry.revision,
        "kind": entry.kind.value,
        "reason": entry.reason.value,
        "message": entry.message,
        "at": timestamp(entry.at),
        "gate": entry.gate,
    }


def write_past(past: Past) -> dict[str, Any]:
    """As it stands in status."""
    return {
        "number": past.number,
        "fingerprint": past.fingerprint,
        "revision": past.revision,
        "outcome": past.outcome.value,
        "message": past.message,
        "at": timestamp(past.at),
    }


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_DAMAGED = (TypeError, KeyError, ValueError, AttributeError, OverflowError)
"""What readers of stored entries meet: a wrong type, a missing key, a number that is none."""


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError("no text")
    return raw


def _entries(reader: Any, raw: Any) -> Iterable[Any]:
    return (e for e in map(reader, raw if isinstance(raw, list) else ()) if e is not None)


def _read_stable(raw: Any) -> Stable | None:
    try:
        return Stable(
            int(raw["number"]),
            _text(raw["fingerprint"]),
            _text(raw["revision"]),
            unix(raw.get("since")) or 0.0,
        )
    except _DAMAGED:
        return None


def _read_candidate(raw: Any) -> Candidate | None:
    try:
        since = unix(raw.get("since")) or 0.0
        return Candidate(
            number=int(raw["number"]),
            fingerprint=_text(raw["fingerprint"]),
            revision=_text(raw["revision"]),
            since=since,
            step=max(MIRROR_STEP, int(raw.get("step", 0))),
            step_since=unix(raw.get("stepSince")),
            progress_since=unix(raw.get("progressSince")) or since,
            full=bool(raw.get("full", False)),
            paused=bool(raw.get("paused", False)),
            suspended=bool(raw.get("suspended", False)),
            returning=bool(raw.get("returning", False)),
            live_checked=bool(raw.get("liveChecked", False)),
            served=bool(raw.get("served", False)),
            weight=int(raw.get("weight", 0)),
            mirror=int(raw.get("mirror", 0)),
            base=None if raw.get("baseReplicas") is None else max(0, int(raw["baseReplicas"])),
            **_read_ledger(raw.get("analysis")),
        )
    except _DAMAGED:
        return None


def _read_ledger(raw: Any) -> dict[str, Any]:
    """The fields of a candidate; a damaged ledger is an empty one."""
    try:
        metrics = raw["metrics"]
        ledger = Ledger(
            looks={str(m["metric"]): int(m["looks"]) for m in metrics},
            stages={str(m["metric"]): int(m["stage"]) for m in metrics if int(m["stage"]) >= 0},
            broken=int(raw["brokenLooks"]),
        )
        return {"ledger": ledger, "window": str(raw["window"])}
    except _DAMAGED:
        return {}


def _read_rejection(raw: Any) -> Rejection | None:
    try:
        return Rejection(
            number=int(raw["number"]),
            fingerprint=_text(raw["fingerprint"]),
            revision=_text(raw["revision"]),
            kind=Reason(raw["kind"]),
            reason=Reason(raw["reason"]),
            message=_text(raw.get("message", "")),
            at=unix(raw.get("at")) or 0.0,
            gate=_text(raw.get("gate", "")),
        )
    except _DAMAGED:
        return None


def _read_past(raw: Any) -> Past | None:
    try:
        return Past(
            number=int(raw["number"]),
            fingerprint=_text(raw["fingerprint"]),
            revision=_text(raw["revision"]),
            outcome=Reason(raw["outcome"]),
            message=_text(raw.get("message", "")),
            at=unix(raw.get("at")) or 0.0,
        )
    except _DAMAGED:
        return None
