"""Which ops each TensorFlow Serving knows, with their attributes: look-ups, no judgement. Pure.

Reads `inventory_data`, which `dev/ops` writes; `ops` judges graphs by it. The text has a section
for each list, `# project version graph_def_version`; a project's first section is whole, a further
one says what changed: `-Op` is gone, `Op attribute …` is new or has these attributes now.
`Op!15 …` is refused in graphs whose producer is of GraphDef version 15 or newer.

The lists are of the wheels, which hold a few ops that the official binary does not link (for TPUs
and XLA); such an op passes here and is met by the live checks. Never the other way round.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from savedmodel_operator.gate.inventory_data import DATA, SERVERS

VERSIONS: tuple[str, ...] = tuple(SERVERS)
"""TensorFlow Serving's versions that are known here, oldest first."""


@dataclass(frozen=True, slots=True)
class Op:
    """One registered op: the names of its attributes in the order of its definition. A graph whose
    producer has at least the GraphDef version `deprecated` may not have it; 0: every graph may."""

    attributes: tuple[str, ...]
    deprecated: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """The ops of one wheel. `graph_def` is 0 where the wheel is not TensorFlow itself."""

    ops: Mapping[str, Op]
    graph_def: int


@cache
def lists() -> Mapping[str, Listed]:
    """Every list by project and version, as "tensorflow 2.20.0"."""
    found: dict[str, Listed] = {}
    projects: dict[str, dict[str, Op]] = {}
    for line in zlib.decompress(base64.b85decode(DATA)).decode().splitlines():
        if line.startswith("# "):
            _, project, version, graph_def = line.split()
            ops = projects[project] = dict(projects.get(project, {}))
            found[f"{project} {version}"] = Listed(ops, int(graph_def))
        elif line.startswith("-"):
            del ops[line[1:]]
        else:
            name, *attributes = line.split(" ")
            name, _, deprecated = name.partition("!")
            ops[name] = Op(tuple(attributes), int(deprecated or 0))
    return found


@cache
def ops(version: str) -> Mapping[str, Op]:
    """All ops of TensorFlow Serving `version`, one of `VERSIONS`: its TensorFlow and what it links
    beside."""
    known: dict[str, Op] = {}
    for name in SERVERS[version]:
        known |= lists()[name].ops
    return known


def graph_def_version(version: str) -> int:
    """The GraphDef version that the server consumes: a graph's `min_consumer` may not be above.

    >>> graph_def_version("2.20")
    2288
    """
    return max(lists()[name].graph_def for name in SERVERS[version])


def first_version(op: str) -> str | None:
    """The oldest of `VERSIONS` that knows the op.

    >>> first_version("DecodeJxl"), first_version("MatMul"), first_version("ZeroOut")
    ('2.21', '2.16', None)
    """
    return next((version for version in VERSIONS if op in ops(version)), None)


def last_version(op: str) -> str | None:
    """The newest of `VERSIONS` that knows the op.

    >>> last_version("TfLiteSubgraphExecute"), last_version("MatMul")
    ('2.18', '2.21')
    """
    return next((version for version in reversed(VERSIONS) if op in ops(version)), None)
