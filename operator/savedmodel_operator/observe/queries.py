"""What Prometheus says of a candidate: asked beside the cycles, once per interval of a step.

The first look is one interval after the step's weight, so that there is something to see. A round
asks all queries; each answer is a number or the reason why there is none, and every round wakes the
object. An answer whose time has not moved since the round before is old, whatever it says. Must
not judge the numbers: `plan.queries` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.queries import Prometheus, fill
from savedmodel_operator.api.types import Spec
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.observe.counters import Subject, subject_of
from savedmodel_operator.observe.prometheus import Server
from savedmodel_operator.observe.watches import Watches
from savedmodel_operator.plan.snapshot import QueriesView
from savedmodel_operator.storage.base import StorageError

AT_ONCE = 16
"""Queries of all objects that are open at the same time."""

STALE = "its answer is as old as at the look before"

Open = Callable[[str, Prometheus], Awaitable[Server]]
"""(namespace, the spec's words) → whom to ask. Raises StorageError."""

Ask = Callable[[Server, str], Awaitable[Answer]]
"""(server, PromQL) → the answer. Never raises."""


@dataclass(frozen=True)
class Inquiry:
    """Whom to ask what: the subject of `counters`, a server, and (name, PromQL) of each query."""

    about: Subject
    namespace: str
    prometheus: Prometheus
    queries: tuple[tuple[str, str], ...]


@dataclass
class _Watch:
    subject: Inquiry
    open: Open
    ask: Ask
    now: Callable[[], float]
    begun: bool = False
    asked_at: float = 0.0
    answers: Mapping[str, Answer] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)  # query → its answer's time

    @property
    def interval(self) -> float:
        return self.subject.about.interval

    async def look(self) -> bool:
        if not self.begun:
            self.begun = True
            return False
        found = await self._round()
        self.answers = {name: self._fresh(name, answer) for name, answer in found.items()}
        self.asked_at = self.now()
        return True

    async def _round(self) -> Mapping[str, Answer]:
        names = [name for name, _ in self.subject.queries]
        try:  # each time: a token may be replaced within a step
            server = await self.open(self.subject.namespace, self.subject.prometheus)
        except StorageError as error:
            return dict.fromkeys(names, Answer(trouble=error.message))
        asked = (self.ask(server, text) for _, text in self.subject.queries)
        return dict(zip(names, await asyncio.gather(*asked), strict=True))

    def _fresh(self, name: str, answer: Answer) -> Answer:
        if answer.value is None:
            return answer
        newest = self.newest.get(name)
        if newest is not None and answer.at <= newest:
            return Answer(trouble=STALE)
        self.newest[name] = answer.at
        return answer

    def view(self) -> QueriesView | None:
        """None before the first round."""
        if not self.asked_at:
            return None
        about = self.subject.about
        return QueriesView(
            about.revision, about.against, about.step, self.asked_at, dict(self.answers)
        )


class Queries:
    """The inquiries of all objects."""

    def __init__(
        self, open_: Open, ask: Ask, now: Callable[[], float], changed: Callable[[Owner], None]
    ) -> None:
        self._open = open_
        self._ask = ask
        self._now = now
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._watches: Watches[_Watch] = Watches(changed)

    def view(self, owner: Owner, inquiry: Inquiry | None) -> QueriesView | None:
        """The latest answers in the present step; begins to ask where nobody does."""
        if inquiry is None:
            self.forget(owner)
            return None
        return self._watches.hold(owner, _Watch(inquiry, self._open, self._one, self._now)).view()

    def forget(self, owner: Owner) -> None:
        """The object, its candidate or its step is gone."""
        self._watches.forget(owner)

    def close(self) -> None:
        """Stops asking."""
        self._watches.close()

    async def _one(self, server: Server, query: str) -> Answer:
        async with self._turn:
            return await self._ask(server, query)


def inquiry_of(meta: Meta, spec: Spec) -> Inquiry | None:
    """What to ask now, None without queries or without a candidate that carries requests."""
    asked, about = spec.rollout.analysis, subject_of(meta, spec)
    if asked is None or asked.prometheus is None or about is None:
        return None
    values = {
        "name": meta.name,
        "namespace": meta.namespace,
        "model": about.model,
        "revision": about.revision,
        "version": _number(meta, "candidate"),
        "stable.revision": about.against,
        "stable.version": _number(meta, "stable"),
    }
    queries = tuple((q.name, fill(q.query, values)) for q in asked.queries)
    return Inquiry(about, meta.namespace, asked.prometheus, queries)


def _number(meta: Meta, role: str) -> str:
    return str((meta.status.get(role) or {}).get("number", ""))
