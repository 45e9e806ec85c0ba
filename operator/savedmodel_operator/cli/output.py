"""How every command speaks: exit codes, `-o text|json|yaml`, and text as lines and tables.

A command hands `emit` two makers: one of JSON-able data, one of blocks. Only the one that is asked
for is called. Blocks are drawn plain (aligned columns that grep and a CI log can use) or, on a
terminal, by `output_rich` (tables and colour; NO_COLOR takes the colour away). Names in a model
are the exporter's: nothing that could drive a terminal passes here. Must not know any command.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, NoReturn, TypeVar

import click

FORMATS = ("text", "json", "yaml")


class Exit(IntEnum):
    """What a pipeline may rely on; the first two are verdicts, the others are none."""

    YES = 0
    NO = 1
    USAGE = 2
    WAITING = 3
    COULD_NOT_TELL = 4
    TIMEOUT = 124
    INTERRUPTED = 130


Style = Literal["", "title", "name", "good", "bad", "warn", "dim"]


@dataclass(frozen=True)
class Styled:
    """A text with a meaning; `output_rich` chooses the colour."""

    text: str
    style: Style


Cell = str | Styled


@dataclass(frozen=True)
class Line:
    """Cells one after the other, without space between them; no cells make an empty line."""

    cells: tuple[Cell, ...] = ()
    indent: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of equally many cells under an optional head; `right` are the columns of numbers.

    A column without any text in its rows is not drawn.
    """

    rows: tuple[tuple[Cell, ...], ...]
    head: tuple[str, ...] = ()
    indent: int = 2
    right: tuple[int, ...] = ()


Block = Line | Table

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_option(command: _Command) -> _Command:
    """The option `-o`, given to the command as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="text for people; json and yaml for programs, with stable keys.",
    )(command)


def line(*cells: Cell, indent: int = 0) -> Line:
    """A line of these cells."""
    return Line(cells, indent)


def emit(data: Callable[[], Any], output: str, render: Callable[[], Iterable[Block]]) -> None:
    """Prints the answer in the form that was asked for; only that form is made.

    A reader that leaves early, as `head` does, changes nothing of the answer: the command goes on
    to its own exit code instead of ending with one that would read as "no".
    """
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:  # an old locale shows "→" as \u2192 instead of failing
        reconfigure(errors="backslashreplace")
    try:
        _print(data, output, render)
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _print(data: Callable[[], Any], output: str, render: Callable[[], Iterable[Block]]) -> None:
    if output == "json":
        click.echo(as_json(data()))
    elif output == "yaml":
        click.echo(as_yaml(data()), nl=False)
    elif sys.stdout.isatty():
        from savedmodel_operator.cli.output_rich import draw  # 60 ms, for terminals only

        draw(render())
    else:
        for text in plain(render()):
            click.echo(text)


def fail(command: str, message: str, code: Exit = Exit.COULD_NOT_TELL) -> NoReturn:
    """Says on stderr why there is no answer, and ends the process with `code`."""
    click.echo(f"savedmodel {command}: {printable(message)}", err=True)
    sys.exit(code)


_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON lets through and a terminal may act on: C1 controls, line ends, writing direction."""


def as_json(data: Any) -> str:
    """JSON for programs that is also safe to look at.

    >>> as_json({"shape": "4 → 5", "name": chr(0x9b)}).splitlines()[2]
    '  "name": "\\\\u009b"'
    """
    import json  # text does without

    text = json.dumps(data, indent=2, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_yaml(data: Any) -> str:
    """YAML with the keys in the order of the JSON form; PyYAML escapes what is not printable."""
    import yaml

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def printable(text: str) -> str:
    """Names come from files: no control character may reach a terminal.

    >>> printable("x\\x1b[2J")
    'x\\\\x1b[2J'
    """
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def plain(blocks: Iterable[Block]) -> Iterator[str]:
    """Blocks as lines for a file or a pipe: no colour, no wrapping, columns two spaces apart."""
    for block in blocks:
        if isinstance(block, Line):
            yield (" " * block.indent + "".join(map(text_of, block.cells))).rstrip()
        else:
            yield from _plain_table(block)


def text_of(cell: Cell) -> str:
    """What a cell shows, made safe."""
    return printable(cell if isinstance(cell, str) else cell.text)


def filled(table: Table) -> tuple[int, ...]:
    """The columns that have text in them."""
    columns = zip(*table.rows, strict=True)
    return tuple(at for at, column in enumerate(columns) if any(map(text_of, column)))


def _plain_table(table: Table) -> Iterator[str]:
    rows = [[text_of(cell) for cell in row] for row in table.rows]
    if table.head and rows:
        rows.insert(0, [name.upper() for name in table.head])
    widths = {at: max(len(row[at]) for row in rows) for at in filled(table)}
    for row in rows:
        cells = [
            row[at].rjust(width) if at in table.right else row[at].ljust(width)
            for at, width in widths.items()
        ]
        yield (" " * table.indent + "  ".join(cells)).rstrip()


def format_bytes(count: int) -> str:
    """Bytes for a person.

    >>> format_bytes(512), format_bytes(1536), format_bytes(210_000_000)
    ('512 B', '1.5 KiB', '200.3 MiB')
    """
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def count_of(count: int, noun: str) -> str:
    """A number with its noun.

    >>> count_of(1, "shard"), count_of(2, "shard")
    ('1 shard', '2 shards')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], between: str = ", ", most: int = 8) -> str:
    """Names for a sentence, the first few and how many more.

    >>> listed(["a", "b"]), listed(list("abcd"), most=2), listed([])
    ('a, b', 'a, b and 2 more', 'none')
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (between.join(names[:most]) or "none") + rest
