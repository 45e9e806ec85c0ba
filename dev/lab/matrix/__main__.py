"""`dev/python -m lab.matrix`: runs the matrix, prints its confusion table, writes the page.

Ends with 0 where every cell is as it should be, with 1 where one is not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lab.errors import LabError
from lab.matrix import page
from lab.matrix.explain import unexplained, unused
from lab.matrix.families import FAMILIES, LIMITS
from lab.matrix.judge import Cell, judge
from lab.matrix.made import made, versions
from lab.matrix.serve import serving
from lab.matrix.variants import Family
from lab.progress import step

PAGE = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"


@dataclass(frozen=True)
class Run:
    """The cells of the matrix, those of `LIMITS`, and the calls that it took."""

    cells: list[Cell]
    beyond: list[Cell]
    calls: int


def run(families: Sequence[Family] = FAMILIES, limits: Sequence[Family] = LIMITS) -> Run:
    """Everything, from the models to the cells."""
    chosen = (*families, *limits)
    with step("models", usual="15 s once"):
        root = made((*FAMILIES, *LIMITS))
    with (
        step("clients against the server", usual="40 s"),
        tempfile.TemporaryDirectory(prefix="matrix-") as folder,
        serving(Path(folder), versions(chosen, root)) as server,
    ):
        cells = judge(families, root, server.ask)
        return Run(cells, judge(limits, root, server.ask), server.calls)


@click.command()
@click.option("--family", "names", multiple=True, type=click.Choice([f.name for f in FAMILIES]))
def main(names: tuple[str, ...]) -> None:
    """Set the gate's verdicts beside what clients meet. With --family nothing is written."""
    families = tuple(f for f in FAMILIES if not names or f.name in names)
    start = time.monotonic()
    try:
        done = run(families, () if names else LIMITS)
    except LabError as error:
        click.echo(f"lab.matrix: {error}", err=True)
        sys.exit(1)
    click.echo(page.text(page.confusion(done.cells)))
    click.echo(f"{len(done.cells)} cells, {done.calls} calls, {time.monotonic() - start:.0f} s")
    wrong = [describe(cell) for cell in unexplained(done.cells)]
    if not names:
        wrong += [f"explains nothing: {entry}" for entry in unused(done.cells)]
        part = page.render(families, done.cells, LIMITS, done.beyond)
        PAGE.write_text(page.replace(PAGE.read_text() if PAGE.exists() else "", part))
    for line in wrong:
        click.echo(line)
    sys.exit(bool(wrong))


def describe(cell: Cell) -> str:
    """A cell in one line, with the rows that the gate found and the client's words."""
    rows = ", ".join(cell.said.rows + cell.said.harmless)
    place = f"{cell.family}: {cell.old} → {cell.new} {cell.client}"
    return f"{cell.outcome}: {place} [{rows}] {' '.join(cell.complaint.split())}"


if __name__ == "__main__":
    main()
