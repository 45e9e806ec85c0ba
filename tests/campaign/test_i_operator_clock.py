"""Clocks that jump by an hour in the middle of a rollout: the API server's and the operator's own.

A hold is counted on the API server's `Date` carried forward by the monotonic clock, so neither jump
may end it early, or keep it from ending. Certificates and signatures are another matter, and told.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from campaign_case import Seen, case
from fleet import Fleet
from fleet_fixtures import Start
from replica import Replica
from story_of_objects import Moment, Stories

from lab import faketime
from lab.injection import ApiProxy, ShiftDate
from lab.objects import Step

HOUR = 3600.0
HOLD = 15.0
SLACK = 20.0  # seconds that a busy machine may take to act once a hold is over
STEPS = (Step(25, HOLD), Step(50, HOLD), Step(75, HOLD))
EXPECTED = "each hold is as long as the spec has it (1 % more or less): no early promotion, no stop"


def _begin(fleet: Fleet, stories: Stories, name: str) -> None:
    """Version 2 in the hold of its first step."""
    fleet.upload(1, name)
    fleet.apply(fleet.manifest(name, name, steps=STEPS, deadline="30m"))
    stories.wait(name, lambda m: m.phase == "Serving", "serving")
    fleet.upload(2, name)
    stories.wait(name, lambda m: m.weight == 25, "first step")


def _held(moments: list[Moment]) -> list[float]:
    """Seconds from each weight to the next one, the last to the promotion."""
    began = [next(m.at for m in moments if m.weight == step.weight) for step in STEPS]
    ended = [*began[1:], next(m.at for m in moments if m.stable == 2)]
    return [end - start for start, end in zip(began, ended, strict=True)]


def _judge(stories: Stories, name: str, jumps: tuple[str, ...]) -> str:
    held = _held(stories.of(name))
    assert all(HOLD * 0.95 < seconds < HOLD + SLACK for seconds in held), held
    words = (f"{s:.1f} s with {j}" for s, j in zip(held, jumps, strict=True))
    return f"holds of {HOLD:.0f} s lasted " + ", ".join(words)


@case(
    "I4",
    injection="the Date header of the API server's answers jumps by +1 h, then to -1 h, in a hold",
    expected=EXPECTED,
    where="control plane",
)
@case(
    "G6",
    injection="the API server's clock jumps by +1 h, then to -1 h",
    expected="no early promotion",
    where="control plane",
)
def test_i4_the_api_servers_clock_jumps(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        start("i4", proxy.kubeconfig()).wait_leading()
        _begin(fleet, stories, "dates")
        with proxy.inject(ShiftDate(HOUR)) as ahead:
            ahead.wait(1)
            stories.wait("dates", lambda m: m.weight == 50, "second step")
        with proxy.inject(ShiftDate(-HOUR)) as behind:
            behind.wait(1)
            stories.wait("dates", lambda m: m.weight == 75, "third step")
        stories.wait("dates", lambda m: m.stable == 2, "promotion")
    seen.say(_judge(stories, "dates", ("Date +1 h", "Date -1 h", "Date right again")))


@case(
    "I5",
    injection="the operator's wall clock jumps by +1 h, then to -1 h, in a hold (libfaketime)",
    expected=EXPECTED,
    where="control plane",
)
@case(
    "G6",
    injection="the operator's clock jumps by +1 h, then to -1 h",
    expected="no early promotion",
    where="control plane",
)
def test_i5_the_operators_clock_jumps(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    clock = faketime.Clock(tmp_path / "clock")
    with fleet.stories() as stories:
        operator = start("i5", None, **clock.environment)
        operator.wait_leading()
        _begin(fleet, stories, "walls")
        clock.shift(HOUR)
        stories.wait("walls", lambda m: m.weight == 50, "second step")
        assert 0.9 < _hours_ahead(operator) < 1.1, "the clock of the process did not jump"
        clock.shift(-HOUR)
        stories.wait("walls", lambda m: m.weight == 75, "third step")
        assert -1.1 < _hours_ahead(operator) < -0.9
        clock.shift(0.0)
        stories.wait("walls", lambda m: m.stable == 2, "promotion")
    seen.say(_judge(stories, "walls", ("clock +1 h", "clock -1 h", "clock right again")))


def _hours_ahead(operator: Replica) -> float:
    """Of the last line of its log, which a wall clock dates."""
    last = operator.log.read_text().strip().rpartition("\n")[2]
    written = datetime.fromisoformat(last.partition(" ")[0])
    return (written - datetime.now(UTC)).total_seconds() / HOUR
