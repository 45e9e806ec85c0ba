"""The gate's verdict equals what a client of A meets when it calls B, for every pair of a family.

`lab.matrix` makes the versions, runs the server and plays the clients; here its cells are held
against what must be so. `dev/python -m lab.matrix` prints every cell that is wrong.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.cache import locked
from lab.matrix import page
from lab.matrix.__main__ import PAGE, Run, describe, run
from lab.matrix.explain import unexplained, unused
from lab.matrix.families import FAMILIES, LIMITS
from lab.matrix.judge import Cell
from savedmodel_operator.gate.finding import CLIENTS
from savedmodel_operator.gate.table import TABLE, Effect


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run, also where several processes share this module's tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    kept = shared / "matrix.pickle"
    with locked(shared / "matrix.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(run()))
        return pickle.loads(kept.read_bytes())


@pytest.fixture
def cells(done: Run):
    return done.cells


def test_nothing_is_compatible_that_breaks_and_every_needless_refusal_is_explained(cells, capsys):
    with capsys.disabled():
        sys.stdout.write(f"\n{page.text(page.confusion(cells))}\n")
    assert [describe(cell) for cell in unexplained(cells)] == []
    assert unused(cells) == []


def test_a_version_may_replace_itself(cells):
    for cell in cells:
        if cell.old == cell.new and cell.sent:
            assert cell.outcome == "true compatible", describe(cell)


def test_the_matrix_is_whole(cells):
    """Every pair of every family for every kind of client, and enough of each to mean something."""
    pairs = sum(len(family.members) ** 2 for family in FAMILIES)
    assert len(cells) == pairs * len(CLIENTS)
    assert len({(c.family, c.old, c.new, c.client) for c in cells}) == len(cells)
    counts = Counter((cell.client, cell.outcome) for cell in cells)
    for client in CLIENTS:
        assert counts[client, "true compatible"] > 300
        assert counts[client, "true break"] > 1000


NEVER_ALONE = {
    "examples-rows-fixed": "output-rows-fixed",
    "input-encoding-changed": "tensors",
    "output-encoding-changed": "tensors",
    "output-added-composite": "tensors",
    "outputs-reduced-to-one": "output-removed",
}
"""Rows that always come with another: the pairs where they come with nothing else count."""

NOBODY = {
    "input-dtype-was-unwritable", "output-dtype-was-unwritable", "first-input-required",
    "first-input-with-default", "input-was-not-served", "output-was-not-served",
    "output-was-scalar",
}  # fmt: skip
"""Rows of which some words are about clients that cannot exist: A could not be called that way."""

WRONG_ANSWERS = {"input-dtype-wrapped"}
"""May break, though no call fails: the value that arrives is another one."""


def _shown(cells: list[Cell]) -> Iterator[tuple[str, str, bool]]:
    """(row, client, broke) of each cell in which a row's word decides."""
    for cell in cells:
        rows = set(cell.said.rows)
        if not cell.sent or not cell.outcome.startswith("true"):
            continue
        for row in rows:
            if rows == {row} or rows == {row, NEVER_ALONE.get(row)}:
                yield row, cell.client, True
        for row in cell.said.harmless if not rows else ():
            yield row, cell.client, False


def test_every_word_of_the_table_decides_somewhere(cells):
    shown = set(_shown(cells))
    called = {
        (row, cell.client)
        for cell in cells
        if cell.sent and not cell.said.rows
        for row in cell.said.harmless
    }
    for row in TABLE.values():
        for client, effect in row.effects.items():
            breaks = effect in (Effect.Depends, Effect.Break)
            if (row.id, client, breaks) in shown or (row.id in WRONG_ANSWERS and breaks):
                continue
            assert row.id in NOBODY, f"no pair shows {row.id} {client}: {effect}"
            assert not breaks, f"{row.id} {client} refuses clients that cannot exist"
            assert (row.id, client) not in called


def test_what_no_file_tells_is_let_in_and_breaks(done):
    """The limits that the page names are real; a gate that learns one must move it."""
    for family in LIMITS:
        first, second = family.members
        for cell in done.beyond:
            if (cell.family, cell.old, cell.new) == (family.name, first, second):
                assert cell.outcome == "false compatible", describe(cell)


def test_the_page_is_what_the_run_says(done):
    part = page.render(FAMILIES, done.cells, LIMITS, done.beyond)
    text = PAGE.read_text()
    assert page.replace(text, part) == text, "run dev/python -m lab.matrix"
