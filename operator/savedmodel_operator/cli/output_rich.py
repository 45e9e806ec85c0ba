"""Blocks of `output` on a terminal: tables that fit its width, colour unless NO_COLOR is set.

Imported only when standard output is a terminal. Must not know any command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from savedmodel_operator.cli.output import Block, Cell, Line, Styled, Table, filled, text_of

_COLOURS: Mapping[str, str] = {
    "": "",
    "title": "bold",
    "name": "cyan",
    "good": "bold green",
    "bad": "bold red",
    "warn": "yellow",
    "dim": "dim",
}


def draw(blocks: Iterable[Block], console: Console | None = None) -> None:
    """Prints the blocks; rich itself reads NO_COLOR and TERM."""
    console = console or Console(highlight=False, emoji=False, markup=False)
    for block in blocks:
        if isinstance(block, Line) and not block.cells:
            console.print()
        elif isinstance(block, Line):
            text = Text.assemble(*(_text(cell) for cell in block.cells), overflow="fold")
            console.print(Padding(text, (0, 0, 0, block.indent), expand=False))
        elif block.rows:
            console.print(Padding(_table(block), (0, 0, 0, block.indent), expand=False))


def _text(cell: Cell) -> Text:
    style = cell.style if isinstance(cell, Styled) else ""
    return Text(text_of(cell), style=_COLOURS[style], overflow="fold")


def _table(table: Table) -> RichTable:
    drawn = RichTable(
        box=box.SIMPLE_HEAD if table.head else None,
        header_style="dim",
        show_header=bool(table.head),
        border_style="dim",
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    columns = filled(table)
    for at in columns:
        name = table.head[at] if table.head else ""
        drawn.add_column(name, justify="right" if at in table.right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(_text(row[at]) for at in columns))
    return drawn
