"""Bytes that vanish or change, under a few seeds and with a crash at every write."""

from __future__ import annotations

import pytest

from simulation.sim_play import REFERENCE_SEED, Case, crashes
from simulation.sim_restorable import RESTORABLE

CRASHED = {
    "vanish_and_scale_down": ("before", "lost"),
    "candidate_vanishes": ("after",),
    "overwritten_twice": ("lost",),
}
"""`dev/soak` crashes the others, too."""


@pytest.mark.parametrize("name", RESTORABLE)
def test_story(name: str) -> None:
    for seed in range(REFERENCE_SEED, REFERENCE_SEED + 5):
        failure = Case(name, seed).attempt()
        assert not failure, failure


@pytest.mark.parametrize(("name", "mode"), [(n, m) for n, ms in CRASHED.items() for m in ms])
def test_a_crash_at_every_write(name: str, mode: str) -> None:
    for case, wanted in crashes(name):
        if case.faults[0].mode == mode:
            failure = case.attempt(wanted)
            assert not failure, failure
