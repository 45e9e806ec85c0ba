"""The plan against the simulated world: every story under its seeds, and every crash point.

A failing case prints the command that plays it again (`dev/soak …`) and the transcript. What was
played is told at the end of the run (`conftest`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

import pytest

from simulation.conftest import COUNTS, PROPERTY
from simulation.sim_crashes import Tally, explore, play_seeds
from simulation.sim_play import REFERENCE_SEED, play
from simulation.sim_stories import EVERY

SEEDS = 100
"""Of each story; `dev/soak` plays more."""

LEAST = {"promotion": 150, "first_revision": 60, "deletion": 0}
"""Crash points that there must be; a deletion has no writes of its own."""

BLOCK = 10
Record = Callable[[str, object], None]

BLOCKS = [(name, range(first, first + BLOCK)) for name in EVERY for first in range(0, SEEDS, BLOCK)]


def told(tally: Tally, name: str, seeds: int = 0) -> dict[str, object]:
    """A tally as a property of the test."""
    counts = {k: v for k, v in asdict(tally).items() if k in COUNTS}
    bins = {str(k): n for k, n in tally.seconds.items()}
    return {"name": name, "seeds": seeds, "seconds": bins, **counts}


@pytest.mark.parametrize(("name", "seeds"), BLOCKS, ids=[f"{n}-{s.start}" for n, s in BLOCKS])
def test_story_under_seeds(name: str, seeds: range, record_property: Record) -> None:
    tally = play_seeds(name, seeds)
    record_property(PROPERTY, told(tally, name, len(seeds)))
    assert not tally.failures, tally.failures[0]


@pytest.mark.parametrize("name", EVERY)
def test_every_crash_point(
    name: str, one_thread: ProcessPoolExecutor, record_property: Record
) -> None:
    """Before, with a lost answer, and after each write; in a rollback every pair of two. What leaves
    the same world behind is played once, a run ends early where its world is one that was followed
    already (`sim_states`), and what stories have in common with `promotion` is struck there.
    `dev/soak --crashes --thorough` plays each to its end."""
    tally = one_thread.submit(explore, name, REFERENCE_SEED).result()
    record_property(PROPERTY, told(tally, name))
    assert not tally.failures, f"{len(tally.failures)} of {tally.runs}:\n{tally.failures[0]}"
    assert tally.points + tally.equal >= LEAST.get(name, 3)


@pytest.mark.parametrize("name", ["promotion", "refusal", "abort", "serving_change"])
def test_fifty_restarts_while_idle_write_nothing(name: str) -> None:
    world = play(name, REFERENCE_SEED)
    before = len(world.operator_writes)
    for _ in range(50):
        world.restart()
        world.settle(10)
    assert world.operator_writes[before:] == []
