"""Records, windows and exact bounds: what demo and cluster tests judge by."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from lab.binomial import FALSE_ALARM, bounds
from lab.demo_report import blame, splits
from lab.follow import Route, Story
from lab.record import Answer, Record, summarize


def tail(requests: int, share: Fraction, values: range) -> Fraction:
    """The exact probability of these numbers of hits, in integers."""
    return sum(
        (comb(requests, k) * share**k * (1 - share) ** (requests - k) for k in values),
        Fraction(0),
    )


@pytest.mark.parametrize("requests", [1, 7, 50, 361])
@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_bounds_are_the_tightest_that_alarm_falsely_once_in_a_million(
    requests: int, percent: int
) -> None:
    low, high = bounds(requests, percent / 100)
    share, half = Fraction(percent, 100), Fraction(FALSE_ALARM) / 2
    assert tail(requests, share, range(low)) <= half
    assert tail(requests, share, range(low + 1)) > half
    assert tail(requests, share, range(high + 1, requests + 1)) <= half
    assert tail(requests, share, range(high, requests + 1)) > half


def test_bounds_hold_for_tens_of_thousands_without_overflow() -> None:
    low, high = bounds(50_000, 0.1)
    assert 4_600 < low < 4_750
    assert 5_250 < high < 5_400


def answers(count: int, revision: str, start: float, step: float = 0.01) -> list[Answer]:
    version = int(revision.split("-v")[1].split("-")[0])
    return [
        Answer("REST", start + i * step, start + i * step + 0.005, version, revision)
        for i in range(count)
    ]


def test_a_window_has_what_began_and_ended_in_it() -> None:
    record = Record([Answer("a", 1.0, 2.0, 1), Answer("a", 1.5, 3.5, 1), Answer("b", 2.0, 3.0, 1)])
    assert record.summary(1.0, 3.0).requests == 2
    assert record.summary(1.2, 4.0).requests == 2
    assert record.summary(client="b").requests == 1


def test_a_wrong_answer_is_a_failure_of_its_version() -> None:
    record = Record([Answer("a", 1.0, 2.0, 2, "calc-v2-x", "version 2: 'y' is [1.0]")])
    seen = record.summary()
    assert (seen.failed, seen.versions) == (1, {2: 1})
    assert "'y' is [1.0]" in seen.explain()


def stamp(second: float) -> str:
    return f"1970-01-01T00:00:{second:06.3f}Z"


def story() -> Story:
    """v1 alone; v2 gets 10 % at 10 s, proved at 11; 100 % at 20, proved at 21."""
    old, new = "calc-v1-a", "calc-v2-b"
    trial = {"candidate": {"revision": new, "weight": 10, "stepSince": stamp(11)}}
    done = {"stable": {"revision": new, "since": stamp(21)}}
    routes = [
        Route(1.0, {old: 100}),
        Route(10.0, {old: 90, new: 10}),
        Route(20.0, {old: 0, new: 100}),
    ]
    return Story([(11.0, trial), (21.0, done)], routes)


def test_windows_run_from_proof_to_the_next_writing() -> None:
    found = story().windows(30.0)
    assert [(w.verified, w.left, w.revision) for w in found] == [
        (11.0, 20.0, "calc-v2-b"),
        (21.0, 30.0, "calc-v2-b"),
    ]
    assert [w.convergence for w in found] == [1.0, 1.0]


def test_a_split_that_is_not_what_was_written_is_told() -> None:
    record = Record(
        [
            *answers(400, "calc-v1-a", 11.5),
            *answers(200, "calc-v2-b", 12.0),
            *answers(100, "calc-v2-b", 22.0),
        ]
    )
    wrong, right = splits(story(), record, 5.0, 30.0)
    assert (wrong.share, wrong.requests, wrong.hits, wrong.kept) == (10, 600, 200, False)
    assert (right.share, right.requests, right.hits, right.kept) == (100, 100, 100, True)


def test_one_request_to_the_former_version_after_100_percent_is_told() -> None:
    record = Record([*answers(100, "calc-v2-b", 22.0), *answers(1, "calc-v1-a", 22.0)])
    last = splits(story(), record, 15.0, 30.0)[-1]
    assert not last.kept


def test_failures_are_told_with_the_versions_that_answered_them() -> None:
    answers = [Answer("a", 1.0, 2.0, 4, "x", "HTTP 400"), Answer("a", 1.0, 2.0, 2, "y")]
    assert blame(summarize(answers)) == "1 (v4)"
    answers.append(Answer("a", 1.0, 2.0, failure="ClientConnectorError"))
    assert blame(summarize(answers)) == "2 (v4, nobody)"
    assert blame(summarize(answers[1:2])) == "0"
