"""The gate's last questions, asked to the candidate's own servers before they carry a weight.

    pod ready ─► check (beside the cycles) ─► Passed or Rejected: kept while its process lives
                       └─ Errored ─► again after 1 s, 2 s, 4 s … 30 s

Every ready pod of the candidate is asked by itself; the candidate's verdict is passed once all of
them passed, so a step waits for the pods that it added. A changed gate asks again. What is asked
is `candidate.CandidateCheck`'s matter; a verdict wakes the object.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.types import Gate
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.gate import Outcome, Verdict
from savedmodel_operator.observe.routers import is_serving, process_of
from savedmodel_operator.plan.snapshot import Observed
from savedmodel_operator.workload.model import MODEL
from savedmodel_operator.workload.revision import RevisionRecord, read_record

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

QUIET_TRIES = 3
"""Tries in a row that could not be made before it is shown as CheckErrored: a server that is busy
for a moment is no news."""

AT_ONCE = 4
"""Pods of one candidate that are asked at the same time: each asks the same pod of stable too."""

Check = Callable[["Target"], Awaitable[Verdict]]
"""The verdict on one pod; does not raise for what a server may do."""


@dataclass(frozen=True)
class Question:
    """What an object's candidate is asked, as spec and status have it."""

    model_name: str
    tags: tuple[str, ...]
    gate: Gate
    candidate: str | None = None
    stable: str | None = None


@dataclass(frozen=True)
class Target:
    """A pod that can be asked, and what it should answer.

    `loaded` is the seconds from its container's start until it was ready, None where the kubelet
    does not say; `stable` is the address and record of a ready pod of stable.
    """

    namespace: str
    revision: str
    process: str
    ip: str
    question: Question
    record: RevisionRecord
    loaded: float | None = None
    stable: tuple[str, RevisionRecord] | None = None


@dataclass
class _Pod:
    """One process of a candidate's pod: how it was judged, and under which gate."""

    target: Target
    verdict: Verdict | None = None
    task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.task = None


@dataclass
class _Candidate:
    """One revision under check. `turn` is held by the pods that are being asked."""

    revision: str
    turn: asyncio.Semaphore
    pods: dict[str, _Pod] = field(default_factory=dict)


class LiveChecks:
    """Verdicts on the candidates of all objects."""

    def __init__(self, check: Check, changed: Callable[[Owner], None]) -> None:
        self._check = check
        self._changed = changed
        self._candidates: dict[Owner, _Candidate] = {}

    def view(
        self, owner: Owner, question: Question, children: list[Observed]
    ) -> dict[str, Verdict]:
        """What is known now, by revision; starts to ask pods that were not asked."""
        held = self._candidates.get(owner)
        if held is None or held.revision != question.candidate:
            self.forget(owner)
            if question.candidate is None:
                return {}
            turn = asyncio.Semaphore(AT_ONCE)
            held = self._candidates[owner] = _Candidate(question.candidate, turn)
        pods = [c for c in children if c.kind == "Pod" and _revision(c) == held.revision]
        self._drop(held, {process_of(pod) for pod in pods})
        targets = _targets(owner[0], question, children)
        for target in targets:
            self._look(owner, held, target)
        verdict = _combined([held.pods[t.process].verdict for t in targets])
        return {} if verdict is None else {held.revision: verdict}

    def forget(self, owner: Owner) -> None:
        """The object, or its candidate, is gone."""
        held = self._candidates.pop(owner, None)
        if held is not None:
            self._drop(held, set())

    def close(self) -> None:
        """Stops asking."""
        for owner in list(self._candidates):
            self.forget(owner)

    def _look(self, owner: Owner, held: _Candidate, target: Target) -> None:
        pod = held.pods.get(target.process)
        if pod is not None and pod.target.question.gate != target.question.gate:
            pod.stop()
            pod = None
        if pod is None:
            pod = held.pods[target.process] = _Pod(target)
        pod.target = target
        if pod.task is None and (pod.verdict is None or _open(pod.verdict)):
            pod.task = asyncio.create_task(
                self._ask(owner, pod, held.turn), name=f"live check {target.revision}"
            )

    async def _ask(self, owner: Owner, pod: _Pod, turn: asyncio.Semaphore) -> None:
        pause, tries = FIRST_PAUSE, 0
        try:
            while True:
                async with turn:
                    verdict = await self._check(pod.target)
                tries += 1
                quiet = _open(verdict) and tries < QUIET_TRIES
                if pod.verdict != verdict and not quiet:
                    pod.verdict = verdict
                    self._changed(owner)
                if not _open(verdict):
                    return
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
        except Exception:
            log.exception("bug in the live check of %s", pod.target.revision)
            raise
        finally:
            if pod.task is asyncio.current_task():
                pod.task = None

    def _drop(self, held: _Candidate, there: set[str]) -> None:
        """Forget processes that are gone."""
        for process in [p for p in held.pods if p not in there]:
            held.pods.pop(process).stop()


