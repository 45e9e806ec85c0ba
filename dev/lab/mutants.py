"""`dev/mutants [NAME…]`: puts each deliberate defect of `mutants.toml` into a copy of the tree and
runs the tests that must catch it. Writes docs/mutants.md; ends with 1 if a defect survives.

The same tests must pass in the copy without a defect first, so that nothing is caught by a test
that is red anyway. A defect whose text is no longer there, or no longer once, is an error: the
list cannot rot. A survivor means that an invariant is missing in tests/simulation. Must not write
to the tree that it copies, but for the table.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
TABLE = ROOT / "docs" / "mutants.md"
PACKAGE = "operator/savedmodel_operator"
COPIED = ("operator", "tests", "dev", "crds", "charts", "docs", "pyproject.toml")
SEEDS = 5
"""Seeds of a story that a defect names without more ado."""

REFERENCE_SEED = 7
"""The seed whose crash points "crash:NAME" plays, as the tests do."""

PATIENCE = 240.0
"""Seconds for each command of one defect. A slow machine is no catch: that is "not run"."""

FAILED = 1
"""pytest's exit code when a test failed; all others but 0 mean that it could not run them."""

HUNG, CANNOT_RUN = 124, 125


class Outdated(Exception):
    """The list of defects does not fit the code any more."""


@dataclass(frozen=True)
class Mutant:
    """One deliberate defect: `find`, once in `file`, becomes `replace`. `tests`: names of stories,
    "crash:NAME" for all crash points of one, or what pytest takes; tried in this order."""

    name: str
    file: str
    find: str
    replace: str
    breaks: str
    tests: tuple[str, ...]

    def apply(self, tree: Path) -> None:
        """Put it into the tree. Raises Outdated."""
        path = tree / PACKAGE / self.file
        text = path.read_text() if path.exists() else ""
        if text.count(self.find) != 1:
            raise Outdated(
                f"{self.name}: its text is {text.count(self.find)} times in {self.file}, not once; "
                f"mend dev/lab/{LIST.name}:\n{self.find}"
            )
        path.write_text(text.replace(self.find, self.replace))


@dataclass(frozen=True)
class Result:
    """What the tests made of a defect. `words`: the first failure, or why they did not run."""

    mutant: Mutant
    outcome: str  # "caught", "survived" or "not run"
    seconds: float
    words: str


def load(path: Path = LIST) -> tuple[Mutant, ...]:
    """The list of defects, in its order."""
    rows = tomllib.loads(path.read_text())["mutant"]
    found = tuple(Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows)
    names = [m.name for m in found]
    if len(set(names)) != len(names):
        raise Outdated("two defects have one name")
    return found


def commands(tests: Sequence[str]) -> list[list[str]]:
    """What python is called with, one after the other until one fails.

    >>> commands(["crash:abort", "abort"])[0][-3:], len(commands(["abort", "refusal"]))
    (['--crashes', '--stop', 'abort'], 1)
    """
    soak = ["-m", "lab.soak", "--jobs", "1"]
    found: list[list[str]] = []
    for kind, chosen in itertools.groupby(tests, _kind):
        names = list(chosen)
        if kind == "pytest":
            found.append(["-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"])
            found[-1] += ["--tb=short", *names]
        elif kind == "crash":
            names = [name.removeprefix("crash:") for name in names]
            once = ["--seeds", "1", "--first", str(REFERENCE_SEED)]
            found.append([*soak, *once, "--crashes", "--stop", *names])
        else:
            found.append([*soak, "--seeds", str(SEEDS), "--stop", *names])
    return found


def _kind(test: str) -> str:
    return "pytest" if "/" in test else "crash" if test.startswith("crash:") else "story"


