"""Latency verdicts from TensorFlow Serving's buckets, each 1.8 times as wide as the one before: a
verdict needs what is surely beyond a limit, and what a bucket cannot tell is held against nobody."""

from __future__ import annotations

import math
import random
from bisect import bisect_right

import pytest

from savedmodel_operator.analysis.judge import Limits, Outcome, Result
from savedmodel_operator.analysis.looks import Ledger, look
from savedmodel_operator.analysis.window import Counts

NOBODY = Counts()
BOUNDS = [0.0, *(10e-6 * 1.8**n for n in range(33)), math.inf]


def served(*seconds: float) -> Counts:
    """As a server counts requests that took so long."""
    found: dict[tuple[float, float], int] = {}
    for value in seconds:
        place = bisect_right(BOUNDS, value)
        edges = BOUNDS[place - 1], BOUNDS[place]
        found[edges] = found.get(edges, 0) + 1
    return Counts(len(seconds), latency=found)


def judged(limits: Limits, candidate: Counts, stable: Counts = NOBODY) -> Result:
    [result] = look(limits, candidate, stable, Ledger()).results
    return result


LIMIT = Limits(latency={0.99: 0.25})
LOW, HIGH = 0.2186, 0.3935  # the bucket around 250 ms


def test_the_bucket_around_the_limit_breaks_nothing() -> None:
    assert BOUNDS[18] == pytest.approx(LOW, abs=1e-4)
    assert BOUNDS[19] == pytest.approx(HIGH, abs=1e-4)
    for each in (0.22, 0.26, 0.39):
        found = judged(LIMIT, served(*[each] * 100_000))
        assert found.outcome is Outcome.Passed, "of 250 ms it says nothing"


def test_the_next_bucket_breaks_it() -> None:
    found = judged(LIMIT, served(*[0.4] * 100))
    assert found.outcome is Outcome.Failed
    assert "p99 of 100 requests took 393 ms to 708 ms, the limit is 250 ms" in found.sentence


def test_beyond_the_last_bound() -> None:
    found = judged(LIMIT, served(*[5000.0] * 100))
    assert found.outcome is Outcome.Failed
    assert "p99 of 100 requests took more than 1.47e+03 s" in found.sentence
    assert judged(Limits(latency={0.99: 3600.0}), served(*[5000.0] * 100)).outcome is Outcome.Passed


def test_a_ratio_across_one_edge_is_nobody_s_fault() -> None:
    """1 % slower, across an edge: the estimates differ by 1.8, the requests do not."""
    ratio = Limits(latency_ratio={0.99: 1.2})
    stable, candidate = served(*[LOW * 0.995] * 5000), served(*[LOW * 1.005] * 5000)
    found = judged(ratio, candidate, stable)
    assert found.observed == pytest.approx(1.8, rel=0.01)
    assert found.outcome is Outcome.Passed
    assert judged(ratio, served(*[1.0] * 5000), stable).outcome is Outcome.Failed


@pytest.mark.parametrize("true_p99", [0.1, 0.2, 0.249])
def test_who_keeps_the_limit_is_never_beyond_it(true_p99: float) -> None:
    """Log-normal latencies whose p99 is below the limit, many requests: no doubt is left."""
    chance = random.Random(true_p99)
    sigma = 0.6
    mean = math.log(true_p99) - 2.3263 * sigma
    seen = served(*(chance.lognormvariate(mean, sigma) for _ in range(50_000)))
    assert judged(LIMIT, seen).outcome is Outcome.Passed


@pytest.mark.parametrize("times", [3.3, 6.0])
def test_who_is_two_buckets_beyond_is_found(times: float) -> None:
    chance = random.Random(times)
    seen = served(*(chance.lognormvariate(math.log(0.25 * times), 0.3) for _ in range(300)))
    assert judged(LIMIT, seen).outcome is Outcome.Failed
