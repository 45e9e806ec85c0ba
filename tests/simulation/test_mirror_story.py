"""Mirror steps in the simulated world, under any order of events and with the operator dying at
any write."""

from __future__ import annotations

import pytest

from simulation.sim_mirror import MIRRORED
from simulation.sim_play import Case, end_state, play
from simulation.sim_world import Fault

SEEDS = range(6)
CRASH_SEED = 11


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MIRRORED)
def test_mirror_under_seed(name: str, seed: int) -> None:
    assert not (wrong := Case(name, seed).attempt()), wrong


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("mirrored_promotion", "before"),
        ("mirrored_promotion", "after"),
        ("mirrored_promotion", "lost"),
        ("mirrored_errors", "lost"),
    ],
)
def test_mirror_at_every_crash_point(name: str, mode: str) -> None:
    reference = play(name, CRASH_SEED)
    wanted = end_state(reference)
    for write in range(len(reference.operator_writes)):
        case = Case(name, CRASH_SEED, (Fault(write, mode),))
        assert not (wrong := case.attempt(wanted)), wrong
