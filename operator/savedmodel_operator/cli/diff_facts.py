"""Two versions beside each other: MetaGraphs by their tags, variables by name, files by key. Pure.

The gate compares signatures; the rest is compared here. Neighbours: `diff` calls it, `diff_view`
shows what it found. Must not print, and must not say what a difference means for a client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.target import Version
from savedmodel_operator.gate.compatibility import compare
from savedmodel_operator.gate.finding import Finding
from savedmodel_operator.savedmodel import BundleIndex, GraphFacts

Pair = tuple[Any, Any]
"""What A has and what B has; None where it has none."""


@dataclass(frozen=True)
class GraphDifference:
    """One MetaGraph; `only` is "A" or "B" where the other has no MetaGraph of these tags."""

    tags: tuple[str, ...]
    only: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, Pair]
    ops: Mapping[str, Pair]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.only or self.findings or self.facts or self.ops)


@dataclass(frozen=True)
class Difference:
    """All that differs. `values` counts the variables of one name, type and shape whose bytes
    differ, `kept` those whose bytes are the same."""

    a: Version
    b: Version
    graphs: tuple[GraphDifference, ...]
    variables: Mapping[str, Pair]
    values: int
    kept: int
    files: Mapping[str, Pair]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        graphs = all(graph.same for graph in self.graphs)
        return graphs and not (self.variables or self.values or self.files)


def compare_versions(
    a: Version, b: Version, clients: Iterable[str], tags: frozenset[str] | None = None
) -> Difference:
    """Compares what was read of both; with `tags` only that MetaGraph.

    Raises NotReadableError where neither has these tags.
    """
    old, new = _by_tags(a, tags), _by_tags(b, tags)
    if tags is not None and not (old or new):
        raise NotReadableError(f"neither has a MetaGraph with exactly the tags {_shown(tags)}")
    listed = tuple(clients)
    keys = [*old, *(key for key in new if key not in old)]
    values, kept = _values(a.bundle, b.bundle)
    return Difference(
        a,
        b,
        tuple(_graph(old.get(key), new.get(key), listed) for key in keys),
        _changed(_variables(a.bundle), _variables(b.bundle)),
        values,
        kept,
        _changed(a.listing, b.listing),
    )


def _shown(tags: Iterable[str]) -> str:
    return ",".join(sorted(tags))


def _by_tags(version: Version, tags: frozenset[str] | None) -> dict[frozenset[str], GraphFacts]:
    graphs = version.facts.graphs if version.facts else ()
    found: dict[frozenset[str], GraphFacts] = {}
    for graph in graphs:
        if tags is None or frozenset(graph.tags) == tags:
            found.setdefault(frozenset(graph.tags), graph)  # TensorFlow takes the first, too
    return found


def _graph(
    old: GraphFacts | None, new: GraphFacts | None, clients: tuple[str, ...]
) -> GraphDifference:
    there = old or new
    assert there is not None
    if old is None or new is None:
        return GraphDifference(there.tags, "B" if old is None else "A", (), {}, {})
    findings = compare(old.signatures, new.signatures, clients)
    return GraphDifference(
        there.tags, "", findings, _changed(_facts(old), _facts(new)), _changed(old.ops, new.ops)
    )


def _facts(graph: GraphFacts) -> dict[str, Any]:
    """What is worth a row beside signatures and ops; the words are those of `inspect`."""
    return {
        "origin": graph.origin,
        "TensorFlow": graph.tensorflow,
        "graph version": graph.producer,
        "needs graph version": graph.min_consumer,
        "nodes": graph.nodes,
        "functions": graph.functions,
        "assets": list(graph.assets),
        "absent tensors": list(graph.absent),
        "mismatches": list(graph.contradicted),
        "undeclared ops": list(graph.undeclared),
        "init op": graph.init_op,
    }


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Pair]:
    keys = sorted({*old, *new})
    pairs = ((key, (old.get(key), new.get(key))) for key in keys)
    return {key: pair for key, pair in pairs if pair[0] != pair[1]}


def _variables(bundle: BundleIndex | None) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    if bundle is None:
        return {}
    return {entry.name: (entry.dtype, entry.shape) for entry in bundle.entries if not entry.part_of}


def _values(a: BundleIndex | None, b: BundleIndex | None) -> tuple[int, int]:
    """How many tensors of the same name, type and shape have other bytes, how many the same."""
    old, new = _sums(a), _sums(b)
    before, after = _variables(a), _variables(b)
    comparable = [name for name in old if before[name] == after.get(name)]
    differing = sum(1 for name in comparable if old[name] != new[name])
    return differing, len(comparable) - differing


def _sums(bundle: BundleIndex | None) -> dict[str, list[tuple[int, int]]]:
    """Size and checksum of each tensor, of a partitioned one those of its slices."""
    sums: dict[str, list[tuple[int, int]]] = {}
    for entry in bundle.entries if bundle else ():
        sums.setdefault(entry.part_of or entry.name, []).append((entry.size, entry.crc32c))
    return sums
