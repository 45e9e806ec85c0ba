"""Why the gate may refuse what would have worked.

Neighbours: `judge` makes the cells, `page` prints these sentences, the test holds every cell
against them. A refusal that did no harm must be for rows of this list and nothing else; an entry
that no cell needs is an error too. Pure data.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.matrix.judge import Cell

EXPLAINED: dict[str, str] = {
    "input-shape-narrowed": "The server compares no shapes: whether other sizes fail is up to the "
    "kernels. Kernels that take any shape, or the sizes that this client happens to send, go on "
    "working.",
    "output-shape-unknown": "The file no longer promises the size. Where the kernels give the "
    "former one all the same, the client has no trouble.",
    "output-rows-fixed": "A client of an output of unknown rank that never had one row for each "
    "that was sent loses nothing when its rows become fixed.",
    "output-known-as-scalar": "A client of an output of unknown rank that was a scalar already "
    "loses nothing when the file says so.",
    "input-unflattened": "Columns ignore the components that are no longer asked for: where the "
    "values alone fit the dense input, the call works, on other data.",
    "tensors": "A sparse or composite output fails every request that does not leave it out by "
    "output_filter. Only a client that already had to name the others goes on working.",
    "output-added-composite": "As above: a client that names its outputs never meets the new one.",
    "input-dtype-wrapped": "Numbers beyond the range of int8, int16 and uint8 are not refused in "
    "JSON, they wrap around silently: the calls work and the answers are wrong.",
}
"""Row of the table, or check, that refused → why a client may have had no trouble."""


def explanation(cell: Cell) -> str | None:
    """Of a false break: the sentences for all rows that refused; None where one has none."""
    found = [EXPLAINED.get(row) for row in cell.said.rows]
    return None if None in found or not found else " ".join(filter(None, found))


def unexplained(cells: Iterable[Cell]) -> list[Cell]:
    """Cells that are failures: said compatible and broke, or refused for no known reason."""
    return [
        cell
        for cell in cells
        if cell.outcome == "false compatible"
        or (cell.outcome == "false break" and explanation(cell) is None)
    ]


def unused(cells: Iterable[Cell]) -> list[str]:
    """Entries that no cell needs."""
    needed = {row for cell in cells if cell.outcome == "false break" for row in cell.said.rows}
    return [row for row in EXPLAINED if row not in needed]
