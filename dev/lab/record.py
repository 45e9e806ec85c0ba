"""What clients saw: every answer with its time, version and, if it was none, the failure's text.

Neighbours: `clients` append, `load` owns one, demo and tests ask for summaries of time windows.
Must not judge whether a split or a failure is acceptable.
"""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """One request. Times are Unix seconds; a wrong answer has a version and a failure."""

    client: str
    started: float
    ended: float
    version: int | None = None
    revision: str = ""
    failure: str | None = None


@dataclass(frozen=True)
class Summary:
    """The requests of one window: counts, the first failures, latencies in seconds.

    `failed_by`: failures by the version that answered, None for those that nobody did.
    """

    requests: int
    failed: int
    versions: dict[int, int]
    revisions: dict[str, int]
    failures: tuple[Answer, ...]
    p50: float
    p99: float
    failed_by: dict[int | None, int] = field(default_factory=dict)

    def explain(self) -> str:
        """One line per failure that is kept, for an assertion's message."""
        lines = [f"{self.failed} of {self.requests} requests failed"]
        lines += [
            f"  {a.started:.3f} … {a.ended:.3f} {a.client}: {a.failure}" for a in self.failures
        ]
        return "\n".join(lines)


#: Failures told one by one; the count says the rest.
KEPT = 20


@dataclass
class Record:
    """All answers of a run. One thread appends, any may read: both are single operations."""

    answers: list[Answer] = field(default_factory=list)
    #: Requests that began later than their time, because too many were under way.
    late: int = 0

    def summary(
        self, start: float = 0.0, end: float = float("inf"), client: str | None = None
    ) -> Summary:
        """Of the requests that began at or after `start` and ended by `end` (Unix seconds)."""
        return summarize(
            a
            for a in self.answers[:]
            if a.started >= start and a.ended <= end and client in (None, a.client)
        )


def summarize(answers: Iterable[Answer]) -> Summary:
    """The counts of these answers."""
    seen = list(answers)
    failures = [a for a in seen if a.failure is not None]
    times = sorted(a.ended - a.started for a in seen if a.failure is None)
    return Summary(
        requests=len(seen),
        failed=len(failures),
        versions=dict(sorted(Counter(a.version for a in seen if a.version is not None).items())),
        revisions=dict(sorted(Counter(a.revision for a in seen if a.revision).items())),
        failures=tuple(failures[:KEPT]),
        p50=statistics.median(times) if times else 0.0,
        p99=times[min(len(times) - 1, int(len(times) * 0.99))] if times else 0.0,
        failed_by=dict(Counter(a.version for a in failures)),
    )
