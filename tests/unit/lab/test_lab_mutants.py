"""The list of deliberate defects fits the code: each is found once, and its tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.mutants import LIST, PACKAGE, ROOT, Mutant, Outdated, load, node_ids
from simulation.sim_stories import STORIES

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_its_text_is_there_once_and_what_it_becomes_compiles(mutant: Mutant) -> None:
    text = (ROOT / PACKAGE / mutant.file).read_text()
    assert text.count(mutant.find) == 1, f"mend {LIST.name}: {mutant.find}"
    changed = text.replace(mutant.find, mutant.replace)
    assert changed != text
    compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_its_tests_exist(mutant: Mutant) -> None:
    for node in node_ids(mutant.tests):
        path, _, name = node.partition("::")
        assert (ROOT / path).exists()
        assert name.split("[")[0] in (ROOT / path).read_text()
        chosen = re.search(r"\[(\w+)-", name)
        assert chosen is None or chosen[1] in STORIES


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 25
    assert {m.file for m in MUTANTS} >= {"apply.py", "plan/rollout.py", "plan/routing.py"}


def test_a_defect_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    mutant = Mutant("gone", "plan/x.py", "if wait:", "if False:", "", ())
    with pytest.raises(Outdated, match="is 0 times"):
        mutant.apply(tmp_path)
    folder = tmp_path / PACKAGE / "plan"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text("if wait:\n    if wait:\n        pass\n")
    with pytest.raises(Outdated, match="is 2 times"):
        mutant.apply(tmp_path)
