"""The compatibility table as a page for people: docs/compatibility-table.md.

Neighbours: `savedmodel_operator.gate.table` holds the rows, `generate` writes the page. Must not
judge or reword: what stands here is what `diff` and `check` say.
"""

from collections.abc import Mapping, Sequence

from savedmodel_operator.gate.finding import CLIENTS, named
from savedmodel_operator.gate.table import TABLE, Row

HEAD = """<!-- Generated from operator/savedmodel_operator/gate/table.py by {command}; do not edit. -->
# Changes of a signature and what they do to clients

An old client was written for the stable version and meets the candidate. *would break* and *may
break* refuse the candidate under `gate.compatibility.mode: Backward`, if the kind of client is
listed in `gate.compatibility.clients`; *risk* is a note; *ok* is a note of `diff` alone. Sources
are files of TensorFlow Serving below `tensorflow_serving/`, unless another root is given; each row
is played against the serving-compatible server in `tests/unit/gate`, and the verdicts are measured
in [compatibility.md](compatibility.md).
"""


def render(command: str) -> str:
    """The whole page."""
    groups: dict[str, list[Row]] = {"signatures": [], "inputs": [], "outputs": []}
    for row in TABLE.values():
        groups[_group(row.id)].append(row)
    parts = [HEAD.format(command=command)]
    for title, rows in groups.items():
        parts.append(f"## {title.capitalize()}\n\n{_table(rows)}\n\n{_notes(rows)}\n")
    return "\n".join(parts)


def _group(row: str) -> str:
    words = set(row.split("-"))
    if words & {"input", "inputs", "default"} and "signature" not in words:
        return "inputs"
    return "outputs" if words & {"output", "outputs"} else "signatures"


def _table(rows: Sequence[Row]) -> str:
    lines = [
        f"| change | {' | '.join(named([client]) for client in CLIENTS)} | which clients | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        effects = " | ".join(str(row.effects[client]) for client in CLIENTS)
        lines.append(f"| `{row.id}` | {effects} | {_who(row)} | {_cell(row.source)} |")
    return "\n".join(lines)


def _who(row: Row) -> str:
    others: Mapping[str, str] = row.others
    said = [f"{named([client])}: {who}" for client, who in others.items()]
    return _cell("; ".join(filter(None, [row.who, *said])))


def _cell(text: str) -> str:
    """One cell: names between asterisks stay as they are written."""
    return text.replace("|", "\\|").replace("*", "\\*")


def _notes(rows: Sequence[Row]) -> str:
    """What to do, and on what a "may" hangs."""
    return "\n".join(
        f"- `{row.id}`: {_cell(row.advice)}" + (f" (may: {_cell(row.doubt)})" if row.doubt else "")
        for row in rows
        if row.advice
    )
