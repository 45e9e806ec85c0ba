"""Analysis in the simulated world: bad versions are taken back, healthy ones are not, under any
order of events and with the operator dying at any write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.plan.decide import decide
from simulation.sim_analysis import begin, reasons
from simulation.sim_invariants import watch
from simulation.sim_metrics import Answers
from simulation.sim_scenarios import make
from simulation.sim_world import World

REFERENCE_SEED = 7


def held_at_half(settled: float) -> World:
    """Version 2, healthy, in a long step."""
    world = make(REFERENCE_SEED)
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 50, "hold": "30m"}]))
    begin(world, Answers())
    world.run(lambda: (world.status.get("candidate") or {}).get("weight") == 50)
    world.settle(settled)
    return world


def test_a_new_operator_counts_anew_and_remembers_what_was_spent() -> None:
    world = held_at_half(200)
    before = world.status["candidate"]["analysis"]
    world.restart()
    world.settle(30)
    after = world.status["candidate"]["analysis"]
    assert after["window"] > before["window"]
    for old, new in zip(before["metrics"], after["metrics"], strict=True):
        assert new["stage"] < old["stage"], "its requests are counted from zero"
        assert new["looks"] > old["looks"], "what was spent stays spent"


@pytest.mark.parametrize("other", [{"step": 1}, {"revision": "x"}, {"against": "x"}])
def test_counts_of_another_step_or_revision_say_nothing(other: dict[str, Any]) -> None:
    snapshot = held_at_half(30).observe()
    assert snapshot.analysis is not None
    bad = replace(snapshot.analysis, candidate=Counts(100_000, 90_000), window="another")
    assert decide(replace(snapshot, analysis=bad)).status["rejected"]
    assert not decide(replace(snapshot, analysis=replace(bad, **other))).status["rejected"]


def test_counters_that_fall_silent_are_told_by_time_alone() -> None:
    """No answer is no event: nothing else would look at the candidate before its deadline."""
    world = make(REFERENCE_SEED)
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 50, "hold": "1s"}]))
    begin(world, Answers(), minRequests=1_000_000, interval="5s")
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    world.settle(5)
    snapshot = world.observe()
    assert snapshot.analysis is not None
    woken = decide(snapshot).wake_at
    assert woken is not None
    assert 15 < woken - snapshot.analysis.taken_at < 16
    silent = decide(replace(snapshot, now=woken))
    assert "the routers' counters cannot be read any more" in silent.status["message"]
    assert silent.status["candidate"]["weight"] == 50
    assert (silent.wake_at or woken + 60) > woken + 16, "once is enough"


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
