"""Looks in a row: who may fail when, and that no doubt is given back."""

from __future__ import annotations

from savedmodel_operator.analysis.judge import Limits, Outcome
from savedmodel_operator.analysis.looks import Ledger, look
from savedmodel_operator.analysis.window import Counts

LIMITS = Limits(min_requests=100, server_error_rate=0.01)
BAD, GOOD = Counts(1000, 500), Counts(1000, 5)


def test_a_limit_broken_beyond_chance_fails_and_is_counted() -> None:
    seen = look(LIMITS, BAD, GOOD, Ledger())
    assert seen.outcome is Outcome.Failed
    assert (seen.ledger.broken, seen.ledger.looks) == (1, {"serverErrorRate": 1})


def test_without_a_quarter_more_requests_nothing_is_spent_and_nothing_fails() -> None:
    first = look(LIMITS, BAD, GOOD, Ledger())
    again = look(LIMITS, Counts(1050, 525), GOOD, first.ledger)
    assert again.outcome is Outcome.Inconclusive
    assert again.ledger == first.ledger
    assert look(LIMITS, Counts(1300, 650), GOOD, first.ledger).ledger.looks["serverErrorRate"] == 2


def test_a_new_window_gives_no_doubt_back() -> None:
    spent = look(LIMITS, GOOD, GOOD, Ledger()).ledger.new_window()
    assert look(LIMITS, GOOD, GOOD, spent).ledger.looks == {"serverErrorRate": 2}


def test_ten_requests_condemn_nobody() -> None:
    seen = look(LIMITS, Counts(10, 10), GOOD, Ledger())
    assert (seen.outcome, seen.ledger.looks) == (Outcome.Inconclusive, {})


def test_nothing_asked_is_passed() -> None:
    assert look(Limits(), BAD, GOOD, Ledger()).outcome is Outcome.Passed
