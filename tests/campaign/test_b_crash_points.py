"""Death at every write, twice in a rollback, fifty times at rest: where each write can be struck.

The operator's own planning and writing code in the simulated world of tests/simulation, whose
invariants are checked at every step; the end must be that of the run without a crash (Sieve's oracle).
`test_b_crash` shows the worst moments on a real API server.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
from campaign_case import Seen, case

from simulation.sim_crashes import Tally, explore
from simulation.sim_play import REFERENCE_SEED
from simulation.sim_scenarios import make, version

RESTARTS = 50
PATIENCE = 900.0  # seconds; 30 on idle cores

Explore = Callable[..., Tally]


@pytest.fixture(scope="module")
def explored() -> Iterator[Explore]:
    """Plays crash points in a process with one thread, as forking needs."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:

        def play(name: str) -> Tally:
            tally = pool.submit(explore, name, REFERENCE_SEED).result(PATIENCE)
            assert not tally.failures, tally.failures[0]
            return tally

        yield play


@case(
    "B1",
    injection="death before sending, after sending and after the answer of each write of a first "
    "revision and of a promotion; `dev/soak --crashes` plays all stories",
    expected="all invariants at every step; the end and the number of creates and deletes of the run "
    "without a crash",
    where="simulation",
)
def test_b1_death_at_every_write(explored: Explore, seen: Seen) -> None:
    first, promoted = explored("first_revision"), explored("promotion")
    points = first.points + promoted.points
    assert first.points > 50
    assert promoted.points > 100
    seen.say(
        f"{points} crash points, {first.cycles + promoted.cycles:,} cycles, 0 ended otherwise; seed "
        f"{REFERENCE_SEED}"
    )


@case(
    "B5",
    injection="two deaths within a rollback: at a write (before it, or its answer lost), then at a later "
    "one, every pair; single deaths at each write",
    expected="the rollback completes, weight 0 first; the rejected version stays rejected; as without "
    "a crash",
    where="simulation",
)
def test_b5_two_deaths_in_a_rollback(explored: Explore, seen: Seen) -> None:
    tally = explored("abort")
    assert tally.pairs > 100
    seen.say(
        f"{tally.pairs} pairs and {tally.points} single crash points, 0 ended otherwise; seed "
        f"{REFERENCE_SEED}"
    )


@case(
    "B10",
    injection=f"{RESTARTS} restarts of an idle operator, caches empty each time",
    expected="0 writes",
    where="simulation",
)
def test_b10_restarts_at_rest(seen: Seen) -> None:
    world = make(REFERENCE_SEED)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: world.stable_number() == 2)
    world.settle(120)
    before = len(world.operator_writes)
    for _ in range(RESTARTS):
        world.restart()
        world.settle(20)
    written = world.operator_writes[before:]
    assert not written, written
    seen.say(f"{RESTARTS} restarts after a promotion: 0 writes")
