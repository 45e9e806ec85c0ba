"""Answers against bounds: only a number condemns, and one round of answers is one look."""

from __future__ import annotations

import math

import pytest

from savedmodel_operator.analysis.judge import Outcome
from savedmodel_operator.analysis.looks import Ledger
from savedmodel_operator.analysis.queries import Answer, Bounds, look

MAX = Bounds("errors", max=0.02)


def one(bounds: Bounds, answer: Answer) -> tuple[Outcome, str]:
    found = look([bounds], {bounds.name: answer}, Ledger(), new=True)
    [result] = found.results
    return result.outcome, result.sentence


@pytest.mark.parametrize(
    ("bounds", "value", "outcome", "words"),
    [
        (MAX, 0.02, Outcome.Passed, "the answer is 0.02"),
        (
            MAX,
            0.0200001,
            Outcome.Failed,
            "query errors: the answer is 0.0200001, the maximum is 0.02",
        ),
        (MAX, -5, Outcome.Passed, "the answer is -5"),
        (
            Bounds("served", min=10),
            9.5,
            Outcome.Failed,
            "query served: the answer is 9.5, the minimum",
        ),
        (Bounds("served", min=10), 10, Outcome.Passed, "the answer is 10"),
        (Bounds("share", max=2, min=1), 3, Outcome.Failed, "the maximum is 2"),
        (Bounds("share", max=2, min=1), 0, Outcome.Failed, "the minimum is 1"),
        (MAX, math.nan, Outcome.Inconclusive, "its answer is nan, which is no measure"),
        (MAX, math.inf, Outcome.Inconclusive, "its answer is inf"),
        (Bounds("served", min=10), -math.inf, Outcome.Inconclusive, "its answer is -inf"),
        (MAX, None, Outcome.Inconclusive, "query errors: nobody there"),
    ],
)
def test_one_answer(bounds: Bounds, value: float | None, outcome: Outcome, words: str) -> None:
    found = one(bounds, Answer(value, 1.0, "" if value is not None else "nobody there"))
    assert found[0] is outcome
    assert words in found[1]


def test_what_was_not_asked_says_nothing() -> None:
    found = look([MAX], {"another": Answer(9.0)}, Ledger(), new=True)
    assert found.outcome is Outcome.Inconclusive


def test_a_look_is_broken_once_however_many_queries_are() -> None:
    two = [MAX, Bounds("served", min=10)]
    answers = {"errors": Answer(1.0), "served": Answer(0.0)}
    found = look(two, answers, Ledger(broken=3), new=True)
    assert found.ledger.broken == 4
    assert found.gravest is not None
    assert found.gravest.metric == "query errors", "the first of the spec"
    again = look(two, answers, found.ledger, new=False)
    assert (again.outcome, again.ledger.broken) == (Outcome.Failed, 4)


@pytest.mark.parametrize("other", [Answer(0.0), Answer(trouble="silence"), Answer(math.nan)])
def test_a_broken_bound_is_the_gravest(other: Answer) -> None:
    two = [Bounds("other", max=1), MAX]
    found = look(two, {"other": other, "errors": Answer(1.0)}, Ledger(), new=True)
    assert found.outcome is Outcome.Failed
    quiet = look(two, {"other": other, "errors": Answer(0.0)}, Ledger(), new=True)
    assert quiet.outcome is (Outcome.Passed if other.value == 0 else Outcome.Inconclusive)
    assert quiet.ledger.broken == 0
