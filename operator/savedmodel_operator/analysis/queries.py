"""One look at the answers of queries: each against its bounds → a result with its figures. Pure.

A value of Prometheus is no count, so no doubt can be spent on it: a value beyond a bound is a broken
look, and `failureLimit` says how many are tolerated. Only a number condemns. No answer, no series,
several, NaN and infinity are Inconclusive: they say something about the query, its data or the
server, and nothing about the candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from savedmodel_operator.analysis.judge import Outcome, Result
from savedmodel_operator.analysis.looks import Ledger, Look


@dataclass(frozen=True)
class Bounds:
    """What the answer to one query may be."""

    name: str
    max: float | None = None
    min: float | None = None


@dataclass(frozen=True)
class Answer:
    """What came back: a number, by the server's clock of `at`, or why there is none."""

    value: float | None = None
    at: float = 0.0
    trouble: str = ""


def look(
    queries: Iterable[Bounds], answers: Mapping[str, Answer], ledger: Ledger, *, new: bool
) -> Look:
    """Every query once. Only answers that were not looked at before are another broken look."""
    results = tuple(_judge(query, answers.get(query.name, _NOT_ASKED)) for query in queries)
    found = Look(results, ledger)
    if new and found.outcome is Outcome.Failed:
        return replace(found, ledger=replace(ledger, broken=ledger.broken + 1))
    return found


_NOT_ASKED = Answer(trouble="it was not asked yet")


def _judge(query: Bounds, answer: Answer) -> Result:
    metric = f"query {query.name}"
    limit = query.max if query.max is not None else query.min
    assert limit is not None  # the schema's rule
    value = answer.value
    if value is None or not math.isfinite(value):
        why = answer.trouble or f"its answer is {value}, which is no measure"
        return Result(metric, Outcome.Inconclusive, None, limit, 0, f"{metric}: {why}")
    if query.max is not None and value > query.max:
        said = f"{metric}: the answer is {value:.6g}, the maximum is {query.max:.6g}"
        return Result(metric, Outcome.Failed, value, query.max, 1, said)
    if query.min is not None and value < query.min:
        said = f"{metric}: the answer is {value:.6g}, the minimum is {query.min:.6g}"
        return Result(metric, Outcome.Failed, value, query.min, 1, said)
    return Result(metric, Outcome.Passed, value, limit, 1, f"{metric}: the answer is {value:.6g}")
