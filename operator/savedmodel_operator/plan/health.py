"""What is wrong with a revision's pods, in order of weight. Pure.

Two strengths: a `Complaint` that is `fatal` ends the candidate now; any other is the sentence to
show while waiting, and the reason to record when the deadline passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import PodView, RevisionView

CRASHES = 3
"""Restarts after which a crashing container is a crash loop: the first may be the node's fault,
and TF Serving retries loads by itself."""

FATAL_FETCHES = frozenset(
    {Reason.ObjectChanged, Reason.ObjectGone, Reason.ChecksumMismatch, Reason.TensorDamaged}
)
"""The locked bytes are not to be had, or damaged; retrying the same lock cannot help."""

WORDS = 300  # characters of somebody else's message

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
    }
)


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong."""

    reason: Reason
    message: str
    fatal: bool = False


def find_complaint(view: RevisionView) -> Complaint | None:
    """The gravest complaint of a revision's pods; None when all is well or merely young."""
    found = [c for pod in view.pods if not pod.terminating for c in _pod_complaints(pod)]
    if view.replica_failure is not None:
        found.append(Complaint(Reason.ReplicaFailure, view.replica_failure))
    found.sort(key=lambda c: not c.fatal)
    return found[0] if found else None


def say_idle_autoscaler(view: RevisionView) -> str:
    """The addition to the serving sentence while a revision's autoscaler cannot tell the load: no
    metrics-server, no CPU request, or nothing measured yet."""
    status = view.autoscaler.body.get("status", {}) if view.autoscaler else {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ScalingActive" and condition.get("status") == "False":
            text = condition.get("message") or condition.get("reason", "it does not say why")
            return f"; its autoscaler does nothing: {str(text)[:WORDS]}"
    return ""


def tell_loss(view: RevisionView) -> str:
    """Why none of a revision's pods is ready any more: how the latest server ended, if one did."""
    for pod in view.pods:
        for container in pod.body.get("status", {}).get("containerStatuses") or ():
            ended = _ended(container)
            if ended is not None:
                return f"the server of pod {pod.name} ended, {_detail(ended)}"
    return "none of its pods is ready any more"


def _pod_complaints(pod: PodView) -> Iterable[Complaint]:
    status = pod.body.get("status", {})
    for container in status.get("initContainerStatuses") or ():
        yield from _fetch_complaints(pod, container)
    for container in status.get("containerStatuses") or ():
        yield from _server_complaints(pod, container)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = condition.get("message") or condition.get("reason", "not scheduled")
            yield Complaint(Reason.CandidateUnschedulable, f"pod {pod.name}: {text}")


def _fetch_complaints(pod: PodView, container: Mapping[str, Any]) -> Iterable[Complaint]:
    yield from _image_complaints(pod, container)
    ended = _ended(container)
    if ended is None or ended.get("exitCode") == 0:
        return
    reason, message = _fetch_report(str(ended.get("message", "")))
    if ended.get("reason") == "OOMKilled":
        reason, message = Reason.OutOfMemory, "the fetcher ran out of memory"
    fatal = reason in FATAL_FETCHES and container.get("restartCount", 0) >= 1
    yield Complaint(reason, f"pod {pod.name} cannot fetch the model: {message}", fatal)


def _server_complaints(pod: PodView, container: Mapping[str, Any]) -> Iterable[Complaint]:
    yield from _image_complaints(pod, container)
    ended = _ended(container)
    if ended is None:
        return
    restarts = int(container.get("restartCount", 0))
    if ended.get("reason") == "OOMKilled":
        yield Complaint(
            Reason.OutOfMemory,
            f"pod {pod.name} was killed for lack of memory; raise serving.resources.limits.memory",
            restarts >= 1,
        )
    elif restarts >= CRASHES or (restarts == 0 and "running" not in container.get("state", {})):
        yield Complaint(
            Reason.CrashLoop,
            f"pod {pod.name} restarted {restarts} times, {_detail(ended)}",
            restarts >= CRASHES,
        )


def _detail(ended: Mapping[str, Any]) -> str:
    """The exit code and the last words."""
    text = " ".join(str(ended.get("message", "")).split())[-300:]
    return f"exit code {ended.get('exitCode')}" + (f": {text}" if text else "")


def _image_complaints(pod: PodView, container: Mapping[str, Any]) -> Iterable[Complaint]:
    waiting = container.get("state", {}).get("waiting") or {}
    if waiting.get("reason") in _IMAGE_REASONS:
        yield Complaint(
            Reason.ImagePullFailed,
            f"pod {pod.name} cannot pull {container.get('image')}: "
            f"{waiting.get('message') or waiting.get('reason')}",
        )


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the container last ended, if it ended."""
    now: Mapping[str, Any] | None = container.get("state", {}).get("terminated")
    before: Mapping[str, Any] | None = container.get("lastState", {}).get("terminated")
    return now or before


def _fetch_report(text: str) -> tuple[Reason, str]:
    """The fetcher's termination message: one JSON line with reason and message."""
    try:
        report = json.loads(text)
        return Reason(report["reason"]), str(report["message"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Reason.FetchFailed, text.strip()[-300:] or "it gave no reason; see its log"
