"""The conditions: kstatus' `Ready`, `Reconciling`, `Stalled`, and our own beside them. Pure.

A rollout that began in the bucket shows as `RollingOut` only, which GitOps tools ignore (design §4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan import memory as memories
from savedmodel_operator.plan.health import find_complaint
from savedmodel_operator.plan.restorable import CONDITION
from savedmodel_operator.status.report import BY_A_PERSON, Report, cut
from savedmodel_operator.status.versions import say_overwritten

Entry = tuple[str, Reason, str]


def conditions(report: Report) -> list[dict[str, Any]]:
    """All of them, by name."""
    snapshot = report.world.snapshot
    entries = {
        "Ready": _ready(report),
        "Reconciling": _reconciling(report),
        "Stalled": _stalled(report),
        "RollingOut": _rolling_out(report),
        "UpToDate": _up_to_date(report),
        "SourceReady": _source_ready(report),
        "TrafficSynced": _traffic_synced(report),
    }
    if report.restore is not None:
        entries[CONDITION] = (report.restore.state, report.restore.reason, report.restore.message)
    stored = _stored(snapshot.status)
    return [
        _condition(stored.get(kind, {}), kind, *entry, snapshot.generation, snapshot.now)
        for kind, entry in sorted(entries.items())
    ]


def _ready(report: Report) -> Entry:
    stable = report.memory.stable
    if stable is None:
        return "False", report.wait.reason, report.wait.sentence
    if report.silent:
        return "False", report.wait.reason, report.wait.sentence
    view = report.world.revision(stable.revision)
    spec, wanted = report.world.snapshot.spec, report.wanted
    autoscaled = spec.serving.autoscaling is not None
    # What an autoscaler adds may still load: the spec promises its least number.
    least = spec.replicas if autoscaled else wanted
    scaled = autoscaled or report.scaled(view) or (report.kept and view.scale > wanted)
    if view.ready_replicas < least or not scaled:
        complaint = find_complaint(view)
        text = f"{view.ready_replicas} of {wanted} pods of {stable.revision} are ready"
        return (
            "False",
            Reason.StableDegraded,
            text + (f": {complaint.message}" if complaint else ""),
        )
    if not report.route_settled:
        return "False", Reason.RouterUnverified, _route_text(report)
    return "True", Reason.Serving, f"version {stable.number} serves on {view.ready_replicas} pods"


def _reconciling(report: Report) -> Entry:
    memory, wait = report.memory, report.wait
    if report.stalled or wait.reason in BY_A_PERSON:
        return "False", wait.reason, wait.sentence
    if report.choice.missing is not None:
        return "True", Reason.PinnedMissing, report.choice.missing
    if memory.stable is None or report.spec_rollout:
        return "True", wait.reason, wait.sentence
    if report.lacking or report.held_back:
        return "False", Reason.LockedBytesGone, wait.sentence
    if _ready(report)[0] == "False":
        return "True", *_ready(report)[1:]
    return "False", Reason.UpToDate, "the spec is carried out"


def _stalled(report: Report) -> Entry:
    if report.stalled:
        return "True", report.wait.reason, report.wait.sentence
    if report.pinned_refused is not None:
        return "True", report.pinned_refused.kind, report.pinned_refused.message
    if report.lacking:
        return "True", Reason.LockedBytesGone, report.wait.sentence
    if report.conflicts:
        text = "; ".join(report.conflicts)
        return "True", Reason.ConflictingWriter, f"others keep changing what is put back: {text}"
    return "False", Reason.UpToDate, "nothing waits for a person"


def _rolling_out(report: Report) -> Entry:
    if report.memory.candidate is not None:
        return "True", report.wait.reason, report.wait.sentence
    return "False", Reason.UpToDate, "no rollout is running"


def _up_to_date(report: Report) -> Entry:
    refused, memory = report.choice.refused, report.memory
    if report.choice.missing is not None:
        return "False", Reason.PinnedMissing, report.choice.missing
    if refused is not None:
        return "False", refused.kind, refused.message
    if memory.candidate is not None:
        return "False", report.wait.reason, f"version {memory.candidate.number} is being rolled out"
    if report.wait.reason is Reason.Suspended:
        return "False", report.wait.reason, report.wait.sentence
    if report.lacking:
        return "False", report.wait.reason, report.wait.sentence
    if memory.stable is None:
        return "False", report.choice.reason, report.choice.message
    if report.overwritten is not None:
        return "False", Reason.VersionOverwritten, say_overwritten(report, report.overwritten)
    if report.choice.target is None:
        return "False", report.choice.reason, report.choice.message
    pinned = report.world.snapshot.spec.versions.pinned is not None
    what = "is the pinned one" if pinned else "is the newest complete one"
    if not pinned and report.kept:
        what = "serves, and the bucket has no newer complete one"
    return "True", Reason.UpToDate, f"version {memory.stable.number} {what}"


def _source_ready(report: Report) -> Entry:
    source = report.world.snapshot.source
    state = {Reason.SourceReady: "True", Reason.SourcePending: "Unknown"}.get(
        source.reason, "False"
    )
    return state, source.reason, source.message


def _traffic_synced(report: Report) -> Entry:
    if report.router.verified:
        return "True", Reason.RouterVerified, "every router carries the written route"
    return "False", Reason.RouterUnverified, _route_text(report)


def _route_text(report: Report) -> str:
    stale: Iterable[str] = [p.name for p in report.router.stale]
    behind = ", ".join(stale)
    if behind:
        return f"these routers do not carry the written route yet: {behind}"
    return "no router pod is ready yet"


def condition(
    stored: Mapping[str, Any],
    kind: str,
    state: str,
    reason: Reason,
    message: str,
    generation: int,
    now: float,
) -> dict[str, Any]:
    """One as stored: its time is that of the last change of its state."""
    old = _stored(stored).get(kind, {})
    return _condition(old, kind, state, reason, message, generation, now)


def _stored(status: Mapping[str, Any]) -> dict[Any, Mapping[str, Any]]:
    """The stored conditions by type, the first of each."""
    listed = status.get("conditions")
    known: list[Mapping[str, Any]] = listed if isinstance(listed, list) else []
    return {c.get("type"): c for c in reversed(known)}


def _condition(
    old: Mapping[str, Any],
    kind: str,
    state: str,
    reason: Reason,
    message: str,
    generation: int,
    now: float,
) -> dict[str, Any]:
    since = old.get("lastTransitionTime") if old.get("status") == state else None
    return {
        "type": kind,
        "status": state,
        "reason": reason.value,
        "message": cut(message),
        "observedGeneration": generation,
        "lastTransitionTime": since or memories.timestamp(now),
    }
