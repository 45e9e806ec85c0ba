"""What was counted for one revision since a step began: requests, errors, latencies. Pure.

Counters come from several processes (router pods, model pods), each from zero at its own start.
A window is the sum over processes of (now − baseline), where a baseline is the first sample of a
process in this window. A process whose counters fell was restarted: its window starts anew with
the sample that showed it, because what it counted between is unknown. A process that left takes
its last counts with it: they were real requests.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import accumulate


@dataclass(frozen=True)
class Counts:
    """Counters of one revision: never below zero, each but `requests` a part of it.

    `latency`: (lower edge, upper edge) in seconds → requests between; only answered ones.
    """

    requests: int = 0
    server_errors: int = 0
    client_errors: int = 0
    latency: Mapping[tuple[float, float], int] = field(default_factory=dict)

    def plus(self, other: Counts) -> Counts:
        """The sum."""
        edges = {*self.latency, *other.latency}
        return Counts(
            self.requests + other.requests,
            self.server_errors + other.server_errors,
            self.client_errors + other.client_errors,
            {e: self.latency.get(e, 0) + other.latency.get(e, 0) for e in edges},
        )

    def since(self, baseline: Counts) -> Counts | None:
        """What came on top of a baseline; None where a counter fell."""
        edges = {*self.latency, *baseline.latency}
        latency = {e: self.latency.get(e, 0) - baseline.latency.get(e, 0) for e in edges}
        found = Counts(
            self.requests - baseline.requests,
            self.server_errors - baseline.server_errors,
            self.client_errors - baseline.client_errors,
            {e: n for e, n in latency.items() if n},
        )
        numbers = (found.requests, found.server_errors, found.client_errors, *latency.values())
        return None if min(numbers) < 0 else found

    @cached_property
    def _sorted(self) -> tuple[list[tuple[float, float]], list[int]]:
        """The buckets by their edges, and how many requests each and those before it hold."""
        edges = sorted(self.latency)
        return edges, list(accumulate(map(self.latency.__getitem__, edges)))

    @cached_property
    def timed(self) -> int:
        """Requests whose latency is known."""
        held = self._sorted[1]
        return held[-1] if held else 0

    def slower_than(self, seconds: float) -> int:
        """Requests that were surely slower: of the bucket around the limit none count."""
        edges, held = self._sorted
        first = bisect_left(edges, (seconds, -math.inf))
        return self.timed - (held[first - 1] if first else 0)

    def value_at(self, rank: int) -> tuple[float, float]:
        """The bucket of the value with this rank from 1. Raises ValueError beyond the last."""
        edges, held = self._sorted
        if rank > self.timed:
            raise ValueError(f"there are {self.timed} values, rank {rank} is none of them")
        return edges[bisect_left(held, rank)]

    def quantile(self, quantile: float) -> float:
        """The estimate in seconds, linear inside its bucket, at the least in an open one; 0 without
        values."""
        if not self.timed:
            return 0.0
        edges, held = self._sorted
        wanted = min(quantile * self.timed, self.timed)
        at = bisect_left(held, wanted)
        (low, high), before = edges[at], held[at - 1] if at else 0
        if math.isinf(high):
            return low
        return low + (high - low) * max(0.0, (wanted - before) / (held[at] - before))

    def bucket(self, quantile: float) -> tuple[float, float]:
        """The edges between which the quantile surely is; (0, 0) without values."""
        rank = max(1, math.ceil(round(quantile * self.timed, 6)))
        return self.value_at(rank) if self.timed else (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Process:
    """One counting process: its baseline, its latest sample, what earlier windows of it left."""

    baseline: Counts
    latest: Counts
    before: Counts = Counts()

    def sampled(self, counts: Counts) -> Process:
        """With a newer sample; a fall starts the window anew."""
        if counts.since(self.latest) is None:
            return Process(counts, counts, self.total)
        return replace(self, latest=counts)

    @property
    def total(self) -> Counts:
        """What this process counted inside the window."""
        found = self.latest.since(self.baseline)
        assert found is not None  # every later sample is not below the one before
        return self.before.plus(found)


@dataclass(frozen=True)
class Window:
    """All processes of one revision since a step began."""

    processes: Mapping[str, Process] = field(default_factory=dict)

    def sampled(self, samples: Mapping[str, Counts]) -> Window:
        """With one round of samples by process; those that are missing keep their last one."""
        known = dict(self.processes)
        for uid, counts in samples.items():
            process = known.get(uid)
            known[uid] = process.sampled(counts) if process else Process(counts, counts)
        return Window(known)

    @property
    def counts(self) -> Counts:
        """The sum."""
        return add(process.total for process in self.processes.values())


def add(parts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    return reduce(Counts.plus, parts, Counts())
