"""The matrix as tables: for docs/compatibility.md and for a terminal.

Neighbours: `judge` makes the cells, `explain` the sentences. The page's part between the marks is
replaced, the rest of the file is other people's. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lab.matrix.explain import EXPLAINED, explanation
from lab.matrix.judge import Cell
from lab.matrix.variants import Family
from savedmodel_operator.gate.finding import CLIENTS, named
from savedmodel_operator.gate.table import TABLE

COMMAND = "dev/python -m lab.matrix"
BEGIN = f"<!-- {COMMAND}: begin -->"
END = f"<!-- {COMMAND}: end -->"

OUTCOMES = ("true compatible", "true break", "false break", "false compatible", "no client")

_TABLE = """\
# Compatibility

What a change between two versions does to each kind of client that was written for the former one,
as `gate` judges it: *ok*; *risk*: calls go on, answers may differ; *may break*: left to the graph's
kernels, to the values sent or to what the client reads, hence refused; *would break*. Clients are
gRPC with typed tensors by key, REST with rows (`instances`), and REST with columns (`inputs`).
Sources are files below `tensorflow_serving/` unless they say otherwise; "derived" means by the same
reasoning from the rows around.

## The table
"""

_INTRODUCTION = """
## Measured

A client was built from version A alone: typed gRPC tensors under A's keys, REST rows (objects, and
plain values where there is one input), REST columns, Classify and Regress where A's method says so.
It sends usual values and the ends of each type's range, batches of one, two and three, other sizes
where A leaves them open, strings that are no text, and calls without each input that has a default;
it asks for all outputs and for each alone. It reads as A's signature promises: keys, types, nesting,
sizes, and one row for each row sent where A gave that. What fails on A itself is no client's call.
Then it calls B on the TensorFlow Serving-compatible server, with every pair (A, B) of a family.

One complaint is a break. *false compatible*: the gate let B pass and the client broke. *false
break*: the gate refused B and this client had no trouble. *no client*: A cannot be called that way,
for example float16 by REST.
"""


def confusion(cells: Iterable[Cell]) -> list[list[str]]:
    """A table: one line per kind of client and one for all of them."""
    counts = Counter((cell.client, cell.outcome) for cell in cells)
    lines = [[named((c,)), *(str(counts[c, o]) for o in OUTCOMES)] for c in CLIENTS]
    total = ["all", *(str(sum(counts[c, o] for c in CLIENTS)) for o in OUTCOMES)]
    return [["client", *OUTCOMES], *lines, total]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """The first line is the head; columns after the first are numbers."""
    head, *lines = table
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def text(table: Sequence[Sequence[str]]) -> str:
    """The same for a terminal."""
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in table
    )


def _table() -> str:
    """Every row of the gate's table."""
    head = "| change | " + " | ".join(named((c,)) for c in CLIENTS) + " | who | source |"
    lines = [
        f"| {row.id} | {' | '.join(row.effects[c] for c in CLIENTS)} | {row.who} | {row.source} |"
        for row in TABLE.values()
    ]
    return "\n".join([head, "| --- " * (len(CLIENTS) + 3) + "|", *lines])


def _families(families: Sequence[Family], cells: Sequence[Cell]) -> str:
    counts = Counter((cell.family, cell.outcome) for cell in cells)
    table = [["family: what differs", "versions", *OUTCOMES]]
    for family in families:
        numbers = [str(counts[family.name, outcome]) for outcome in OUTCOMES]
        about = f"{family.name}: {family.about}"
        table.append([about, str(len(family.members)), *numbers])
    return markdown(table)


def _false_breaks(cells: Sequence[Cell]) -> str:
    counts: Counter[tuple[str, ...]] = Counter()
    for cell in cells:
        if cell.outcome == "false break" and explanation(cell) is not None:
            counts[cell.said.rows] += 1
    lines = [
        f"- {count} for {' and '.join(f'`{row}`' for row in rows)}. "
        + " ".join(EXPLAINED[row] for row in rows)
        for rows, count in counts.most_common()
    ]
    return "\n".join(lines) or "None."


_LIMITS = """\
Two versions with the same signatures, of which the second does not do what its file says. The gate
lets it pass, the client of the first breaks. Golden requests and `agreement` are there for these:
they are sent to the candidate before any client's.
"""


def _limits(limits: Sequence[Family], cells: Sequence[Cell]) -> str:
    met = Counter(cell.family for cell in cells if cell.outcome == "false compatible")
    return "\n".join(f"- {f.name} ({met[f.name]} cells): {f.about}." for f in limits)


def render(
    families: Sequence[Family],
    cells: Sequence[Cell],
    limits: Sequence[Family],
    beyond: Sequence[Cell],
) -> str:
    """The page's part between the marks; `limits` and `beyond` are the same for what no file
    tells."""
    pairs = len({(cell.family, cell.old, cell.new) for cell in cells})
    versions = sum(len(family.members) for family in families)
    parts = [
        _TABLE,
        _table(),
        _INTRODUCTION,
        f"{versions} versions in {len(families)} families, {pairs} pairs, {len(cells)} cells:\n",
        markdown(confusion(cells)),
        "\n### By family\n",
        _families(families, cells),
        "\n### Refused without need\n",
        _false_breaks(cells),
        "\n### What no file tells\n",
        _LIMITS,
        _limits(limits, beyond),
    ]
    return "\n".join(parts) + "\n"


def replace(page: str, part: str) -> str:
    """The page with its part between the marks exchanged, or added at its end."""
    marked = f"{BEGIN}\n{part}{END}\n"
    if BEGIN not in page:
        return f"{page.rstrip()}\n\n{marked}".lstrip()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(f"{END}\n")
    return before + marked + after
