"""The list of deliberate defects fits the code: each is found once, and its tests exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.mutants import (
    CANNOT_RUN,
    LIST,
    PACKAGE,
    ROOT,
    Mutant,
    Outdated,
    _first_failure,
    load,
    run_tests,
)
from simulation.sim_stories import EVERY

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
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        if "/" in test:
            assert (ROOT / path).exists()
            assert name.split("[")[0] in (ROOT / path).read_text()
        else:
            assert test.removeprefix("crash:") in EVERY


def test_what_a_test_said_is_told_and_a_broken_machine_is_no_catch(tmp_path: Path) -> None:
    said = "FAILED: dev/soak --seeds 1 --first 3 abort\n  AssertionError: weights sum to 90\n 1 s x"
    assert _first_failure(said) == "seed 3 abort: AssertionError: weights sum to 90"
    assert _first_failure("Traceback (most recent call last):\nImportError: x") == ""
    code, _ = run_tests(tmp_path, ["abort"])  # there is nothing to run
    assert code == CANNOT_RUN


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
