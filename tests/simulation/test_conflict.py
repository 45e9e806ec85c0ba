"""A child that somebody else keeps changing: put back a few times, then named and left alone."""

from __future__ import annotations

from dataclasses import replace

from savedmodel_operator.plan.decide import decide
from simulation.sim_scenarios import make, version

SERVICE = ("Service", "flowers")


def test_the_operator_stops_fighting_and_names_the_field() -> None:
    world = make(3)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(60)
    world.api.edit(SERVICE, lambda b: b["spec"].update(type="LoadBalancer"))
    world.cache[SERVICE] = world.api.objects[SERVICE]
    snapshot = world.observe()

    puts_back = decide(replace(snapshot, flaps={SERVICE: 2}))
    assert [a.why for a in puts_back.actions] == [
        'Service flowers: spec.type is "LoadBalancer", wanted "ClusterIP"'
    ]

    gives_up = decide(replace(snapshot, flaps={SERVICE: 3}))
    assert gives_up.actions == ()
    stalled = next(c for c in gives_up.status["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ConflictingWriter")
    assert 'spec.type is "LoadBalancer"' in stalled["message"]
    assert gives_up.wake_at is not None


def test_who_holds_a_map_as_a_whole_is_named_for_a_key_of_it() -> None:
    """Another controller applied a selector of its own: the API server tells of the map alone."""
    world = make(3)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(60)
    world.api.edit(SERVICE, lambda b: b["spec"].update(selector={"app": "theirs"}))
    world.cache[SERVICE] = world.api.objects[SERVICE]
    snapshot = world.observe()
    held = replace(snapshot.objects[SERVICE], managers={"spec.selector": "another-controller"})
    objects = {**snapshot.objects, SERVICE: held}

    plan = decide(replace(snapshot, objects=objects, flaps={SERVICE: 3}))
    stalled = next(c for c in plan.status["conditions"] if c["type"] == "Stalled")
    assert stalled["reason"] == "ConflictingWriter"
    assert "Service flowers: spec.selector" in stalled["message"]
    assert stalled["message"].endswith("(field manager another-controller)")
