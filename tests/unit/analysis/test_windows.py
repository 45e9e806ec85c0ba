"""Counters of processes that start, restart and leave."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodel_operator.analysis.window import Counts, Window

FAST, SLOW = (0.010, 0.011), (0.250, 0.260)


def counts(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    return Counts(requests, errors, 0, {FAST: requests - slow, SLOW: slow})


def test_what_was_counted_before_the_window_is_left_out() -> None:
    window = Window().sampled({"a": counts(1000, 900)}).sampled({"a": counts(1100, 905)})
    assert (window.counts.requests, window.counts.server_errors) == (100, 5)


def test_a_process_that_comes_later_counts_from_its_first_sample() -> None:
    window = Window().sampled({"a": counts(0)}).sampled({"a": counts(10), "b": counts(500)})
    window = window.sampled({"a": counts(20), "b": counts(530)})
    assert window.counts.requests == 50


def test_a_restarted_process_keeps_what_it_had_and_starts_anew() -> None:
    window = Window().sampled({"a": counts(100)}).sampled({"a": counts(160, 2)})
    window = window.sampled({"a": counts(5, 1)}).sampled({"a": counts(25, 1)})
    assert (window.counts.requests, window.counts.server_errors) == (80, 2)


def test_a_single_counter_that_falls_is_a_restart_too() -> None:
    window = Window().sampled({"a": counts(100, 50)}).sampled({"a": counts(120, 10)})
    assert window.counts == Counts()


def test_a_process_that_left_keeps_its_requests() -> None:
    window = Window().sampled({"a": counts(0), "b": counts(0)})
    window = window.sampled({"a": counts(10), "b": counts(10)}).sampled({"a": counts(30)})
    assert window.counts.requests == 40


def test_quantiles_ranks_and_surely_slower_ones() -> None:
    seen = counts(100, slow=5)
    assert seen.quantile(0.5) == pytest.approx(0.010, abs=0.001)
    assert seen.quantile(0.99) == pytest.approx(0.258, abs=0.001)
    assert seen.value_at(95) == FAST
    assert seen.value_at(96) == SLOW
    assert (seen.slower_than(0.250), seen.slower_than(0.255)) == (5, 0)
    with pytest.raises(ValueError, match="rank 101"):
        seen.value_at(101)
    assert Counts().quantile(0.99) == 0.0


BUCKETS = st.dictionaries(st.integers(0, 30), st.integers(0, 5), min_size=1)


@given(BUCKETS, st.integers(0, 31), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_sums_over_buckets_are_what_the_single_values_say(
    held: dict[int, int], limit: int, quantile: float
) -> None:
    """Against the list of all values, each written as its bucket; some buckets are empty."""
    ends = {**{n: n + 1.0 for n in range(30)}, 30: math.inf}
    seen = Counts(latency={(float(low), ends[low]): n for low, n in held.items()})
    values = sorted(low for low, n in held.items() for _ in range(n))
    assert seen.timed == len(values)
    assert seen.slower_than(float(limit)) == sum(value >= limit for value in values)
    for rank, value in enumerate(values, start=1):
        assert seen.value_at(rank) == (float(value), ends[value])
    if values:
        low, high = seen.bucket(quantile)
        assert low == values[math.ceil(round(quantile * len(values), 6)) - 1]
        assert low <= seen.quantile(quantile) <= high
