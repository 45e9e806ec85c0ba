"""What counts as the same state of a simulated world: chance does not, everything else does."""

from __future__ import annotations

from simulation.sim_crashes import Explorer, common_writes
from simulation.sim_play import REFERENCE_SEED, play
from simulation.sim_scenarios import make, version
from simulation.sim_states import States
from simulation.sim_world import World


def served(seed: int) -> World:
    world = make(seed)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(100)
    return world


def test_chance_makes_no_other_state() -> None:
    told = {States().tell(served(seed)) for seed in range(5)}
    assert len(told) == 1
    assert None not in told


def test_another_place_in_the_story_is_another_state() -> None:
    world = served(1)
    before = States().tell(world)
    world.settle(30)
    assert States().tell(world) not in (before, None)


def test_what_was_made_once_more_is_another_state() -> None:
    one, other = served(1), served(2)
    other.api.creates[("Service", "flowers")] += 1
    assert States().tell(one) != States().tell(other)


def test_a_weight_is_another_state() -> None:
    one, other = served(1), served(2)
    owner = ("SavedModelDeployment", "flowers")
    other.api.edit(owner, lambda body: body["status"]["stable"].update(weight=99))
    other.settle(0)
    one.settle(0)
    other.cache = dict(other.api.objects)
    assert States().tell(one) != States().tell(other)


def test_no_state_is_told_while_the_operator_does_not_know_all() -> None:
    world = served(1)
    world.stop()
    assert States().tell(world) is None


def test_a_run_after_a_crash_ends_where_its_world_is_known() -> None:
    explorer = Explorer("refusal", REFERENCE_SEED, thorough=False)
    assert explorer.struck
    assert explorer.common > 20, "it begins as promotion does"


def test_what_two_stories_share_ends_with_the_first_difference() -> None:
    promotion, refusal = play("promotion", REFERENCE_SEED), play("refusal", REFERENCE_SEED)
    first = play("first_revision", REFERENCE_SEED)
    assert common_writes(promotion, promotion) == len(promotion.operator_writes)
    assert common_writes(refusal, promotion) < len(refusal.operator_writes)
    assert common_writes(first, promotion) == 0
