"""What routers and model servers count: clients send requests, versions answer as the scenario says.

Requests are dealt out by the weights that each router carries, and in turn to a revision's pods.
Every process counts from zero at its own start; the operator's windows die with its process.
Figures come from the world's seed. Only worlds whose spec has an analysis count at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savedmodel_operator.analysis.window import Counts, Window
from savedmodel_operator.api.names import LABEL_REVISION
from savedmodel_operator.plan.memory import timestamp
from savedmodel_operator.plan.snapshot import AnalysisView, QueriesView
from simulation.sim_actors import is_ready
from simulation.sim_prometheus import Prometheus

if TYPE_CHECKING:
    from simulation.sim_world import World

FAST, SLOW = (0.010, 0.011), (0.400, 0.410)
COARSE = {FAST: (0.006747, 0.012144), SLOW: (0.393484, 0.708271)}
"""The buckets of TensorFlow Serving that these fall into."""


@dataclass(frozen=True)
class Answers:
    """How a version answers: shares of its requests."""

    server_errors: float = 0.0
    client_errors: float = 0.0
    slow: float = 0.0

    def to(self, requests: int, chance: random.Random) -> Counts:
        """What so many requests lead to."""

        def hits(share: float) -> int:
            return sum(chance.random() < share for _ in range(requests)) if share else 0

        slow = hits(self.slow)
        latency = {FAST: requests - slow, SLOW: slow}
        return Counts(requests, hits(self.server_errors), hits(self.client_errors), latency)


@dataclass
class Metrics:
    """All counters of all routers, and what the operator has read of them."""

    world: World
    rate: int = 0  # requests per second and router
    interval: float = 2.0
    answers: dict[int, Answers] = field(default_factory=dict)
    counters: dict[tuple[str, str], Counts] = field(default_factory=dict)
    key: tuple[str, str, int] | None = None
    began: str = ""
    taken_at: float = 0.0
    windows: tuple[Window, Window] = (Window(), Window())
    read: int = 0  # rounds so far
    prometheus: Prometheus = field(init=False)

    def __post_init__(self) -> None:
        self.prometheus = Prometheus(self.world)

    def start(self, rate: int) -> None:
        """Clients begin to send."""
        self.rate = rate
        self._second()

    def stop(self) -> None:
        """Clients fall silent."""
        self.rate = 0

    def _second(self) -> None:
        if not self.rate:
            return
        for name, carried in self.world.routers.carried.items():
            if ("Pod", name) in self.world.api.objects:
                for revision, weight in carried.weights.items():
                    self._serve(name, revision, weight or carried.mirror.get(revision, 0))
        self.world.after(1.0, 1.0, self._second)

    def _serve(self, router: str, revision: str, weight: int) -> None:
        number = int(revision.split("-v")[1].split("-")[0])
        chance = self.world.random
        requests = sum(chance.random() < weight / 100 for _ in range(self.rate))
        more = self.answers.get(number, Answers()).to(requests, chance)
        place = (router, revision)
        self.counters[place] = self.counters.get(place, Counts()).plus(more)
        pods = self._servers(revision)
        if pods:
            server = (pods[int(self.world.now) % len(pods)], revision)
            answered = {COARSE[edges]: n for edges, n in more.latency.items()}
            known = self.counters.get(server, Counts())
            self.counters[server] = known.plus(Counts(sum(answered.values()), latency=answered))

    def _servers(self, revision: str) -> list[str]:
        pods = self.world.api.of_kind("Pod")
        ours = [p for p in pods if p["metadata"]["labels"].get(LABEL_REVISION) == revision]
        return [p["metadata"]["name"] for p in ours if is_ready(p)]

    def view(self, owner: Mapping[str, Any]) -> AnalysisView | None:
        """What the operator has read for the present step; as `observe.counters` does it."""
        key = None if self._source() == "Prometheus" else self._wanted(owner)
        if key != self.key:
            self._lose()
            self.key = key
            if key is not None:
                self.world.after(0.05, 0.5, self._reader(self.read))
        if key is None or not self.began:
            return None
        ours, theirs = (w.counts for w in self.windows)
        return AnalysisView(*key, self.began, self.taken_at, ours, theirs)

    def queries(self, owner: Mapping[str, Any]) -> QueriesView | None:
        """What Prometheus said to it in the present step."""
        key = self._wanted(owner) if self._source() == "Prometheus" else None
        return self.prometheus.view(key, self._analysis() if key else {})

    def forget(self) -> None:
        """The operator's process is gone."""
        self._lose()
        self.prometheus.forget()

    def _lose(self) -> None:
        self.key, self.began, self.windows = None, "", (Window(), Window())
        self.read += 1

    @staticmethod
    def _wanted(owner: Mapping[str, Any]) -> tuple[str, str, int] | None:
        status = owner["status"]
        candidate, stable = status.get("candidate"), status.get("stable")
        asked = owner["spec"].get("rollout", {}).get("analysis")
        if not (asked and candidate and stable):
            return None
        if not (candidate["weight"] or candidate.get("mirror")):
            return None
        return (candidate["revision"], stable["revision"], candidate["step"])

    def _reader(self, turn: int) -> Callable[[], None]:
        def read() -> None:
            if turn != self.read or self.key is None or self.world.down:
                return
            ours, theirs = (self._samples(r) for r in self.key[:2])
            if ours:
                self._take(ours, theirs)
            self.world.after(self.interval, self.interval, read)

        return read

    def _take(self, ours: Mapping[str, Counts], theirs: Mapping[str, Counts]) -> None:
        before, self.began = self.windows, self.began or timestamp(self.world.now)
        self.windows = before[0].sampled(ours), before[1].sampled(theirs)
        self.taken_at = self.world.now
        if self.windows != before:
            self.world.wake(0.01)

    def _samples(self, revision: str) -> dict[str, Counts]:
        processes = [p["metadata"]["name"] for p in self.world.routers.pods()]
        if self._source() == "ServingMetrics":
            processes = self._servers(revision)
        return {name: self.counters.get((name, revision), Counts()) for name in processes}

    def _source(self) -> str:
        return str(self._analysis().get("source", "Router"))

    def _analysis(self) -> Mapping[str, Any]:
        """As the operator read it last: a spec that it cannot read changes nothing."""
        return self.world.accepted.get("rollout", {}).get("analysis") or {}
