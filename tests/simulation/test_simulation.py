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
from simulation.sim_analysis import ANALYSIS
from simulation.sim_crashes import Tally, explore, play_seeds
from simulation.sim_play import REFERENCE_SEED, play
from simulation.sim_recreate import CAPACITY
from simulation.sim_stories import EVERY, STORIES

NAMED = {*STORIES, *ANALYSIS}
"""The rules that every user meets; the others are variations and rarer features."""

SEEDS = {name: 100 if name in NAMED else 2 if name in CAPACITY else 30 for name in EVERY}
"""Thinned by cost, so that this file takes some ten minutes of two idle cores: all stories under 100
seeds alone would. `dev/soak` plays 100 of each."""

LONG = {"spec_chain"}
"""A story of many rollouts: no crash points of its own."""

EACH = {name: 1 if name in NAMED else 4 for name in EVERY}
"""One write in so many is where the operator dies."""

SPARED = {*LONG, *CAPACITY} - {"replace_late_wrong_answers", "recreate_wrong_answers"}
"""No crash points here, for their cost: `dev/soak --crashes` has those of capacity's other stories."""

BLOCK = 10
Record = Callable[[str, object], None]

BLOCKS = [
    (name, range(first, min(first + BLOCK, count)))
    for name, count in SEEDS.items()
    for first in range(0, count, BLOCK)
]


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


@pytest.mark.parametrize("name", [n for n in EVERY if n not in SPARED])
def test_every_crash_point(
    name: str, one_thread: ProcessPoolExecutor, record_property: Record
) -> None:
    """Before, with a lost answer, and after each write of the named stories and each fourth of the
    others; pairs within a rollback of a lost answer and a death before a later write, beginning at
    each second write. Of the writes that all stories begin with each story has its share.
    `dev/soak --crashes` plays all points and all pairs of each."""
    submitted = one_thread.submit(explore, name, REFERENCE_SEED, thorough=False, each=EACH[name])
    tally = submitted.result()
    record_property(PROPERTY, told(tally, name))
    assert not tally.failures, f"{len(tally.failures)} of {tally.runs}:\n{tally.failures[0]}"
    assert tally.points >= (10 if EACH[name] == 1 else 3)


@pytest.mark.parametrize("name", ["promotion", "refusal", "abort", "serving_change"])
def test_fifty_restarts_while_idle_write_nothing(name: str) -> None:
    world = play(name, REFERENCE_SEED)
    before = len(world.operator_writes)
    for _ in range(50):
        world.restart()
        world.settle(10)
    assert world.operator_writes[before:] == []
