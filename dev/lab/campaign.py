"""`dev/campaign [CASE…]`: injects faults into the real thing, case by case, and tells what was seen.

The cases are the tests of tests/campaign; this chooses, runs and shows them and keeps what was seen
in docs/reliability/results.json, of which `campaign_table` makes docs/reliability.md. Must not judge:
a case passes when its tests pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from rich.console import Console
from rich.table import Table

from lab import provider
from lab.campaign_list import GROUPS, LEFT, NOT_HERE, order
from lab.campaign_table import NOT_RUN, Row, dump, judge, load, page, read_record, renewed
from lab.instance import current

ROOT = Path(__file__).parents[2]
TESTS = "tests/campaign"
HEAD = Path(__file__).with_name("campaign_head.md")
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "docs" / "reliability" / "results.json"
IMAGES = ("savedmodel-operator", "envoy", "tensorflow-serving-compatible", "versitygw")
STYLE = {"passed": "green", "failed": "red", "skipped": "yellow"}


def collect(record: Path) -> dict[str, Row]:
    """All cases that there are. Raises ClickException where a test cannot be imported."""
    record.touch()
    done = _pytest("-q", "--collect-only", f"--campaign-record={record}", quiet=True)
    if done.returncode not in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise click.ClickException(done.stdout[-3000:])
    known, _ = read_record(record.read_text().splitlines())
    return dict(sorted(known.items(), key=lambda item: order(item[0])))


def _pytest(*words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TESTS, *words]
    output = subprocess.PIPE if quiet else None
    return subprocess.run(argv, cwd=ROOT, stdout=output, text=True, check=False)


def choose(known: Sequence[str], words: Sequence[str]) -> list[str]:
    """The ids meant by ids and groups; nothing said means all. Raises UsageError.

    >>> choose(["A1", "A12", "B1"], ["a"])
    ['A1', 'A12']
    """
    asked = [word.upper() for word in words]
    for word in asked:
        if word in NOT_HERE:
            raise click.UsageError(f"{word} has no case: {NOT_HERE[word]}")
        if not any(word in (found, order(found)[0]) for found in known):
            raise click.UsageError(f"no case {word}; dev/campaign --list names all")
    return [f for f in known if not asked or f in asked or order(f)[0] in asked]


def _bring_up(rows: Sequence[Row]) -> bool:
    """The cluster, where a case needs one; whether it was made for this run."""
    if not any("cluster" in row.where for row in rows):
        return False
    mine = provider.recorded(current()) is None
    for words in (("up",), ("load-image", *IMAGES)) if mine else (("up",),):
        subprocess.run([ROOT / "dev" / "cluster", *words], check=True)
    return mine


def play(known: dict[str, Row], chosen: Sequence[str], folder: Path) -> dict[str, Row]:
    """Runs the cases; gives a row for each that ended, also where the run was broken off."""
    record = folder / "run.jsonl"
    record.touch()
    words = [f"--case={found}" for found in chosen]
    _pytest("-v", "--tb=short", f"--campaign-record={record}", *words)
    _, ended = read_record(record.read_text().splitlines())
    commit, date = _commit(), time.strftime("%Y-%m-%d", time.gmtime())
    return {f: judge(known[f], ended[f], commit, date) for f in chosen if f in ended}


def _commit() -> str:
    """The commit of the tree; with a plus where something that is run differs from it."""
    words = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*words, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    parts = ("operator", "charts", "crds", "dev", "tests")
    clean = subprocess.run([*words, "diff", "--quiet", "HEAD", "--", *parts], check=False)
    return f"{commit}{'+' if clean.returncode else ''}"


def write(rows: list[Row]) -> None:
    """Keeps the results and makes the page of them."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(dump([row for row in rows if row.result != NOT_RUN]))
    PAGE.write_text(page(rows, HEAD.read_text()))


def _show_list(known: dict[str, Row], console: Console) -> None:
    table = Table("case", "where", "injection", "expected", box=None, pad_edge=False)
    for group, title in GROUPS.items():
        rows = [row for found, row in known.items() if order(found)[0] == group]
        table.add_row(f"[bold]{group}[/]", "", f"[bold]{title}[/]" if rows else f"{title}: none")
        for row in rows:
            table.add_row(row.id, row.where, row.injection, row.expected)
    console.print(table)
    for found, why in NOT_HERE.items():
        console.print(f"{found} has no case: {why}")
    left = sorted(LEFT - set(known) - set(NOT_HERE), key=order)
    if left:
        console.print(f"still without a case: {', '.join(left)}")


def _show(rows: Sequence[Row], console: Console) -> None:
    table = Table("case", "injection", "expected", "seen", "result", show_lines=True)
    for row in rows:
        result = f"[{STYLE[row.result]}]{row.result}[/]\n{row.seconds:.0f} s"
        seen = "\n".join(row.seen) if row.result == "passed" else row.words
        table.add_row(row.id, row.injection, row.expected, seen, result)
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[CASE]...")
@click.option("--list", "listing", is_flag=True, help="Show the cases and run none.")
@click.option("--write", "writing", is_flag=True, help="Put what was seen into docs/reliability.")
@click.option("--page", "paging", is_flag=True, help="Only make the page anew from the results.")
@click.option("--keep", is_flag=True, help="Leave a cluster that was made for this run.")
def main(words: tuple[str, ...], listing: bool, writing: bool, paging: bool, keep: bool) -> None:
    """Inject faults, case by case (A3) or group by group (A); all where none is named.

    A cluster that runs already is used and left running. Ends with 1 if a case failed or did not
    come to its end.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    os.environ.pop("PYTEST_ADDOPTS", None)
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        known = collect(Path(folder, "known.jsonl"))
        chosen = choose(list(known), words)
        if listing:
            _show_list({found: known[found] for found in chosen}, console)
            return
        if paging:
            write(renewed(load(RESULTS), known, {}))
            return
        mine = _bring_up([known[found] for found in chosen])
        try:
            new = play(known, chosen, Path(folder))
        finally:
            if mine and not keep:
                subprocess.run([ROOT / "dev" / "cluster", "down"], check=False)
    _show(list(new.values()), console)
    if writing:
        write(renewed(load(RESULTS), known, new))
    good = sum(row.result == "passed" for row in new.values())
    console.print(f"{good} of {len(chosen)} cases passed")
    sys.exit(0 if good == len(chosen) else 1)


if __name__ == "__main__":
    main()
