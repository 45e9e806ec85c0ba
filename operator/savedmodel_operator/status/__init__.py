"""From the turn of a cycle to the whole status: phase, sentences, conditions. Pure.

Written only when it differs from what is stored, so nothing in it may change by itself: times are
those of transitions. Conditions follow kstatus: `Ready`, `Reconciling`, `Stalled`; a rollout that
began in the bucket shows as `RollingOut` only, which GitOps tools ignore (design §4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from savedmodel_operator.plan import memory as memories
from savedmodel_operator.status.conditions import condition, conditions
from savedmodel_operator.status.report import BY_A_PERSON, Report, cut
from savedmodel_operator.status.sentences import next_step
from savedmodel_operator.status.versions import describe_version

__all__ = ["Report", "blocked", "build"]

LISTED = 10  # entries of versions[]


def build(report: Report) -> dict[str, Any]:
    """The whole status to store."""
    snapshot, memory = report.world.snapshot, report.memory
    body: dict[str, Any] = {
        "observedGeneration": snapshot.generation,
        "phase": _phase(report),
        "message": cut(report.wait.sentence),
        "next": cut(next_step(report)),
        "versions": [describe_version(report, v) for v in _listed(report)],
        "rejected": [memories.write_rejection(r) for r in memory.rejected],
        "history": [memories.write_past(p) for p in memory.history],
        "url": f"http://{snapshot.name}.{snapshot.namespace}.svc:{names.PORT_REST}"
        f"/v1/models/{snapshot.model_name}",
        "replicas": report.stable_ready,
        "selector": f"{names.LABEL_DEPLOYMENT}={snapshot.name},"
        f"{names.LABEL_COMPONENT}={names.COMPONENT_MODEL}",
        "lastHandledAction": memory.last_action or "",
    }
    if memory.high_water_mark is not None:
        body["highWaterMark"] = memory.high_water_mark
    if memory.stable is not None:
        tried = memory.candidate.weight if memory.candidate else 0
        body["stable"] = {
            **memories.write_stable(memory.stable),
            "weight": 0 if report.silent else 100 - tried,
            **_place(report, memory.stable.revision),
        }
    if memory.candidate is not None:
        body["candidate"] = {
            **memories.write_candidate(memory.candidate),
            **_place(report, memory.candidate.revision),
        }
    body["conditions"] = conditions(report)
    return body


def blocked(
    stored: Mapping[str, Any], generation: int, reason: Reason, message: str, now: float
) -> dict[str, Any]:
    """The stored status with the one thing that keeps the operator from going on."""
    entries = {
        "Stalled": ("True", reason, message),
        "Reconciling": ("False", reason, message),
    }
    if "stable" not in stored:
        entries["Ready"] = ("False", reason, message)
    listed = stored.get("conditions")
    old = [c for c in listed if c.get("type") not in entries] if isinstance(listed, list) else []
    fresh = [condition(stored, k, *v, generation, now) for k, v in entries.items()]
    merged = sorted((*old, *fresh), key=lambda c: str(c["type"]))
    body = {**stored, "phase": "Blocked", "message": cut(message), "conditions": merged}
    body["observedGeneration"] = generation
    body.setdefault("lastHandledAction", "")
    return body


def _phase(report: Report) -> str:
    memory = report.memory
    if report.stalled:
        return "Blocked"
    if report.rolling_back:
        return "RollingBack"
    if memory.candidate is not None:
        if report.wait.reason in BY_A_PERSON:
            return "Paused"
        # Nothing can be verified on a pod that waits for a node: the scheduler's words count.
        waits_for_node = report.wait.reason is Reason.CandidateUnschedulable
        return "Progressing" if memory.candidate.live_checked or waits_for_node else "Verifying"
    return "Serving" if memory.stable is not None else "Pending"


def _listed(report: Report) -> Iterable[VersionView]:
    """The newest, and the one that serves however old it is."""
    versions, stable = report.world.snapshot.source.versions, report.memory.stable
    serving = [v for v in versions[LISTED:] if stable is not None and v.number == stable.number]
    return (*versions[: LISTED - len(serving)], *serving)


def _place(report: Report, revision: str) -> dict[str, Any]:
    return {
        "readyReplicas": report.world.revision(revision).ready_replicas,
        "service": revision,
    }
