"""The versions in the bucket and what became of each. Pure."""

from __future__ import annotations

from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Stable
from savedmodel_operator.status.report import Report, cut


def describe_version(report: Report, version: VersionView) -> dict[str, Any]:
    """One entry of `status.versions`."""
    verdict, reason, message = _verdict(report, version)
    return {
        "number": version.number,
        "fingerprint": version.fingerprint,
        "bytes": version.bytes,
        "verdict": verdict,
        "reason": reason.value,
        "message": cut(message),
    }


def _verdict(report: Report, version: VersionView) -> tuple[str, Reason, str]:
    memory = report.memory
    identity = (version.number, version.fingerprint)
    for held, word, reason in (
        (memory.stable, "Stable", Reason.Serving),
        (memory.candidate, "Candidate", Reason.CandidateStarting),
    ):
        if held is not None and (held.number, held.fingerprint) == identity:
            return word, reason, ""
    for entry in memory.rejected:
        if (entry.number, entry.fingerprint) == identity:
            return entry.kind.value, entry.reason, entry.message
    for held in (memory.stable, memory.candidate):
        if held is not None and held.number == version.number and version.fingerprint:
            return "Overwritten", Reason.VersionOverwritten, say_overwritten(report, version)
    if not version.complete:
        return "Incomplete", version.reason, version.message
    stable = memory.stable
    if stable is not None and version.number < stable.number:
        kept = any(_same(h, version) for h in find_kept(report.world, memory))
        return "Kept" if kept else "Former", Reason.Complete, ""
    return "Complete", Reason.Complete, version.message


def say_overwritten(report: Report, version: VersionView) -> str:
    """What became of a number whose bytes changed, and what a person can do."""
    held = (report.memory.candidate, report.memory.stable)
    goes_on = next(h.revision for h in held if h is not None and h.number == version.number)
    text = (
        f"the bytes of version {version.number} changed in the bucket; "
        f"{goes_on} goes on with the bytes it was locked to"
    )
    if not version.complete:
        return f"{text}; the other ones are not complete: {version.message}"
    if report.world.snapshot.spec.versions.on_overwrite == "Alert":
        text += "; publish the other ones under a new number, or set versions.onOverwrite: Rollout"
    return text


def _same(held: Stable, version: VersionView) -> bool:
    return (held.number, held.fingerprint) == (version.number, version.fingerprint)
