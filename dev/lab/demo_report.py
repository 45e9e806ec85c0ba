"""The demo's outcome: phases with their figures, and whether each promise was kept.

Neighbours: `demo` fills it, `demo_view` shows it while it grows. Judges by the clients' record and by
exact bounds, never by what the operator says of itself. Must not talk to the cluster.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.table import Table

from lab.binomial import bounds
from lab.follow import Story, Window
from lab.progress import duration
from lab.record import Record, Summary
from lab.rollback import Rollback

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
    said: list[str] = field(default_factory=list)
    """The operator's sentences about versions that it refused or took back."""
    rollbacks: dict[str, Rollback] = field(default_factory=dict)
    """By what was wrong with the version."""
    good_until: float = 0.0
    """Until then no version had requests that was not to keep them (Unix seconds)."""

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
            blame(seen),
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


def rollback_table(found: Mapping[str, Rollback]) -> Table:
    """Per version that was taken back: seconds until no router sent it anything any more."""
    table = Table(
        "0 % on every router", "after the verdict", "after the limit broke", "after a bad answer",
        box=None,
    )  # fmt: skip
    for title, rollback in found.items():
        spans = (rollback.since_verdict, rollback.since_broken, rollback.since_first_bad)
        table.add_row(title, *("" if s is None else f"{s:.1f} s" for s in spans))
    return table


def blame(seen: Summary) -> str:
    """How many requests failed, and which versions answered them so: "6 (v4)"."""
    versions = sorted(number for number in seen.failed_by if number is not None)
    names = [f"v{number}" for number in versions] + ["nobody"] * (None in seen.failed_by)
    return f"{seen.failed} ({', '.join(names)})" if names else "0"


def client_table(record: Record, names: Iterable[str]) -> Table:
    """Per client: requests, failures, latency."""
    table = Table("client", "requests", "failed", "p50", "p99", box=None)
    for name in names:
        seen: Summary = record.summary(client=name)
        times = (f"{seconds * MS:.1f} ms" for seconds in (seen.p50, seen.p99))
        table.add_row(name, f"{seen.requests}", f"{seen.failed}", *times)
    return table
