"""One look at the candidate: each limit against what was counted → a result with its figures. Pure.

Three answers. Failed: the limit is broken beyond the doubt that this look may spend (`spending`).
Passed: enough requests, and what was observed keeps the limit. Inconclusive: too few requests, or
the observed value is beyond the limit while chance still explains it. Only Failed condemns.

Latencies come in buckets. What the bucket around a limit holds is on neither side of it: it does
not break the limit, so a limit acts as the next edge at or above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from savedmodel_operator.analysis.bounds import differ_by, is_rarer, quantile_rank
from savedmodel_operator.analysis.window import Counts

WIDE = 1.5
"""A bucket that is told by its edges; TensorFlow Serving's are wider by 1.8."""


class Outcome(StrEnum):
    """What one look says about one limit."""

    Passed = "Passed"
    Failed = "Failed"
    Inconclusive = "Inconclusive"


@dataclass(frozen=True)
class Limits:
    """What the candidate must keep. Shares from 0 to 1, latencies in seconds, None: not asked.

    `latency` and `latency_ratio`: quantile → limit, as {0.99: 0.25}; ratios are candidate / stable.
    """

    min_requests: int = 100
    server_error_rate: float | None = None
    client_error_increase: float | None = None
    latency: Mapping[float, float] = field(default_factory=dict)
    latency_ratio: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One limit at one look. `observed` is None where nothing was counted."""

    metric: str
    outcome: Outcome
    observed: float | None
    limit: float
    samples: int
    sentence: str


Test = Callable[[float], Result]
"""The result at a level of doubt; at 0 nothing can fail."""


def tests(limits: Limits, candidate: Counts, stable: Counts) -> Iterator[tuple[str, int, Test]]:
    """(metric, samples, test) of every limit that is asked for, in the order of their gravity.

    `stable` was counted in the same window.
    """
    least = limits.min_requests
    rate, increase = limits.server_error_rate, limits.client_error_increase
    if rate is not None:
        yield "serverErrorRate", candidate.requests, _server_errors(rate, least, candidate)
    if increase is not None:
        samples = min(candidate.requests, stable.requests)
        yield "clientErrorIncrease", samples, _client_errors(increase, least, candidate, stable)
    for quantile, limit in limits.latency.items():
        yield (
            f"latency.{name(quantile)}",
            candidate.timed,
            _latency(quantile, limit, least, candidate),
        )
    for quantile, limit in limits.latency_ratio.items():
        samples = min(candidate.timed, stable.timed)
        test = _ratio(quantile, limit, least, candidate, stable)
        yield f"latencyRatio.{name(quantile)}", samples, test


def name(quantile: float) -> str:
    """As people write it.

    >>> name(0.5), name(0.99), name(0.999)
    ('p50', 'p99', 'p99.9')
    """
    return f"p{quantile * 100:.10g}"


def _server_errors(limit: float, least: int, seen: Counts) -> Test:
    def test(alpha: float) -> Result:
        hits, total = seen.server_errors, seen.requests
        text = f"{_percent(hits, total)} of {total} requests failed with server errors"
        certain = total >= least and is_rarer(hits, total, limit, alpha)
        observed = hits / total if total else None
        beyond = observed is not None and observed > limit
        found = _Found(observed, beyond, certain, text, _share)
        return _result("serverErrorRate", limit, (total, least), found)

    return test


def _client_errors(limit: float, least: int, seen: Counts, stable: Counts) -> Test:
    def test(alpha: float) -> Result:
        ours, theirs = (seen.client_errors, seen.requests), (stable.client_errors, stable.requests)
        samples = min(ours[1], theirs[1])
        text = (
            f"{_percent(*ours)} of {ours[1]} requests were answered with client errors, "
            f"stable's {_percent(*theirs)} of {theirs[1]}"
        )
        observed = ours[0] / ours[1] - theirs[0] / theirs[1] if samples else None
        certain = samples >= least and alpha > 0 and differ_by(ours, theirs, limit, alpha)
        beyond = observed is not None and observed > limit
        found = _Found(observed, beyond, certain, text, _share)
        return _result("clientErrorIncrease", limit, (samples, least), found)

    return test


def _latency(quantile: float, limit: float, least: int, seen: Counts) -> Test:
    metric = f"latency.{name(quantile)}"

    def test(alpha: float) -> Result:
        total, observed = seen.timed, seen.quantile(quantile)
        text = f"{name(quantile)} of {total} requests took {_took(seen, quantile)}"
        slow = seen.slower_than(limit)
        certain = total >= least and is_rarer(slow, total, 1.0 - quantile, alpha)
        beyond = total > 0 and seen.bucket(quantile)[0] >= limit
        found = _Found(observed if total else None, beyond, certain, text, _time)
        return _result(metric, limit, (total, least), found)

    return test


def _ratio(quantile: float, limit: float, least: int, seen: Counts, stable: Counts) -> Test:
    metric = f"latencyRatio.{name(quantile)}"

    def test(alpha: float) -> Result:
        samples = min(seen.timed, stable.timed)
        ours, theirs = seen.quantile(quantile), stable.quantile(quantile)
        text = (
            f"{name(quantile)} of {seen.timed} requests took {_took(seen, quantile)}, "
            f"stable's of {stable.timed} took {_took(stable, quantile)}"
        )
        observed = ours / theirs if samples and theirs else None
        certain = (
            samples >= least and alpha > 0 and _slower(quantile, limit, seen, stable, alpha / 2)
        )
        beyond = seen.bucket(quantile)[0] > limit * stable.bucket(quantile)[1]
        found = _Found(observed, beyond and samples > 0, certain, text, _times)
        return _result(metric, limit, (samples, least), found)

    return test


def _slower(quantile: float, ratio: float, seen: Counts, stable: Counts, alpha: float) -> bool:
    """Whether even the candidate's lower bound is above so many times stable's upper bound."""
    # Stable's upper bound is at least its own quantile, which the candidate must be above alone.
    slow = seen.slower_than(ratio * stable.bucket(quantile)[1])
    if not is_rarer(slow, seen.timed, 1.0 - quantile, alpha):
        return False
    low = quantile_rank(seen.timed, quantile, alpha, low=True)
    high = quantile_rank(stable.timed, quantile, alpha, low=False)
    if low is None or high is None:
        return False
    return seen.value_at(low)[0] > ratio * stable.value_at(high)[1]


@dataclass(frozen=True)
class _Found:
    """What one test saw. `beyond`: the observed value breaks the limit, by chance or not; `certain`:
    not by chance."""

    observed: float | None
    beyond: bool
    certain: bool
    text: str
    show: Callable[[float], str]


def _result(metric: str, limit: float, sample: tuple[int, int], found: _Found) -> Result:
    samples, least = sample
    said = f"{metric}: {found.text}, the limit is {found.show(limit)}"
    if found.certain:
        return Result(metric, Outcome.Failed, found.observed, limit, samples, said)
    if samples < least or found.observed is None:
        said = f"{metric}: {samples} of {least} requests that it needs"
        return Result(metric, Outcome.Inconclusive, found.observed, limit, samples, said)
    if found.beyond:
        said += "; chance may still explain it"
        return Result(metric, Outcome.Inconclusive, found.observed, limit, samples, said)
    return Result(metric, Outcome.Passed, found.observed, limit, samples, said)


def _percent(hits: int, total: int) -> str:
    return _share(hits / total) if total else "none"


def _share(value: float) -> str:
    return f"{value * 100:.3g} %"


def _time(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _took(seen: Counts, quantile: float) -> str:
    """The estimate, or the edges where they are far apart."""
    low, high = seen.bucket(quantile)
    if math.isinf(high):
        return f"more than {_time(low)}"
    if low > 0 and high > WIDE * low:
        return f"{_time(low)} to {_time(high)}"
    return _time(seen.quantile(quantile))


def _times(value: float) -> str:
    return f"{value:.3g} times stable's"
