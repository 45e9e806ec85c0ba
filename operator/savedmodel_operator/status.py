"""From the turn of a cycle to the whole status: phase, sentences, conditions. Pure.

Written only when it differs from what is stored, so nothing in it may change by itself: times are
those of transitions. Conditions follow kstatus: `Ready`, `Reconciling`, `Stalled`; a rollout that
began in the bucket shows as `RollingOut` only, which GitOps tools ignore (design §4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from savedmodel_operator.api.types import Pinned
from savedmodel_operator.plan import memory as memories
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.health import find_complaint
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Candidate, Memory, Rejection, Stable
from savedmodel_operator.plan.routing import Retired, RouterState
from savedmodel_operator.plan.target import Choice
from savedmodel_operator.plan.trial import Wait, steps_of

LISTED = 10  # entries of versions[]
SENTENCE = 1024  # characters of a message; a status stays below 64 KiB
PATIENCE = 10.0
"""Seconds for which a route on its way to the routers is no reason to call the object not ready:
each step of a rollout would otherwise flap Ready."""


_BY_A_PERSON = (Reason.Paused, Reason.Suspended)


@dataclass(frozen=True)
class Report:
    """What status is made of."""

    world: World
    router: RouterState
    memory: Memory
    choice: Choice
    wait: Wait
    retired: tuple[Retired, ...]
    conflicts: tuple[str, ...] = ()  # children that others keep changing

    @property
    def stable_ready(self) -> int:
        """Ready pods of stable."""
        stable = self.memory.stable
        return self.world.revision(stable.revision).ready_replicas if stable else 0

    @property
    def route_settled(self) -> bool:
        """Whether the routers carry what is written, or have had little time yet."""
        young = self.world.snapshot.now - self.router.written_at < PATIENCE
        return self.router.verified or (self.router.hash is not None and young)

    @property
    def spec_rollout(self) -> bool:
        """Whether the candidate differs from stable by the spec and not by the bucket."""
        stable, candidate = self.memory.stable, self.memory.candidate
        pinned = self.world.snapshot.spec.versions.pinned is not None
        return bool(stable and candidate and (pinned or stable.number == candidate.number))

    @property
    def pinned_refused(self) -> Rejection | None:
        """Git names a version that is refused: that waits for a person."""
        return self.choice.refused if self.world.snapshot.spec.versions.pinned else None

    @property
    def stalled(self) -> bool:
        """Nothing serves and nothing will without a person."""
        return (
            self.memory.stable is None
            and self.memory.candidate is None
            and self.choice.refused is not None
        )

    @property
    def rolling_back(self) -> bool:
        """Whether routers may still send requests to something that failed."""
        failed = {r.revision for r in self.memory.rejected}
        return any(
            r.view.name in failed and r.view.name in self.router.weights for r in self.retired
        )


def build(report: Report) -> dict[str, Any]:
    """The whole status to store."""
    snapshot, memory = report.world.snapshot, report.memory
    body: dict[str, Any] = {
        "observedGeneration": snapshot.generation,
        "phase": _phase(report),
        "message": _cut(report.wait.sentence),
        "next": _cut(_next(report)),
        "versions": [_version(report, v) for v in snapshot.source.versions[:LISTED]],
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
            "weight": 100 - tried,
            **_place(report, memory.stable.revision),
        }
    if memory.candidate is not None:
        body["candidate"] = {
            **memories.write_candidate(memory.candidate),
            **_place(report, memory.candidate.revision),
        }
    body["conditions"] = _conditions(report)
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
    fresh = [_condition(stored, k, *v, generation, now) for k, v in entries.items()]
    merged = sorted((*old, *fresh), key=lambda c: str(c["type"]))
    body = {**stored, "phase": "Blocked", "message": _cut(message), "conditions": merged}
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
        if report.wait.reason in _BY_A_PERSON:
            return "Paused"
        # Nothing can be verified on a pod that waits for a node: the scheduler's words count.
        waits_for_node = report.wait.reason is Reason.CandidateUnschedulable
        return "Progressing" if memory.candidate.live_checked or waits_for_node else "Verifying"
    return "Serving" if memory.stable is not None else "Pending"


def _next_of(report: Report, candidate: Candidate) -> str:
    wait = report.wait
    steps = steps_of(report.world, report.memory)
    rest = steps[candidate.step + 1 :]
    weight = rest[0].weight if rest else 100
    if wait.reason is Reason.Holding and wait.wake_at is not None:
        moment = memories.timestamp(wait.wake_at)[11:19]
        step = steps[candidate.step] if candidate.step < len(steps) else None
        if step is not None and step.pause:
            return f"pause at {step.weight} % from {moment} UTC until the action promote"
        asked = report.world.snapshot.spec.rollout.analysis is not None
        return f"{weight} % at {moment} UTC" + (" if the analysis passes" if asked else "")
    if wait.reason is Reason.Paused:
        verb = "resume" if candidate.paused else "promote"
        return f"{weight} % once the action {verb} is set; abort takes it back"
    if wait.reason is Reason.Suspended:
        return f"{weight} % once spec.suspend is false; abort takes it back"
    if wait.reason is Reason.AnalysisInconclusive:
        return f"{weight} % once the analysis passes; promote goes on without it"
    here = steps[candidate.step].weight if candidate.step < len(steps) else 100
    return f"{here} % for version {candidate.number} once that is done"


def _next(report: Report) -> str:
    memory, snapshot = report.memory, report.world.snapshot
    if memory.candidate is not None:
        return _next_of(report, memory.candidate)
    if report.wait.reason is Reason.Suspended:
        return "it starts once spec.suspend is false"
    pinned = snapshot.spec.versions.pinned
    if pinned is not None:
        return _next_pinned(report, pinned)
    if report.choice.refused is not None:
        number = report.choice.refused.number
        return f"upload a version above {number}, or set the action retry to try {number} again"
    if memory.stable is not None:
        return (
            f"a version above {memory.stable.number} in {snapshot.spec.source.uri} starts a rollout"
        )
    return f"the first complete version in {snapshot.spec.source.uri} is served"


def _next_pinned(report: Report, pinned: Pinned) -> str:
    if report.choice.refused is not None:
        number = report.choice.refused.number
        return f"pin another version, or set the action retry to try {number} again"
    if report.choice.missing is not None or report.memory.stable is None:
        return f"version {pinned.number} starts once it is complete in the bucket"
    return "another version in versions.pinned starts a rollout"


def _version(report: Report, version: VersionView) -> dict[str, Any]:
    verdict, reason, message = _verdict(report, version)
    return {
        "number": version.number,
        "fingerprint": version.fingerprint,
        "bytes": version.bytes,
        "verdict": verdict,
        "reason": reason.value,
        "message": _cut(message),
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
        if held is not None and held.number == version.number and version.fingerprint:
            text = (
                f"the bytes of version {version.number} changed in the bucket; "
                f"{held.revision} goes on with the bytes it was locked to"
            )
            return "Overwritten", Reason.VersionOverwritten, text
    for entry in memory.rejected:
        if (entry.number, entry.fingerprint) == identity:
            return entry.kind.value, entry.reason, entry.message
    if not version.complete:
        return "Incomplete", version.reason, version.message
    stable = memory.stable
    if stable is not None and version.number < stable.number:
        kept = any(_same(h, version) for h in find_kept(report.world, memory))
        return "Kept" if kept else "Former", Reason.Complete, ""
    return "Complete", Reason.Complete, version.message


def _same(held: Stable, version: VersionView) -> bool:
    return (held.number, held.fingerprint) == (version.number, version.fingerprint)


def _place(report: Report, revision: str) -> dict[str, Any]:
    return {
        "readyReplicas": report.world.revision(revision).ready_replicas,
        "service": revision,
    }


def _conditions(report: Report) -> list[dict[str, Any]]:
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
    return [
        _condition(snapshot.status, kind, *entry, snapshot.generation, snapshot.now)
        for kind, entry in sorted(entries.items())
    ]


Entry = tuple[str, Reason, str]


def _ready(report: Report) -> Entry:
    stable, spec = report.memory.stable, report.world.snapshot.spec
    if stable is None:
        return "False", report.wait.reason, report.wait.sentence
    view = report.world.revision(stable.revision)
    if view.ready_replicas < spec.replicas or view.scale != spec.replicas:
        complaint = find_complaint(view)
        text = f"{view.ready_replicas} of {spec.replicas} pods of {stable.revision} are ready"
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
    if report.stalled or wait.reason in _BY_A_PERSON:
        return "False", wait.reason, wait.sentence
    if report.choice.missing is not None:
        return "True", Reason.PinnedMissing, report.choice.missing
    if memory.stable is None or report.spec_rollout:
        return "True", wait.reason, wait.sentence
    if _ready(report)[0] == "False":
        return "True", *_ready(report)[1:]
    return "False", Reason.UpToDate, "the spec is carried out"


def _stalled(report: Report) -> Entry:
    if report.stalled:
        return "True", report.wait.reason, report.wait.sentence
    if report.pinned_refused is not None:
        return "True", report.pinned_refused.kind, report.pinned_refused.message
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
    if memory.stable is None:
        return "False", report.choice.reason, report.choice.message
    if report.choice.target is None:
        return "False", report.choice.reason, report.choice.message
    pinned = report.world.snapshot.spec.versions.pinned is not None
    what = "the pinned one" if pinned else "the newest complete one"
    return "True", Reason.UpToDate, f"version {memory.stable.number} is {what}"


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


def _condition(
    stored: Mapping[str, Any],
    kind: str,
    state: str,
    reason: Reason,
    message: str,
    generation: int,
    now: float,
) -> dict[str, Any]:
    listed = stored.get("conditions")
    known: list[Mapping[str, Any]] = listed if isinstance(listed, list) else []
    old: Mapping[str, Any] = next((c for c in known if c.get("type") == kind), {})
    since = old.get("lastTransitionTime") if old.get("status") == state else None
    return {
        "type": kind,
        "status": state,
        "reason": reason.value,
        "message": _cut(message),
        "observedGeneration": generation,
        "lastTransitionTime": since or memories.timestamp(now),
    }


def _cut(text: str) -> str:
    return text if len(text) <= SENTENCE else text[: SENTENCE - 1] + "…"
