"""When a version broke its limit for its clients, and when no router knew it any more."""

from __future__ import annotations

from lab.follow import Route, Story
from lab.record import Answer, Record
from lab.rollback import Limit, failed, find_broken, find_rollback, slower_than

BAD, GOOD = "calc-v2-b", "calc-v1-a"
ENTRY = {"number": 2, "revision": BAD, "at": "1970-01-01T00:02:00Z"}
LIMIT = Limit(failed, 0.2, 4)


def answer(ended: float, failure: str | None = None, version: int | None = 2) -> Answer:
    return Answer("REST", ended - 0.01, ended, version, BAD, failure)


def test_a_limit_is_broken_by_enough_answers_only() -> None:
    answers = [answer(1.0, "no"), answer(2.0), answer(3.0), answer(4.0)]
    assert find_broken(answers, LIMIT) == 4.0
    assert find_broken(answers[:3], LIMIT) is None
    assert find_broken(answers, Limit(failed, 0.25, 4)) is None, "a quarter is no more than that"
    assert find_broken(answers, Limit(slower_than(0.005), 0.5, 1)) == 1.0
    assert find_broken(answers, Limit(slower_than(0.02), 0.5, 1)) is None


def story(*routes: Route) -> Story:
    candidate = {"revision": BAD, "stepSince": "1970-01-01T00:01:30Z"}
    return Story([(90.0, {"candidate": candidate}), (120.0, {})], list(routes))


def test_it_ends_where_the_routers_are_written_without_it() -> None:
    record = Record([answer(80.0, "before the step"), *(answer(100.0 + i) for i in range(3))])
    record.answers += [answer(110.0, "no"), answer(105.0, "not its own", version=1)]
    told = story(
        Route(90.0, {GOOD: 80, BAD: 20}),
        Route(120.0, {GOOD: 100, BAD: 0}),
        Route(121.5, {GOOD: 100}, seen=122.0),
    )
    found = find_rollback(told, record, ENTRY, LIMIT)
    assert found is not None
    assert (found.gone, found.since_verdict) == (122.0, 1.5)
    assert (found.since_broken, found.since_first_bad) == (12.0, 42.0)


def test_weight_0_alone_is_not_the_end() -> None:
    told = story(Route(90.0, {GOOD: 80, BAD: 20}), Route(120.0, {GOOD: 100, BAD: 0}))
    assert find_rollback(told, Record(), ENTRY, LIMIT) is None
