"""How much doubt each look may spend, so that all looks of a rollout together spend at most ALPHA.

Whoever looks often enough sees something: at the usual 5 % a look, a healthy version looked at a
hundred times is condemned almost surely. So the doubt is a budget for the whole rollout (alpha
spending, Lan and DeMets, Biometrika 70, 1983), shared by the metrics and spent by formal looks
only. Formal looks come when the sample has grown by a quarter, not when a clock ticks: between
them there is little to learn, and their number stays small however long a step is held.

Look k of a metric gets the share 1 / (k (k + 1)), whose sum over all k is 1 (Bonferroni: no
assumption about how looks depend on each other). Pure.
"""

from __future__ import annotations

import math

ALPHA = 0.05
"""False rollbacks of healthy versions per rollout, over all looks and metrics (design, section 10)."""

GROWTH = 1.25


def level(look: int, metrics: int) -> float:
    """The level of the formal look with this number, from 1, of one of so many metrics.

    >>> level(1, 1), level(4, 5)
    (0.025, 0.0005)
    >>> sum(level(k, 1) for k in range(1, 100_000)) < ALPHA
    True
    """
    if look < 1 or metrics < 1:
        raise ValueError(f"look {look} of {metrics} metrics")
    return ALPHA / metrics / (look * (look + 1))


def stage(samples: int, minimum: int) -> int:
    """How often a sample has grown by a quarter since it reached the minimum; -1 before.

    A formal look is due when the stage has risen.

    >>> stage(99, 100), stage(100, 100), stage(124, 100), stage(125, 100), stage(10_000, 100)
    (-1, 0, 0, 1, 20)
    """
    if samples < max(minimum, 1):
        return -1
    return math.floor(math.log(samples / max(minimum, 1)) / math.log(GROWTH) + 1e-9)
