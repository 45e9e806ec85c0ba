"""dev/soak: what it plays, and that a failure names the command that plays it again."""

from __future__ import annotations

import click
import pytest

from lab.soak import _fault, carry_out, jobs_of
from savedmodel_operator.api.reasons import Reason
from simulation import sim_stories
from simulation.sim_play import Case
from simulation.sim_world import Fault, World


def test_every_story_gets_its_turn_before_a_second_seed() -> None:
    jobs = list(jobs_of(["a", "b"], range(3, 5), crashes="crashes"))
    assert [j[:3] for j in jobs[:4]] == [("seed", n, s) for s in (3, 4) for n in ("a", "b")]
    assert [j[:2] for j in jobs[4:]] == [("crashes", "a"), ("crashes", "b")]


def test_a_good_seed_is_a_run_without_findings() -> None:
    assert carry_out(("seed", "first_revision", 3, ())) == ("first_revision", 1, [])
    assert carry_out(("seed", "first_revision", 3, ((4, "lost"),))) == ("first_revision", 1, [])


def test_a_failure_tells_its_command_and_its_story() -> None:
    def wrong(world: World) -> None:
        sim_stories.STORIES["abort"](world)
        assert world.stable_number() == 2, "wanted the aborted one"

    stories = sim_stories.EVERY
    stories["wrong"] = wrong
    try:
        found = Case("wrong", 5, (Fault(9, "after"),)).attempt()
    finally:
        del stories["wrong"]
    assert found.startswith("dev/soak --seeds 1 --first 5 --crash after@9 wrong\n")
    assert "AssertionError: wanted the aborted one" in found
    assert "the operator dies" in found
    assert Reason.Aborted.value in found


def test_where_to_die_is_read_and_refused() -> None:
    assert _fault("lost@12") == (12, "lost")
    with pytest.raises(click.BadParameter):
        _fault("sometimes")
