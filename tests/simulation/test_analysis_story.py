"""Analysis in the simulated world: bad versions are taken back, healthy ones are not, under any
order of events and with the operator dying at any write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from simulation.sim_analysis import ANALYSIS, begin
from simulation.sim_api import OWNER
from simulation.sim_invariants import quiesces, watch, written_weights
from simulation.sim_metrics import Answers
from simulation.sim_scenarios import make
from simulation.sim_world import Fault, World

SEEDS = range(20)
REFERENCE_SEED = 7


def play(name: str, seed: int, *faults: Fault) -> World:
    """One run to its end and into silence."""
    world = make(seed, *faults)
    watch(world)
    ANALYSIS[name](world)
    quiesces(world)
    return world


def end_state(world: World) -> Mapping[str, Any]:
    status = world.api.objects[OWNER]["status"]
    return {
        "objects": sorted(k for k in world.api.objects if k[0] != "Pod"),
        "weights": written_weights(world),
        "stable": status["stable"]["revision"],
        "candidate": status.get("candidate"),
        "rejected": [(r["revision"], r["kind"], r["reason"]) for r in status["rejected"]],
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ANALYSIS)
def test_analysis_under_seed(name: str, seed: int) -> None:
    play(name, seed)


@pytest.mark.parametrize("mode", ["before", "after", "lost"])
@pytest.mark.parametrize("name", ["server_errors", "healthy_version"])
def test_analysis_at_every_crash_point(name: str, mode: str) -> None:
    reference = play(name, REFERENCE_SEED)
    wanted = end_state(reference)
    for write in range(len(reference.operator_writes)):
        world = play(name, REFERENCE_SEED, Fault(write, mode))
        assert end_state(world) == wanted, f"{name}: {mode} write {write}\n{world.tail()}"


def test_counting_alone_writes_nothing() -> None:
    """A step held for ten minutes: status changes with formal looks, not with every sample."""
    world = make(REFERENCE_SEED)
    watch(world)
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 50, "hold": "30m"}]))
    begin(world, Answers())
    world.run(lambda: (world.status.get("candidate") or {}).get("weight") == 50)
    assert world.next_cycle is not None
    assert world.next_cycle <= world.now + 1.1, "nobody else begins to count"
    before, began = len(world.operator_writes), world.now
    world.settle(600)
    written = len(world.operator_writes) - before
    looks = world.status["candidate"]["analysis"]["metrics"]
    rounds = (world.now - began) / world.metrics.interval
    assert rounds > 250
    assert 0 < written <= sum(m["looks"] for m in looks) + 1 < rounds / 5
