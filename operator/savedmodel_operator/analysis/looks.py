"""Looks in a row: what one rollout has spent of its doubt, and the verdict of all limits. Pure.

A `Ledger` goes through the whole rollout and is kept in status, so that neither a restart of the
operator nor a new step gives the doubt back. The counts come anew with each step (`window`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from savedmodel_operator.analysis.judge import Limits, Outcome, Result, tests
from savedmodel_operator.analysis.spending import level, stage
from savedmodel_operator.analysis.window import Counts


@dataclass(frozen=True)
class Ledger:
    """`looks`: metric → formal looks so far in this rollout. `stages`: metric → the stage of the
    latest one in this window. `broken`: formal looks that found a limit broken."""

    looks: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, int] = field(default_factory=dict)
    broken: int = 0

    def new_window(self) -> Ledger:
        """The counts begin anew: a new step, or an operator that lost them."""
        return replace(self, stages={})


@dataclass(frozen=True)
class Look:
    """All limits at one moment. `outcome` is the gravest of the results."""

    results: tuple[Result, ...]
    ledger: Ledger

    @property
    def outcome(self) -> Outcome:
        """Failed before Inconclusive before Passed; Passed where nothing is asked for."""
        found = {result.outcome for result in self.results}
        gravity = (Outcome.Failed, Outcome.Inconclusive)
        return next((o for o in gravity if o in found), Outcome.Passed)

    @property
    def gravest(self) -> Result | None:
        """The first result with that outcome."""
        return next((r for r in self.results if r.outcome is self.outcome), None)


def look(limits: Limits, candidate: Counts, stable: Counts, ledger: Ledger) -> Look:
    """Every limit once. Only where the sample has grown enough is it a formal look that can fail."""
    asked = list(tests(limits, candidate, stable))
    looks, stages, broken = dict(ledger.looks), dict(ledger.stages), ledger.broken
    results = []
    for metric, samples, test in asked:
        reached = stage(samples, limits.min_requests)
        formal = reached > stages.get(metric, -1)
        if formal:
            stages[metric] = reached
            looks[metric] = looks.get(metric, 0) + 1
        result = test(level(looks[metric], len(asked)) if formal else 0.0)
        broken += result.outcome is Outcome.Failed
        results.append(result)
    return Look(tuple(results), Ledger(looks, stages, broken))
