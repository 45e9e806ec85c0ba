"""A version whose warm-up file would fail its load: refused without a pod, let in without warm-up."""

from __future__ import annotations

from dataclasses import replace

from simulation.sim_scenarios import make, version


def test_refused_until_the_server_no_longer_looks() -> None:
    world = make(11)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.publish(replace(version(2), warmup="record 3, byte 96: broken"), version(1))
    world.run(lambda: bool(world.status.get("rejected")))
    (entry,) = world.status["rejected"]
    assert (entry["number"], entry["reason"]) == (2, "WarmupUnusable")
    assert "record 3, byte 96: broken; write it again, leave it out" in entry["message"]
    world.settle(60)
    assert "candidate" not in world.status
    assert world.stable_number() == 1
    world.edit_spec(lambda spec: spec["serving"].update(options={"warmup": False}))
    world.run(lambda: world.stable_number() == 2)
