"""The plan against the simulated world: every scenario under many seeds, and every crash point.

A failing case prints the transcript; its id names scenario, seed and fault, so that
`dev/test --fast -k 'NAME-SEED'` runs it again.
"""

from __future__ import annotations

import pytest

from simulation.sim_play import MODES, REFERENCE_SEED, crash_pairs, end_state, play, surplus
from simulation.sim_scenarios import SCENARIOS
from simulation.sim_stories import STORIES
from simulation.sim_world import Fault

SEEDS = {name: range(50 if name in SCENARIOS else 15) for name in STORIES}
"""`dev/soak` plays more of them."""

CRASHED = [(name, mode) for name in SCENARIOS for mode in MODES]
CRASHED += [("stuck_router", "before"), ("pods_lost", "lost")]  # dev/soak crashes the others, too

RETURNING = {"abort_and_retry", "golden_failure"}
"""Here a version is wanted again while its objects are being deleted: a crash decides which of them
are still there and need not be made again; what is made once more was deleted once more."""


@pytest.mark.parametrize(("name", "seed"), [(n, s) for n in STORIES for s in SEEDS[n]])
def test_scenario_under_seed(name: str, seed: int) -> None:
    play(name, seed)


@pytest.mark.parametrize(("name", "mode"), CRASHED)
def test_every_crash_point(name: str, mode: str) -> None:
    reference = play(name, REFERENCE_SEED)
    wanted = end_state(reference)
    for write in range(len(reference.operator_writes)):
        world = play(name, REFERENCE_SEED, Fault(write, mode))
        assert end_state(world) == wanted, f"{name}: {mode} write {write}\n" + "\n".join(
            world.transcript
        )
        twice = surplus(world, reference, again=name in RETURNING)
        assert not twice, f"{name}: {mode} write {write} makes things twice: {twice}"


@pytest.mark.parametrize("name", ["abort"])
def test_every_pair_of_crashes_in_a_rollback(name: str) -> None:
    cases = list(crash_pairs(name))
    assert len(cases) > 20
    for case, wanted in cases:
        failure = case.attempt(wanted)
        assert not failure, failure


@pytest.mark.parametrize("name", ["promotion", "refusal", "abort", "serving_change"])
def test_fifty_restarts_while_idle_write_nothing(name: str) -> None:
    world = play(name, REFERENCE_SEED)
    before = len(world.operator_writes)
    for _ in range(50):
        world.restart()
        world.settle(10)
    assert world.operator_writes[before:] == []
