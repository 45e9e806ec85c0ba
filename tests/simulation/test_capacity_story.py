"""`rollout.capacity`: its stories under seeds and crash points, and what the transcripts cannot say.

`dev/soak` plays more seeds and crashes every story.
"""

from __future__ import annotations

import pytest

from simulation.sim_play import REFERENCE_SEED, crashes, play
from simulation.sim_recreate import CAPACITY

SEEDS = range(2)
CRASHED = [("replace_late_wrong_answers", "lost"), ("recreate_wrong_answers", "before")]


@pytest.mark.parametrize(("name", "seed"), [(n, s) for n in CAPACITY for s in SEEDS])
def test_story_under_seed(name: str, seed: int) -> None:
    play(name, seed)


@pytest.mark.parametrize(("name", "mode"), CRASHED)
def test_every_third_crash_point(name: str, mode: str) -> None:
    cases = [(case, wanted) for case, wanted in crashes(name) if case.faults[0].mode == mode][::3]
    assert len(cases) > 15
    for case, wanted in cases:
        failure = case.attempt(wanted)
        assert not failure, failure


def test_events_say_when_the_downtime_begins_and_how_it_ends() -> None:
    told = [
        text for reason, text in play("recreate", REFERENCE_SEED).events if reason == "Recreating"
    ]
    assert len(told) == 1
    assert told[0].endswith("requests are answered 503 until that serves")
    back = [text for _, text in play("recreate_wrong_answers", REFERENCE_SEED).events]
    assert any(text.endswith("serves again") for text in back)


@pytest.mark.parametrize("name", ["replace_pair", "recreate"])
def test_restarts_while_idle_write_nothing(name: str) -> None:
    world = play(name, REFERENCE_SEED)
    before = len(world.operator_writes)
    for _ in range(10):
        world.restart()
        world.settle(10)
    assert world.operator_writes[before:] == []
