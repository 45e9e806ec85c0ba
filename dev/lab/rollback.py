"""How a version was taken back: when clients saw enough of it, the verdict, no weight on any router.

    first bad answer ─► enough of them to break the limit ─► verdict in status ─► weight 0 verified

Neighbours: `follow` has statuses and routes, `record` what clients saw; demo and cluster tests ask.
Pure. Must not judge whether a time is acceptable.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.follow import Story, unix
from lab.kube import Object
from lab.record import Answer, Record


@dataclass(frozen=True)
class Limit:
    """What a version must keep: at most `share` of its answers are `bad`, of at least `least`."""

    bad: Callable[[Answer], bool]
    share: float
    least: int


def failed(answer: Answer) -> bool:
    """Whether a client had no right answer."""
    return answer.failure is not None


def slower_than(seconds: float) -> Callable[[Answer], bool]:
    """Whether a client waited longer for its answer."""
    return lambda answer: answer.ended - answer.started > seconds


@dataclass(frozen=True)
class Rollback:
    """`gone`: Unix seconds, when the routers were seen to be written without it, which the operator
    does once every one of them has been verified to carry weight 0.

    The rest are seconds until then: since the verdict, since its clients had seen enough of it to
    break the limit, since their first bad answer. None where they saw none.
    """

    gone: float
    since_verdict: float
    since_broken: float | None
    since_first_bad: float | None


def find_rollback(story: Story, record: Record, entry: Object, limit: Limit) -> Rollback | None:
    """Of a version by its entry in status.rejected; None while routers still know it."""
    number, revision, verdict = int(entry["number"]), str(entry["revision"]), unix(entry["at"])
    later = (r for r in story.routes if r.written >= verdict and revision not in r.weights)
    gone = next(later, None)
    if gone is None:
        return None
    answers = sorted((a for a in record.answers[:] if a.version == number), key=lambda a: a.ended)
    first = next((a.ended for a in answers if limit.bad(a)), None)
    step = _step_since(story, revision)
    broken = find_broken([a for a in answers if a.started >= step], limit)
    # The operator's clock for its verdict, ours for what clients saw: never one minus the other.
    return Rollback(
        gone.seen,
        gone.written - verdict,
        None if broken is None else gone.seen - broken,
        None if first is None else gone.seen - first,
    )


def find_broken(answers: Iterable[Answer], limit: Limit) -> float | None:
    """When answers, in the order of their ends, first were enough and bad enough."""
    bad = 0
    for count, answer in enumerate(answers, start=1):
        bad += limit.bad(answer)
        if count >= limit.least and bad > limit.share * count:
            return answer.ended
    return None


def _step_since(story: Story, revision: str) -> float:
    """When the latest step of a candidate began, by status; 0 where it is not known."""
    for _, status in reversed(story.statuses):
        candidate = status.get("candidate") or {}
        if candidate.get("revision") == revision and candidate.get("stepSince"):
            return unix(candidate["stepSince"])
    return 0.0
