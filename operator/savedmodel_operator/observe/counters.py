"""What the routers count of candidate and stable: read beside the cycles while both carry requests.

One window per step of a rollout. It begins with the first round of answers, and anew when the
candidate, stable or the step is another, or when this process is. Every router process has a
baseline of its own (`analysis.window`); one that does not answer keeps what it last said. The
object is woken when the counts have changed. Must not judge them: `plan.analysis` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from savedmodel_operator.analysis.window import Counts, Window
from savedmodel_operator.api.types import Spec, seconds
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.observe.routers import running_routers
from savedmodel_operator.observe.watches import Watches
from savedmodel_operator.plan.memory import timestamp
from savedmodel_operator.plan.snapshot import AnalysisView, Observed

AT_ONCE = 16
"""Routers of all objects that are read at the same time."""

Count = Callable[[str, Iterable[str]], Awaitable[Mapping[str, Counts] | None]]
"""(router pod's IP, revisions) → revision → its counters, None without an answer. Never raises."""


@dataclass(frozen=True)
class Subject:
    """Whose requests are counted, and every how many seconds."""

    revision: str
    against: str
    step: int
    interval: float


@dataclass
class _Watch:
    """One window. `pods`: router process → IP."""

    subject: Subject
    ask: Callable[[str, Subject], Awaitable[Mapping[str, Counts] | None]]
    now: Callable[[], float]
    pods: Mapping[str, str] = field(default_factory=dict)
    began: str = ""
    taken_at: float = 0.0
    silent: bool = True
    candidate: Window = field(default_factory=Window)
    stable: Window = field(default_factory=Window)

    @property
    def interval(self) -> float:
        return self.subject.interval

    async def look(self) -> bool:
        pods = dict(self.pods)
        found = await asyncio.gather(*(self.ask(ip, self.subject) for ip in pods.values()))
        return self.sampled(dict(zip(pods, found, strict=True)), self.now())

    def sampled(self, answers: Mapping[str, Mapping[str, Counts] | None], now: float) -> bool:
        """Takes one round in; whether it says anything new."""
        heard = {process: found for process, found in answers.items() if found is not None}
        was_silent, self.silent = self.silent, not heard
        if not heard:
            return False
        before = self.counts
        ours, theirs = self.subject.revision, self.subject.against
        self.candidate = self.candidate.sampled({p: f[ours] for p, f in heard.items()})
        self.stable = self.stable.sampled({p: f[theirs] for p, f in heard.items()})
        self.taken_at = now
        self.began = self.began or timestamp(now)
        return was_silent or self.counts != before

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """Candidate's and stable's."""
        return self.candidate.counts, self.stable.counts

    def view(self) -> AnalysisView | None:
        """None until a router has answered."""
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
        if subject is None:
            self.forget(owner)
            return None
        held = self._watches.hold(owner, _Watch(subject, self._ask, self._now))
        held.pods = running_routers(children)
        return held.view()

    def forget(self, owner: Owner) -> None:
        """The object, its candidate or its step is gone."""
        self._watches.forget(owner)

    def close(self) -> None:
        """Stops counting."""
        self._watches.close()

    async def _ask(self, ip: str, subject: Subject) -> Mapping[str, Counts] | None:
        async with self._turn:
            return await self._count(ip, (subject.revision, subject.against))


def subject_of(spec: Spec, status: Mapping[str, Any]) -> Subject | None:
    """Whose requests matter now: a candidate's that carries some beside stable's."""
    asked, candidate, stable = spec.rollout.analysis, status.get("candidate"), status.get("stable")
    if asked is None or not isinstance(candidate, Mapping) or not isinstance(stable, Mapping):
        return None
    try:
        if int(candidate.get("weight", 0)) <= 0:
            return None
        names = str(candidate["revision"]), str(stable["revision"])
        return Subject(*names, int(candidate.get("step", 0)), seconds(asked.interval))
    except (KeyError, TypeError, ValueError):
        return None