def _open(verdict: Verdict) -> bool:
    """A check that could not be done is no answer."""
    return verdict.outcome is Outcome.Errored


def _combined(verdicts: list[Verdict | None]) -> Verdict | None:
    """The candidate's verdict: one refusal refuses, one open question keeps it open."""
    known = [v for v in verdicts if v is not None]
    for outcome in (Outcome.Rejected, Outcome.Errored):
        for verdict in known:
            if verdict.outcome is outcome:
                return verdict
    return known[0] if known and len(known) == len(verdicts) else None


def _targets(namespace: str, question: Question, children: list[Observed]) -> list[Target]:
    """The candidate's ready pods."""
    records = {
        c.name: read_record(c.body)
        for c in children
        if c.kind == "ControllerRevision" and c.name in (question.candidate, question.stable)
    }
    record = records.get(question.candidate or "")
    if record is None:
        return []
    stable, base = None, records.get(question.stable or "")
    if base is not None:
        stable = next(((_ip(pod), base) for pod in _serving(children, str(question.stable))), None)
    return [
        Target(
            namespace=namespace,
            revision=str(question.candidate),
            process=process_of(pod),
            ip=_ip(pod),
            question=question,
            record=record,
            loaded=load_seconds(pod.body),
            stable=stable,
        )
        for pod in _serving(children, str(question.candidate))
    ]


def _serving(children: list[Observed], revision: str) -> list[Observed]:
    return [
        c
        for c in children
        if c.kind == "Pod"
        and _revision(c) == revision
        and _labels(c).get(names.LABEL_COMPONENT) == names.COMPONENT_MODEL
        and is_serving(c)
    ]


def load_seconds(pod: Mapping[str, Any]) -> float | None:
    """From the start of the model's container to the pod's Ready, in whole seconds.

    A pod that was ready before and lost it for a moment would count longer, so it is judged when
    it is first seen ready. Choice (2026-11): not the server's own metric load_latency, which
    leaves out the process's start and the warm-up that a pod waits for as well.
    """
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    started = [
        ((c.get("state") or {}).get("running") or {}).get("startedAt")
        for c in containers
        if c.get("name") == MODEL
    ]
    ready = [
        c.get("lastTransitionTime")
        for c in status.get("conditions") or ()
        if c.get("type") == "Ready" and c.get("status") == "True"
    ]
    try:
        began, ended = (datetime.fromisoformat(str(t)) for t in (started[0], ready[0]))
        return max(0.0, (ended - began).total_seconds())
    except (IndexError, ValueError, TypeError):
        return None


def _labels(child: Observed) -> Mapping[str, Any]:
    labels: Mapping[str, Any] = child.body["metadata"].get("labels") or {}
    return labels


def _revision(child: Observed) -> str:
    return str(_labels(child).get(names.LABEL_REVISION, ""))


def _ip(pod: Observed) -> str:
    return str(pod.body["status"]["podIP"])
