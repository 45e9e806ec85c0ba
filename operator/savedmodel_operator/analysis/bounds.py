"""Exact confidence bounds for shares, differences of shares and quantiles. Pure.

All are one-sided at the level `alpha`: the truth lies beyond the bound with at most that
probability, whatever the truth is. Exact (Clopper and Pearson, Biometrika 26, 1934) rather than
normal approximations, because alpha spending asks for levels of 1e-6, where those are wrong by
orders of magnitude. A difference of two shares combines two exact bounds (method of variance
estimates recovery: Zou and Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_TINY, _PRECISION, _ROUNDS, _HALVINGS = 1e-300, 1e-14, 400, 100


def tail(hits: int, total: int, share: float) -> float:
    """P(X >= hits) for X ~ Binomial(total, share): how surprising this many hits are.

    >>> tail(0, 10, 0.5), round(tail(9, 10, 0.5), 6), tail(1, 10, 0.0)
    (1.0, 0.010742, 0.0)
    """
    _expect_counts(hits, total)
    if hits == 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    return incomplete_beta(float(hits), float(total - hits + 1), share)


def is_rarer(hits: int, total: int, share: float, alpha: float) -> bool:
    """Whether more hits than expected are so surprising: tail(…) <= alpha.

    One term of the sum alone is often more than alpha, and costs a fiftieth of the sum.

    >>> is_rarer(10, 100, 0.05, 0.05), is_rarer(10, 100, 0.05, 0.01), is_rarer(0, 9, 0.1, 0.05)
    (True, False, False)
    """
    _expect_counts(hits, total)
    if alpha <= 0.0 or share >= 1.0 or hits <= share * total:
        return False
    return _term(hits, total, share) <= alpha * (1 + 1e-9) and tail(hits, total, share) <= alpha


def _term(hits: int, total: int, share: float) -> float:
    """P(X = hits)."""
    if share <= 0.0:
        return float(hits == 0)
    ways = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
    return math.exp(ways + hits * math.log(share) + (total - hits) * math.log1p(-share))


def lower(hits: int, total: int, alpha: float) -> float:
    """The smallest share that makes so many hits no more surprising than alpha.

    >>> lower(0, 50, 0.01), round(lower(10, 100, 0.025), 4)
    (0.0, 0.049)
    """
    _expect_counts(hits, total)
    if hits == 0:
        return 0.0
    if tail(hits, total, hits / total) <= alpha:
        return hits / total  # a doubt of more than a half, or so: no bound beyond what was seen
    return _solve(lambda share: tail(hits, total, share), alpha, hits / total)


def upper(hits: int, total: int, alpha: float) -> float:
    """The greatest share that makes so few hits no more surprising than alpha.

    >>> upper(0, 0, 0.01), round(upper(0, 100, 0.05), 4), round(upper(10, 100, 0.025), 4)
    (1.0, 0.0295, 0.1762)
    """
    _expect_counts(hits, total)
    return 1.0 - lower(total - hits, total, alpha)


def lower_difference(first: tuple[int, int], second: tuple[int, int], alpha: float) -> float:
    """Lower bound of (share of first − share of second), each (hits, total).

    >>> round(lower_difference((30, 100), (10, 100), 0.025), 3)
    0.084
    """
    if not first[1] or not second[1]:
        return -1.0
    a, b = first[0] / first[1], second[0] / second[1]
    below, above = lower(*first, alpha), upper(*second, alpha)
    return a - b - math.hypot(a - below, above - b)


def differ_by(
    first: tuple[int, int], second: tuple[int, int], difference: float, alpha: float
) -> bool:
    """Whether even the lower bound of (share of first − share of second) is above the difference.

    For that the lower bound of the first alone must be above it and the second's own share.

    >>> differ_by((30, 100), (10, 100), 0.08, 0.025), differ_by((30, 100), (10, 100), 0.09, 0.025)
    (True, False)
    """
    if not first[1] or not second[1]:
        return False
    least = max(0.0, second[0] / second[1] + difference)
    if least > 0 and not is_rarer(*first, least, alpha):
        return False
    return lower_difference(first, second, alpha) > difference


def quantile_rank(total: int, quantile: float, alpha: float, *, low: bool) -> int | None:
    """Which of `total` sorted values bounds the quantile: its rank from 1; None for too few.

    `low`: the true quantile is at least the value of that rank; else at most. From the binomial
    count of values below a quantile (David and Nagaraja, Order Statistics, 2003, section 7.1).

    >>> quantile_rank(1000, 0.5, 0.025, low=True), quantile_rank(1000, 0.5, 0.025, low=False)
    (469, 532)
    >>> quantile_rank(100, 0.99, 1e-6, low=False) is None
    True
    """
    away = -NormalDist().inv_cdf(min(max(alpha, _TINY), 0.5))
    away *= math.sqrt(total * quantile * (1.0 - quantile))
    guess = (round(total * quantile - away), round(total * quantile + away))
    if low:  # the greatest r with P(fewer than r values lie below the quantile) <= alpha
        rank = _last(total, lambda r: 1.0 - tail(r, total, quantile) <= alpha, guess[0])
        return rank or None
    ranks = _last(total, lambda r: tail(r, total, quantile) > alpha, guess[1])
    return ranks + 1 if ranks < total else None


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), to about 1e-12 of its value.

    Continued fraction of Abramowitz and Stegun 26.5.8, by Lentz's method. Raises ArithmeticError
    where it does not converge, which no a, b below 1e12 were seen to cause.

    >>> round(incomplete_beta(2, 3, 0.5), 12)
    0.6875
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    value = d
    rounds = _ROUNDS + int(10 * math.sqrt(max(a, b)))
    for m in range(1, rounds):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away(1.0 + term * d)
            c = _away(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _PRECISION:
            return value
    raise ArithmeticError(f"no convergence at a={a}, b={b}, x={x}")


def _away(value: float) -> float:
    """Never zero: it is divided by."""
    return value if abs(value) > _TINY else _TINY


def _solve(rising: Callable[[float], float], level: float, high: float) -> float:
    """Where a rising function of (0, high) passes the level, from below.

    Regula falsi on the logarithms, which are nearly straight there, with Illinois' halving
    (Dowell and Jarratt, BIT 11, 1971): about ten evaluations where bisection takes sixty.
    """

    def above(share: float) -> float:
        return math.log(max(rising(share), _TINY)) - math.log(level)

    low, at_low, at_high, side = 0.0, math.log(_TINY) - math.log(level), above(high), 0
    for _ in range(_HALVINGS):
        if high - low <= _PRECISION * high:
            break
        share = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < share < high:
            share = (low + high) / 2
        value = above(share)
        if value > 0:
            high, at_high = share, value
            at_low *= 0.5 if side > 0 else 1.0
            side = 1
        else:
            low, at_low = share, value
            at_high *= 0.5 if side < 0 else 1.0
            side = -1
            if value > -_PRECISION:
                break
    return low


def _last(total: int, holds: Callable[[int], bool], guess: int) -> int:
    """The greatest r in 0 … total for which a falling condition holds, 0 if for none.

    From a guess on by doubled strides, then by halves: few steps where the guess is near.
    """
    guess = min(max(guess, 0), total)
    low, high, stride = 0, total, 1
    if holds(guess):
        low = guess
        while low + stride <= high and holds(low + stride):
            low, stride = low + stride, stride * 2
        high = min(high, low + stride - 1)
    else:
        high = max(guess - 1, 0)
        while high > stride and not holds(high - stride):
            high, stride = high - stride - 1, stride * 2
        low = max(low, high - stride)
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _expect_counts(hits: int, total: int) -> None:
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
