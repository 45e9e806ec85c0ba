"""What `diff` says, to people and to programs. Must not compare.

Neighbours: `diff` calls it with what `diff_facts` found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from savedmodel_operator.cli.diff_facts import Difference, GraphDifference, Pair
from savedmodel_operator.cli.findings import count_severities, finding_dict, show_findings
from savedmodel_operator.cli.inspect_view import shape_of
from savedmodel_operator.cli.output import (
    Block,
    Cell,
    Style,
    Styled,
    Table,
    count_of,
    format_bytes,
    line,
)
from savedmodel_operator.cli.target import Version
from savedmodel_operator.savedmodel.dtypes import python_name


def as_dict(found: Difference) -> dict[str, Any]:
    """For programs: in each pair the first is A's, the second B's, null is "none"."""
    return {
        "a": _version(found.a),
        "b": _version(found.b),
        "same": found.same,
        "metaGraphs": [
            {
                "tags": list(graph.tags),
                "only": graph.only or None,
                "findings": [finding_dict(finding) for finding in graph.findings],
                "facts": {key: list(pair) for key, pair in graph.facts.items()},
                "ops": {op: [count or 0 for count in pair] for op, pair in graph.ops.items()},
            }
            for graph in found.graphs
        ],
        "variables": {
            "changed": {
                name: [_variable(side) for side in pair] for name, pair in found.variables.items()
            },
            "otherValues": found.values,
            "sameValues": found.kept,
        },
        "files": {key: list(pair) for key, pair in found.files.items()},
    }


def _version(version: Version) -> dict[str, Any]:
    return {
        "path": version.name,
        "reason": version.layout.reason.value,
        "message": version.layout.message,
        "bytes": sum(version.listing.values()),
    }


def _variable(side: tuple[str, tuple[int, ...] | None] | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {"dtype": side[0], "shape": None if side[1] is None else list(side[1])}


def as_text(found: Difference) -> Iterator[Block]:
    """The whole answer; the last line sums up."""
    yield Table(tuple(_row(*side) for side in (("A", found.a), ("B", found.b))), indent=0)
    for graph in found.graphs:
        if not graph.same:
            yield line()
            yield from _graph(graph)
    if found.variables or found.values:
        yield line()
        yield from _variables(found)
    if found.files:
        yield line()
        yield line(Styled("Files", "title"))
        yield Table(tuple(_pairs(found.files, format_bytes)), ("", "", "A", "B"), right=(2, 3))
    yield line()
    yield line(*_sum(found))


def _row(side: str, version: Version) -> tuple[Cell, ...]:
    layout = version.layout
    state = Styled(layout.reason.value, "good" if layout.complete else "bad")
    return Styled(side, "title"), version.name, state, layout.message


def _graph(graph: GraphDifference) -> Iterator[Block]:
    title = Styled(f"MetaGraph [{', '.join(graph.tags)}]", "title")
    if graph.only:
        yield line(title, f"  only in {graph.only}")
        return
    yield line(title, f"  signatures: {count_severities(graph.findings)}")
    yield from show_findings(graph.findings)
    if graph.facts:
        yield Table(tuple(_pairs(graph.facts, _word)), ("", "", "A", "B"))
    if graph.ops:
        yield line(Styled("ops", "title"), indent=2)
        yield Table(tuple(_pairs(graph.ops, str)), ("", "", "A", "B"), right=(2, 3))


def _pairs(pairs: Mapping[str, Pair], show: Any) -> Iterator[tuple[Cell, ...]]:
    for key, (old, new) in pairs.items():
        sign, style = _sign(old, new)
        before, after = ("–" if side is None else show(side) for side in (old, new))
        yield Styled(sign, style), key, before, after


def _sign(old: object, new: object) -> tuple[str, Style]:
    if old is None:
        return "+", "good"
    return ("-", "bad") if new is None else ("~", "warn")


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _variables(found: Difference) -> Iterator[Block]:
    yield line(
        Styled("Variables", "title"),
        f"  {count_of(found.values, 'tensor')} with other values, {found.kept} with the same",
    )

    def show(side: tuple[str, tuple[int, ...] | None]) -> str:
        return f"{python_name(side[0])} {shape_of(side[1])}"

    if found.variables:
        yield Table(tuple(_pairs(found.variables, show)), ("", "", "A", "B"))


def _sum(found: Difference) -> Iterator[Cell]:
    if found.same:
        yield Styled("same", "good")
        yield ": no difference in signatures, ops, variables and files"
        return
    findings = [finding for graph in found.graphs for finding in graph.findings]
    broken = sum(finding.breaks for finding in findings)
    if broken or any(graph.only == "A" for graph in found.graphs):
        yield Styled("different", "bad")
        yield f": {count_of(broken, 'difference')} would or may break clients of A"
    else:
        yield Styled("different", "warn")
        yield ": nothing that breaks clients of A"
