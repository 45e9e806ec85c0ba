"""The bounds against SciPy, and against their own promise: how often they are wrong."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from savedmodel_operator.analysis.bounds import (
    incomplete_beta,
    lower,
    lower_difference,
    quantile_rank,
    tail,
    upper,
)

SHARES = st.floats(1e-6, 1 - 1e-6)


@given(st.integers(1, 10**6), st.floats(0, 1), SHARES)
def test_tail_is_scipys(total: int, position: float, share: float) -> None:
    hits = round(position * total)
    expected = float(binom.sf(hits - 1, total, share))
    assert tail(hits, total, share) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.floats(0.5, 1e6), st.floats(0.5, 1e6), SHARES)
def test_incomplete_beta_is_scipys(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(float(beta.cdf(x, a, b)), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize(("hits", "total"), [(1, 10), (5, 100), (150, 10_000), (10, 10), (0, 7)])
def test_bounds_are_clopper_and_pearsons(hits: int, total: int, alpha: float) -> None:
    low = 0.0 if hits == 0 else float(beta.ppf(alpha, hits, total - hits + 1))
    high = 1.0 if hits == total else float(beta.ppf(1 - alpha, hits + 1, total - hits))
    assert lower(hits, total, alpha) == pytest.approx(low, rel=1e-9)
    assert upper(hits, total, alpha) == pytest.approx(high, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(0.02, 0.01), (0.3, 0.3), (0.001, 0.001)])
def test_the_bound_of_a_difference_is_seldom_above_it(first: float, second: float) -> None:
    draw, alpha, wrong, runs = random.Random(7), 0.025, 0, 2000
    for _ in range(runs):
        counts = [
            (int(binom.ppf(draw.random(), total, share)), total)
            for share, total in ((first, 400), (second, 3000))
        ]
        wrong += lower_difference(counts[0], counts[1], alpha) > first - second
    assert wrong <= binom.ppf(1 - 1e-6, runs, alpha)


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("total", [1, 2, 30, 200, 1000, 20_000])
@pytest.mark.parametrize("alpha", [0.6, 0.01, 1e-6])
def test_ranks_bound_the_quantile_and_no_nearer_ones_do(
    quantile: float, total: int, alpha: float
) -> None:
    low = quantile_rank(total, quantile, alpha, low=True)
    if low is None:
        assert binom.cdf(0, total, quantile) > alpha  # even the least value may lie above it
    else:
        assert binom.cdf(low - 1, total, quantile) <= alpha < binom.cdf(low, total, quantile)
    high = quantile_rank(total, quantile, alpha, low=False)
    if high is None:
        assert quantile**total > alpha  # even the greatest value may lie below it
    else:
        assert binom.sf(high - 1, total, quantile) <= alpha < binom.sf(high - 2, total, quantile)


@pytest.mark.parametrize(("hits", "total"), [(-1, 5), (6, 5)])
def test_no_share_is_refused(hits: int, total: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        tail(hits, total, 0.5)
