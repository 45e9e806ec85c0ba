"""Clients of stable see the MetaGraph that stable serves, not the one that is to be served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.savedmodel.facts import ModelFacts
from simulation.sim_scenarios import facts, make, version


def two_graphs() -> ModelFacts:
    """Tagged serve with the outputs y and z; tagged serve and gpu with y alone."""
    plain, fast = facts("y", "z"), facts("y")
    graph = replace(fast.graphs[0], tags=("serve", "gpu"))
    return replace(plain, graphs=(*plain.graphs, graph))


def set_tags(spec: dict[str, Any]) -> None:
    spec["serving"].setdefault("options", {})["tags"] = ["serve", "gpu"]


def test_other_tags_are_compared_with_what_stable_serves() -> None:
    """The graph with the new tags is in stable's file too, the same to the letter; yet no client
    of stable has ever met it."""
    world = make(17)
    world.publish(replace(version(1), facts=two_graphs()))
    world.run(lambda: world.stable_number() == 1)
    world.settle(30)
    before = world.status["stable"]["revision"]
    world.edit_spec(set_tags)
    world.run(lambda: bool(world.status.get("rejected")))
    (rejected,) = world.status["rejected"]
    assert rejected["reason"] == Reason.IncompatibleSignature
    assert "outputs.z" in rejected["message"]
    assert world.status["stable"]["revision"] == before
