"""The plan against the simulated world: every scenario under many seeds, and every crash point.

A failing case prints the transcript; its id names scenario, seed and fault, so that
`dev/test --fast -k 'NAME-SEED'` runs it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from simulation.sim_api import OWNER, Key
from simulation.sim_invariants import quiesces, watch, written_weights
from simulation.sim_scenarios import SCENARIOS, make
from simulation.sim_stories import STORIES
from simulation.sim_world import Fault, World

SEEDS = {name: range(50 if name in SCENARIOS else 15) for name in STORIES}
"""`dev/soak` plays more of them."""

REFERENCE_SEED = 7
MODES = ("before", "after", "lost")
CRASHED = [(name, mode) for name in SCENARIOS for mode in MODES]
CRASHED += [("stuck_router", "before"), ("pods_lost", "lost")]  # dev/soak crashes the others, too


def play(name: str, seed: int, *faults: Fault) -> World:
    """One run to its end and into silence."""
    world = make(seed, *faults)
    watch(world)
    STORIES[name](world)
    quiesces(world)
    put_back = [text for reason, text in world.events if reason == "DriftCorrected"]
    assert name == "drift" or not put_back, f"own changes are no drift: {put_back}"
    return world


@pytest.mark.parametrize(("name", "seed"), [(n, s) for n in STORIES for s in SEEDS[n]])
def test_scenario_under_seed(name: str, seed: int) -> None:
    play(name, seed)


def end_state(world: World) -> Mapping[str, Any]:
    """What must be the same however often the operator died: Sieve's differential oracle."""
    owner = world.api.objects.get(OWNER)
    status = owner["status"] if owner else {}
    return {
        "objects": sorted(k for k in world.api.objects if k[0] != "Pod"),
        "weights": written_weights(world),
        "stable": (status.get("stable") or {}).get("revision"),
        "candidate": status.get("candidate"),
        "rejected": [(r["revision"], r["kind"], r["reason"]) for r in status.get("rejected", ())],
    }


def surplus(world: World, reference: World) -> dict[Key, int]:
    """Objects created more often than in the reference run. Fewer is fine: an operator that comes
    back late may find that a failed candidate no longer needs the rest of its objects."""
    more = world.api.creates - reference.api.creates
    return {k: n for k, n in more.items() if k[0] != "Pod"}


@pytest.mark.parametrize(("name", "mode"), CRASHED)
def test_every_crash_point(name: str, mode: str) -> None:
    reference = play(name, REFERENCE_SEED)
    wanted = end_state(reference)
    for write in range(len(reference.operator_writes)):
        world = play(name, REFERENCE_SEED, Fault(write, mode))
        assert end_state(world) == wanted, f"{name}: {mode} write {write}\n" + "\n".join(
            world.transcript
        )


@pytest.mark.parametrize("name", ["promotion", "refusal", "abort", "serving_change"])
def test_fifty_restarts_while_idle_write_nothing(name: str) -> None:
    world = play(name, REFERENCE_SEED)
    before = len(world.operator_writes)
    for _ in range(50):
        world.restart()
        world.settle(10)
    assert world.operator_writes[before:] == []