def copy_tree(into: Path, commit: str) -> Path:
    """A copy of the work tree, or of a commit, without what no test here needs."""
    into.mkdir(parents=True)
    if commit:
        packed = subprocess.run(
            ["git", "archive", commit, *COPIED], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x"], cwd=into, input=packed.stdout, check=True)
        return into
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, into / name)
    return into


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """The exit code of the first command that does not end with 0 (or HUNG), and what failed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment["PYTHONPATH"] = os.pathsep.join([str(tree / "operator"), str(tree / "dev")])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    for command in commands(tests):
        code, words = _run(command, tree, environment)
        if code:
            return code, words
    return 0, ""


def _run(command: Sequence[str], tree: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=tree,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # the crash points are processes of their own
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return HUNG, f"the tests hang for {PATIENCE:g} s"
    words = _first_failure(output)
    if process.returncode == FAILED and not words:
        return CANNOT_RUN, output.strip()[-300:]
    return process.returncode, words or output.strip()[-300:]


def _first_failure(output: str) -> str:
    """The first thing that a test said; "" where none did."""
    soaked = re.search(r"^FAILED: (\S+.*)\n  (.*)", output, re.M)
    if soaked is not None:
        story = soaked[1].removeprefix("dev/soak --seeds 1 --first ")
        return f"seed {story}: {soaked[2][:160]}"
    lines = [line[1:].strip() for line in output.splitlines() if re.match(r"E\s", line)]
    summary = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    where = summary[0].split("::")[-1] if summary else ""
    return f"{where}: {lines[0][:160]}" if lines else where


def run(mutant: Mutant, pristine: Path) -> Result:
    """One defect in its own copy."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=pristine.parent) as folder:
        tree = Path(folder, "tree")
        shutil.copytree(pristine, tree)
        try:
            mutant.apply(tree)
        except Outdated as error:
            return Result(mutant, "not run", 0.0, str(error))
        code, words = run_tests(tree, mutant.tests)
    outcome = {0: "survived", FAILED: "caught"}.get(code, "not run")
    return Result(mutant, outcome, time.monotonic() - began, words if code else "")


def write_table(results: Sequence[Result]) -> str:
    """docs/mutants.md."""
    caught = sum(r.outcome == "caught" for r in results)
    lines = [
        "# Deliberate defects",
        "",
        f"`dev/mutants` puts each into a copy of the operator and runs the tests named: {caught} of "
        f"{len(results)} are caught. A survivor means that an invariant is missing.",
        "",
        "| Defect | In | What it breaks | Outcome | Caught by | Seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_row, results)]) + "\n"


def _row(r: Result) -> str:
    words = r.words.replace("|", "\\|").split("\n")[0]
    return (
        f"| {r.mutant.name} | {r.mutant.file} | {r.mutant.breaks} | {r.outcome} | "
        f"{words or '–'} | {r.seconds:.0f} |"
    )


def renewed(table: str, results: Sequence[Result]) -> str:
    """The table with the rows of these results in place of their old ones."""
    rows = {r.mutant.name: _row(r) for r in results}
    lines = [rows.pop(line.split(" | ")[0].removeprefix("| "), line) for line in table.splitlines()]
    listed = [line for line in [*lines, *rows.values()] if re.search(r" \| \d+ \|$", line)]
    count = f"{sum(' | caught | ' in line for line in listed)} of {len(listed)} are caught"
    text = "\n".join([*lines, *rows.values()]) + "\n"
    return re.sub(r"\d+ of\s+\d+ are caught", count, text)


@click.command()
@click.argument("chosen", nargs=-1, metavar="[NAME]...")
@click.option("--jobs", type=int, default=2, show_default=True, help="Defects at a time.")
@click.option("--commit", default="", help="Take this commit, not the work tree.")
def main(chosen: tuple[str, ...], jobs: int, commit: str) -> None:
    """Apply deliberate defects to a copy and see that the tests catch them."""
    listed = load()
    unknown = set(chosen) - {m.name for m in listed}
    if unknown:
        raise click.UsageError(f"no such defect: {', '.join(sorted(unknown))}")
    mutants = [m for m in listed if not chosen or m.name in chosen]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        pristine = copy_tree(Path(folder, "pristine"), commit)
        every = sorted({test for m in mutants for test in m.tests})
        code, words = run_tests(pristine, every)
        if code:
            raise click.ClickException(f"without any defect the tests fail already: {words}")
        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(lambda m: run(m, pristine), mutants):
                results.append(result)
                click.echo(
                    f"{result.outcome:9} {result.seconds:4.0f} s  {result.mutant.name}: "
                    f"{result.words or result.mutant.breaks}"
                )
    TABLE.write_text(renewed(TABLE.read_text(), results) if chosen else write_table(results))
    good = sum(r.outcome == "caught" for r in results)
    click.echo(f"{good} of {len(results)} caught")
    sys.exit(0 if good == len(results) else 1)


if __name__ == "__main__":
    main()
