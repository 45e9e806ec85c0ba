"""What is counted of candidate and stable: read beside the cycles while both carry requests.

One window per step of a rollout. It begins with the first round of answers, and anew when the
candidate, stable or the step is another, or when this process is. Every counting process, router
or model server, has a baseline of its own (`analysis.window`); one that does not answer keeps what
it last said. The object is woken when the counts have changed. Must not judge them:
`plan.analysis` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from savedmodel_operator.analysis.window import Counts, Window
from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.types import Spec, seconds
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.observe.routers import process_of, running_routers, running_servers
from savedmodel_operator.observe.watches import Watches
from savedmodel_operator.plan.memory import timestamp
from savedmodel_operator.plan.snapshot import AnalysisView, Observed

AT_ONCE = 16
"""Processes of all objects that are read at the same time."""

COUNTED = frozenset({"Router", "ServingMetrics"})
"""Sources that count requests; what Prometheus says is `queries`' matter."""


@dataclass(frozen=True)
class Subject:
    """Whose requests are counted, and every how many seconds.

    `source` and `model`: spec.rollout.analysis.source and the model's name. `alone`: no limit is
    about stable.
    """

    revision: str
    against: str
    step: int
    interval: float
    source: str = "Router"
    model: str = ""
    alone: bool = False

    @property
    def revisions(self) -> tuple[str, ...]:
        """All that have to be heard of."""
        return (self.revision,) if self.alone else (self.revision, self.against)


@dataclass(frozen=True)
class Place:
    """Where a counting process is, and the revisions that it counts."""

    ip: str
    revisions: tuple[str, ...]


Count = Callable[[Subject, Place], Awaitable[Mapping[str, Counts] | None]]
"""Revision → its counters since the process began, None without an answer. Never raises."""


@dataclass
class _Watch:
    """One window. `places`: process → where it is."""

    subject: Subject
    ask: Count
    now: Callable[[], float]
    places: Mapping[str, Place] = field(default_factory=dict)
    began: str = ""
    taken_at: float = 0.0
    silent: bool = True
    candidate: Window = field(default_factory=Window)
    stable: Window = field(default_factory=Window)

    @property
    def interval(self) -> float:
        return self.subject.interval

    async def look(self) -> bool:
        places = dict(self.places)
        found = await asyncio.gather(*(self.ask(self.subject, p) for p in places.values()))
        return self.sampled(dict(zip(places, found, strict=True)), self.now())

    def sampled(self, answers: Mapping[str, Mapping[str, Counts] | None], now: float) -> bool:
        """Takes one round in; whether it says anything new."""
        heard = {process: found for process, found in answers.items() if found is not None}
        was_silent, before = self.silent, self.counts
        ours, theirs = self.subject.revision, self.subject.against
        self.candidate = self.candidate.sampled({p: f[ours] for p, f in heard.items() if ours in f})
        self.stable = self.stable.sampled({p: f[theirs] for p, f in heard.items() if theirs in f})
        known = {revision for found in heard.values() for revision in found}
        self.silent = not known.issuperset(self.subject.revisions)
        if self.silent:
            return False
        self.taken_at = now
        self.began = self.began or timestamp(now)
        return was_silent or self.counts != before

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """Candidate's and stable's."""
        return self.candidate.counts, self.stable.counts

    def view(self) -> AnalysisView | None:
        """None until all revisions were heard of."""
        if not self.began:
            return None
        candidate, stable = self.counts
        subject = self.subject
        return AnalysisView(
            revision=subject.revision,
            against=subject.against,
            step=subject.step,
            window=self.began,
            taken_at=self.taken_at,
            candidate=candidate,
            stable=stable,
        )


class Counters:
    """The windows of all objects."""

    def __init__(
        self, count: Count, now: Callable[[], float], changed: Callable[[Owner], None]
    ) -> None:
        self._count = count
        self._now = now
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._watches: Watches[_Watch] = Watches(changed)

    def view(
        self, owner: Owner, subject: Subject | None, children: list[Observed]
    ) -> AnalysisView | None:
        """What was counted in the present step; begins to count where nobody does."""
        if subject is None or subject.source not in COUNTED:
            self.forget(owner)
            return None
        held = self._watches.hold(owner, _Watch(subject, self._ask, self._now))
        held.places = _places(subject, children)
        return held.view()

    def forget(self, owner: Owner) -> None:
        """The object, its candidate or its step is gone."""
        self._watches.forget(owner)

    def close(self) -> None:
        """Stops counting."""
        self._watches.close()

    async def _ask(self, subject: Subject, place: Place) -> Mapping[str, Counts] | None:
        async with self._turn:
            return await self._count(subject, place)


def _places(subject: Subject, children: list[Observed]) -> dict[str, Place]:
    """Routers count both revisions, a model server its own."""
    if subject.source == "Router":
        routers = running_routers(children)
        return {process: Place(ip, subject.revisions) for process, ip in routers.items()}
    return {
        process_of(pod): Place(ip, (revision,))
        for revision in subject.revisions
        for pod, ip in running_servers(children, revision)
    }


def subject_of(meta: Meta, spec: Spec) -> Subject | None:
    """Whose requests matter now: a candidate's that carries some beside stable's."""
    asked, status = spec.rollout.analysis, meta.status
    candidate, stable = status.get("candidate"), status.get("stable")
    if asked is None or not isinstance(candidate, Mapping) or not isinstance(stable, Mapping):
        return None
    try:
        if max(int(candidate.get("weight", 0)), int(candidate.get("mirror", 0))) <= 0:
            return None
        return Subject(
            revision=str(candidate["revision"]),
            against=str(stable["revision"]),
            step=int(candidate.get("step", 0)),
            interval=seconds(asked.interval),
            source=asked.source,
            model=spec.model_name or meta.name,
            alone=asked.source == "ServingMetrics" and not asked.max_latency_ratio,
        )
    except (KeyError, TypeError, ValueError):
        return None
