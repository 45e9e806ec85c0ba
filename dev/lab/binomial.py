"""Exact binomial bounds: is an observed split what the weights promise?

Neighbours: the cluster tests and the demo's summary. Standard library only, because the normal
approximation is wrong exactly where it matters: few requests and small weights. Pure.
"""

import math
from itertools import accumulate

#: How often a correct splitter may be called wrong, both tails together (design §14).
FALSE_ALARM = 1e-6


def bounds(requests: int, share: float, false_alarm: float = FALSE_ALARM) -> tuple[int, int]:
    """The least and the greatest number of `requests` that may fall on a version of this share.

    Outside of them with a probability of at most `false_alarm`, half of it in each tail.

    >>> bounds(100, 0.0), bounds(100, 1.0)
    ((0, 0), (100, 100))
    >>> bounds(1000, 0.5)
    (423, 577)
    """
    if share <= 0.0 or share >= 1.0 or requests == 0:
        sure = requests if share >= 1.0 else 0
        return sure, sure
    density = [_probability(k, requests, share) for k in range(requests + 1)]
    tail = false_alarm / 2
    low = sum(1 for total in accumulate(density) if total <= tail)
    high = sum(1 for total in accumulate(reversed(density)) if total <= tail)
    return low, requests - high


def _probability(hits: int, requests: int, share: float) -> float:
    """P(X = hits); logarithms, because the factors over- and underflow at a few hundred requests."""
    ways = math.lgamma(requests + 1) - math.lgamma(hits + 1) - math.lgamma(requests - hits + 1)
    return math.exp(ways + hits * math.log(share) + (requests - hits) * math.log1p(-share))
