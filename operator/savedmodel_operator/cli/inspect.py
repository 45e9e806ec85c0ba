"""`savedmodel inspect PATH`: what is in a SavedModel, and is it whole? Without TensorFlow.

Prints what `local` read; decides nothing itself. Ends with 0 (complete), 1 (something is missing
or malformed) or 4 (it could not be read).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from savedmodel_operator.cli.local import LocalVersion, NotReadableError, read_version
from savedmodel_operator.savedmodel import BundleIndex, GraphFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.graph import PYTHON_OPS

EXIT_NO, EXIT_COULD_NOT_TELL = 1, 4


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.option("--list-ops", is_flag=True, help="Name every op of the graph, with its count.")
def inspect(path: Path, output: str, list_ops: bool) -> None:
    """Show tags, signatures, ops, assets and variables of a version directory."""
    try:
        version = read_version(path)
    except NotReadableError as error:
        click.echo(f"savedmodel inspect: {error}", err=True)
        sys.exit(EXIT_COULD_NOT_TELL)
    if output == "json":
        import json  # the text form does without

        click.echo(json.dumps(as_dict(version), indent=2, ensure_ascii=False))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in as_text(version, list_ops=list_ops):
            click.echo(line if colour else click.unstyle(line))
    sys.exit(0 if version.layout.complete else EXIT_NO)


def as_dict(version: LocalVersion) -> dict[str, Any]:
    """Everything that was read, for programs; keys are stable, new ones may be added."""
    facts = version.facts.to_dict() if version.facts else {"schema": None, "graphs": []}
    return {
        "path": str(version.path),
        "complete": version.layout.complete,
        "reason": version.layout.reason.value,
        "message": version.layout.message,
        "problems": list(version.layout.problems),
        "files": version.listing,
        "bytes": sum(version.listing.values()),
        "schemaVersion": facts["schema"],
        "metaGraphs": facts["graphs"],
        "variables": _variables_dict(version.bundle) if version.bundle else None,
    }


def _variables_dict(bundle: BundleIndex) -> dict[str, Any]:
    sizes: dict[str, int] = {}
    for entry in bundle.entries:
        name = entry.part_of or entry.name
        sizes[name] = sizes.get(name, 0) + entry.size
    return {
        "shards": bundle.shards,
        "tensors": [
            {
                "name": e.name,
                "dtype": e.dtype,
                "shape": None if e.shape is None else list(e.shape),
                "bytes": sizes[e.name],
            }
            for e in bundle.entries
            if not e.part_of
        ],
    }


def as_text(version: LocalVersion, *, list_ops: bool = False) -> Iterator[str]:
    """Lines for a person, styled for a terminal."""
    layout = version.layout
    word = layout.reason.value
    yield click.style(str(version.path), bold=True)
    yield f"  {click.style(word, fg='green' if layout.complete else 'red')}: {_printable(layout.message)}"
    for graph in version.facts.graphs if version.facts else ():
        yield ""
        yield from _graph(graph, list_ops=list_ops)
    if version.bundle:
        sizes = version.bundle.shard_sizes
        tensors = sum(1 for entry in version.bundle.entries if not entry.part_of)
        yield ""
        yield (
            f"{click.style('Variables', bold=True)}  "
            f"{_count(tensors, 'tensor')}, {format_bytes(sum(sizes))} in "
            f"{_count(len(sizes), 'shard')}"
        )


def _graph(graph: GraphFacts, *, list_ops: bool) -> Iterator[str]:
    tags = ", ".join(map(_printable, graph.tags))
    made = f"TensorFlow {_printable(graph.tensorflow) or 'of unknown version'}"
    yield (
        f"{click.style(f'MetaGraph [{tags}]', bold=True)}  {made}, "
        f"graph version {graph.producer} (needs {graph.min_consumer})"
    )
    if not graph.signatures:
        yield "  no signatures: clients cannot call it"
    for key, signature in sorted(graph.signatures.items()):
        yield from _signature(key, signature)
    python = [f"{op} ({n})" for op, n in graph.ops.items() if op in PYTHON_OPS]
    yield (
        f"  ops      {_count(len(graph.ops), 'kind')} in {_count(graph.nodes, 'node')} and "
        f"{_count(graph.functions, 'function')}"
    )
    if python:
        warning = f"{', '.join(python)}: TensorFlow Serving cannot run them"
        yield f"  {click.style('python', fg='red')}   {warning}"
    if graph.absent:
        yield f"  {click.style('absent', fg='red')}   {', '.join(map(_printable, graph.absent))}"
    if graph.assets:
        yield f"  assets   {', '.join(map(_printable, graph.assets))}"
    if list_ops:
        yield from (f"    {count:>6}  {_printable(op)}" for op, count in graph.ops.items())


def _signature(key: str, signature: Signature) -> Iterator[str]:
    method = _printable(signature.method) or "no method"
    yield f"  {click.style(_printable(key), fg='cyan')}  {method}"
    rows = [*_rows("in", signature.inputs), *_rows("out", signature.outputs)]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "    " + "  ".join([*cells, *row[3:]]).rstrip()


def _rows(side: str, tensors: Mapping[str, TensorSpec]) -> Iterator[tuple[str, str, str, str]]:
    for key, tensor in sorted(tensors.items()):
        shape = "unknown rank" if tensor.shape is None else "scalar"
        if tensor.shape:
            shape = "[" + ", ".join("any" if n < 0 else str(n) for n in tensor.shape) + "]"
        dtype = python_name(tensor.dtype)
        if tensor.kind == "Composite":  # type and shape are those of its parts
            dtype, shape = "-", "-"
        if tensor.kind != "Dense":
            shape += f"  {tensor.kind.lower()}: TensorFlow Serving cannot use it"
        if tensor.has_default:
            shape += "  has a default"
        yield side, _printable(key), dtype, shape


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    """Names come from the file: no control characters may reach the terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


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
