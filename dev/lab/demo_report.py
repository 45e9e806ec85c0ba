"""The demo's outcome: phases with their figures, and whether each promise was kept.

Neighbours: `demo` fills it, `demo_view` shows it while it grows. Judges by the clients' record and by
exact bounds, never by what the operator says of itself. Must not talk to the cluster.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table

from lab.binomial import bounds
from lab.follow import Story, Window
from lab.progress import duration
from lab.record import Record, Summary

#: Milliseconds in a second.
MS = 1000.0


@dataclass(frozen=True)
class Phase:
    """One part of the demo: what it was to show, and what came of it."""

    title: str
    started: float
    ended: float
    outcome: str

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass
class Outcome:
    """All that the summary is made of."""

    phases: list[Phase] = field(default_factory=list)
    setup: list[tuple[str, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    refusal: str = ""

    def check(self, kept: bool, promise: str) -> None:
        """Remember a promise that was not kept."""
        if not kept:
            self.broken.append(promise)


@dataclass(frozen=True)
class Split:
    """How one route divided the requests that fell into its window."""

    window: Window
    requests: int
    hits: int

    @property
    def share(self) -> int:
        """Percent."""
        return self.window.weights[self.window.revision]

    @property
    def bounds(self) -> tuple[int, int]:
        return bounds(self.requests, self.share / 100)

    @property
    def kept(self) -> bool:
        low, high = self.bounds
        return low <= self.hits <= high


def splits(story: Story, record: Record, start: float, end: float) -> list[Split]:
    """One per route that was written and proved between two times (Unix seconds)."""
    found = []
    for window in story.windows(end):
        if start <= window.written and window.verified < end:
            seen = record.summary(max(window.verified, window.seen), min(window.left, end))
            hits = seen.revisions.get(window.revision, 0)
            found.append(Split(window, sum(seen.revisions.values()), hits))
    return found


def summary_table(outcome: Outcome, record: Record) -> Table:
    """Per phase: time, requests, by version, failures."""
    table = Table("phase", "time", "requests", "by version", "failed", "outcome", box=None)
    for title, seconds in outcome.setup:
        table.add_row(title, duration(seconds), "", "", "", "", style="dim")
    for phase in outcome.phases:
        seen = record.summary(phase.started, phase.ended)
        versions = "  ".join(f"v{n}: {count}" for n, count in seen.versions.items())
        table.add_row(
            phase.title,
            duration(phase.seconds),
            f"{seen.requests}",
            versions,
            f"{seen.failed}",
            phase.outcome,
        )
    return table


def split_table(found: Iterable[Split]) -> Table:
    """Per step: the share that was written, the share that clients saw, the time in between."""
    table = Table("revision", "weight", "requests", "seen", "allowed", "verified after", box=None)
    for split in found:
        low, high = split.bounds
        seen = f"{split.hits}" if split.kept else f"[red]{split.hits}[/]"
        table.add_row(
            split.window.revision,
            f"{split.share} %",
            f"{split.requests}",
            seen,
            f"{low} to {high}",
            f"{split.window.convergence * MS:.0f} ms",
        )
    return table


def client_table(record: Record, names: Iterable[str]) -> Table:
    """Per client: requests, failures, latency."""
    table = Table("client", "requests", "failed", "p50", "p99", box=None)
    for name in names:
        seen: Summary = record.summary(client=name)
        times = (f"{seconds * MS:.1f} ms" for seconds in (seen.p50, seen.p99))
        table.add_row(name, f"{seen.requests}", f"{seen.failed}", *times)
    return table
