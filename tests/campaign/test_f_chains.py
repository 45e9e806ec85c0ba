"""Chains of specs, and a pause that lasts for days: what only a virtual clock can play.

The operator's own planning and writing code in the simulated world of tests/simulation.
"""

from __future__ import annotations

from campaign_case import Seen, case

from simulation.sim_invariants import written_weights
from simulation.sim_play import play
from simulation.sim_scenarios import make, version
from simulation.sim_specs import LENGTH

SEEDS = range(20, 28)
HOUR = 3600.0 - 1  # seconds
DAYS = 3


@case(
    "F15",
    injection=f"random chains of {LENGTH} specs drawn from the CRD's schema, a quarter invalid, at any "
    "moment of each other's rollouts (Acto's method)",
    expected="an invalid one is Stalled=True/InvalidSpec and writes nothing; a known-good one at the "
    "end is healthy; weights sum to 100 and clients are answered at every step",
    where="simulation",
)
def test_f15_chains_of_specs(seen: Seen) -> None:
    writes = 0
    for seed in SEEDS:
        writes += len(play("spec_chain", seed).operator_writes)
    seen.say(
        f"{len(SEEDS)} chains (seeds {SEEDS.start} to {SEEDS.stop - 1}), {writes:,} writes, all healthy "
        "in the end"
    )


@case(
    "F16",
    injection=f"suspended at 10 % for {DAYS} days while versions 3 to 12 come and the operator is "
    "down for most of it, then resumed",
    expected="one plan from the present: version 12 at the first step, none of those between; each "
    "step is held in full",
    where="simulation",
)
def test_f16_paused_for_days(seen: Seen) -> None:
    world = make(16)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(version(2), version(1))
    world.run(lambda: (world.status.get("candidate") or {}).get("weight") == 10)
    world.edit_spec(lambda spec: spec.update(suspend=True))
    world.run(lambda: world.status["phase"] == "Paused")
    for number in range(3, 13):
        world.publish(version(number), *(version(n) for n in range(number - 1, 0, -1)))
        world.settle(300)
    world.stop()  # hours of polls say nothing more; a restart in between is part of any such pause
    for _ in range(DAYS * 24):
        world.settle(HOUR)
    world.start()
    world.settle(300)
    assert sorted(written_weights(world).values()) == [10, 90]
    assert not world.status["rejected"]
    before = len(world.operator_writes)
    world.edit_spec(lambda spec: spec.update(suspend=False))
    world.run(lambda: (world.status.get("candidate") or {}).get("number") == 12)
    world.run(lambda: world.stable_number() == 12)
    since = world.operator_writes[before:]
    begun = [write for write in since if write.startswith("Deployment flowers-v")]
    assert begun
    assert all("-v12-" in write for write in begun), begun
    seen.say(
        f"{DAYS} days at 10 %; resumed, 12 was tried against 1 and promoted; 3 to 11 never begun"
    )
