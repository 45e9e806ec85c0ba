"""`rollout.capacity`: what neither the transcripts nor `test_simulation` say of its stories."""

from __future__ import annotations

import pytest

from simulation.sim_play import REFERENCE_SEED, play


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
