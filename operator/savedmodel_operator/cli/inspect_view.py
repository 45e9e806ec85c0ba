"""What `inspect` says to people: lines and tables for `output`. Must not judge or read.

Neighbours: `inspect` calls it, `inspect_data` is the same for programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from savedmodel_operator.cli.inspect_data import Detail, functions_of, tensor_sizes
from savedmodel_operator.cli.output import (
    Block,
    Cell,
    Styled,
    Table,
    count_of,
    format_bytes,
    line,
    listed,
)
from savedmodel_operator.cli.target import Version
from savedmodel_operator.savedmodel import BundleIndex, GraphFacts, TensorSpec
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.extras import Extras
from savedmodel_operator.savedmodel.graph import PYTHON_OPS
from savedmodel_operator.savedmodel.origin import in_folder


def as_text(version: Version, detail: Detail) -> Iterator[Block]:
    """The whole answer, the verdict first."""
    yield line(Styled(version.name, "title"))
    yield from _state(version, detail.deep)
    for graph in version.facts.graphs if version.facts else ():
        yield line()
        yield from _graph(graph, version.listing, list_ops=detail.list_ops)
    if version.bundle:
        yield line()
        yield from _variables(version.bundle, every=detail.variables)
    if detail.functions:
        yield from _functions(version)
    yield from _beside(version.extras)
    if detail.files:
        yield line()
        yield line(Styled("Files", "title"), f"  {count_of(len(version.listing), 'file')}")
        rows = tuple((key, format_bytes(size)) for key, size in sorted(version.listing.items()))
        yield Table(rows, right=(1,))
    yield line()
    yield line(
        Styled(
            f"{format_bytes(version.bytes_read)} read in {count_of(version.reads, 'read')}", "dim"
        )
    )


def _state(version: Version, deep: bool) -> Iterator[Block]:
    layout = version.layout
    word = Styled(layout.reason.value, "good" if layout.complete else "bad")
    yield line(word, f": {layout.message}", indent=2)
    if not deep:
        return
    for damage in version.damaged:
        yield line(Styled("Damaged", "bad"), f": {damage}", indent=2)
    if version.bundle and not version.damaged:
        yield line(Styled("Intact", "good"), ": every tensor has its checksum", indent=2)


def _graph(graph: GraphFacts, files: Iterable[str], *, list_ops: bool) -> Iterator[Block]:
    made = [
        in_folder(graph.origin, files),
        f"TensorFlow {graph.tensorflow or 'of unknown version'}",
    ]
    made.append(f"graph version {graph.producer} (needs {graph.min_consumer})")
    title = f"MetaGraph [{', '.join(graph.tags)}]"
    yield line(Styled(title, "title"), "  ", ", ".join(filter(None, made)))
    if not graph.signatures:
        yield line("no signatures: clients cannot call it", indent=2)
    for key, signature in sorted(graph.signatures.items()):
        yield line(Styled(key, "name"), f"  {signature.method or 'no method'}", indent=2)
        rows = (*_rows("in", signature.inputs), *_rows("out", signature.outputs))
        yield Table(rows, ("", "name", "dtype", "shape", "tensor", "remark"), indent=4)
    yield from _contents(graph)
    if list_ops:
        counts = tuple((str(count), op) for op, count in graph.ops.items())
        yield Table(counts, indent=4, right=(0,))


def _contents(graph: GraphFacts) -> Iterator[Block]:
    ops = (
        f"{count_of(len(graph.ops), 'kind')} in {count_of(graph.nodes, 'node')} and "
        f"{count_of(graph.functions, 'function')}"
    )
    rows: list[tuple[Cell, ...]] = [("ops", ops)]
    python = [f"{op} ({n})" for op, n in graph.ops.items() if op in PYTHON_OPS]
    if python:
        warning = f"{', '.join(python)}: TensorFlow Serving cannot run them"
        rows.append((Styled("python", "bad"), warning))
    if graph.undeclared:
        rows.append(("undeclared", f"{', '.join(graph.undeclared)}: not in stripped_op_list"))
    if graph.absent:
        warning = f"{', '.join(graph.absent)}: named by signatures, not in the graph"
        rows.append((Styled("absent", "bad"), warning))
    rows.extend((Styled("mismatch", "bad"), phrase) for phrase in graph.contradicted)
    if graph.assets:
        rows.append(("assets", ", ".join(graph.assets)))
    if graph.init_op:
        rows.append(("init op", "yes"))
    yield Table(tuple(rows))


def _beside(extras: Extras) -> Iterator[Block]:
    """What lies beside graph and weights; nothing where there is nothing."""
    rows = tuple(_beside_rows(extras))
    if rows:
        yield line()
        yield line(Styled("Beside", "title"))
        yield Table(rows)


def _beside_rows(extras: Extras) -> Iterator[tuple[Cell, ...]]:
    if extras.fingerprint:
        shown = extras.fingerprint.uuid or f"{extras.fingerprint.saved_model_checksum:x}"
        yield "fingerprint", shown
    if extras.warmup:
        made = ", ".join(
            f"{r.count} {r.kind} of {r.signature or 'serving_default'}"
            for r in extras.warmup.requests
        )
        yield "warm-up", f"{count_of(extras.warmup.count, 'request')}{f': {made}' * bool(made)}"
        if extras.warmup.problem:
            yield Styled("warm-up", "bad"), extras.warmup.problem
    if extras.keras_metadata:
        yield "Keras", "keras_metadata.pb (Keras 2 wrote it)"
    if extras.tflite:
        yield "TFLite", "model.tflite (TensorFlow Serving does not use it unless told to)"
    if extras.extra_assets:
        yield "extra", listed(extras.extra_assets)
    for problem in extras.problems:
        yield Styled("problem", "bad"), problem


def _rows(side: str, tensors: Mapping[str, TensorSpec]) -> Iterator[tuple[Cell, ...]]:
    for key, tensor in sorted(tensors.items()):
        dense = tensor.kind == "Dense"
        dtype, shape = python_name(tensor.dtype), shape_of(tensor.shape)
        if tensor.kind == "Composite":  # type and shape are those of its parts
            dtype, shape = "-", "-"
        remarks: list[str] = []
        if not dense:
            remarks.append(f"{tensor.kind.lower()}: TensorFlow Serving cannot use it")
        if tensor.has_default:
            remarks.append("has a default")
        names = ", ".join(tensor.tensors)
        yield side, Styled(key, "name"), dtype, shape, names, Styled("; ".join(remarks), "warn")


def shape_of(shape: tuple[int, ...] | None) -> str:
    """A shape for a person.

    >>> shape_of((-1, 4)), shape_of(()), shape_of(None)
    ('[any, 4]', 'scalar', 'unknown rank')
    """
    if shape is None:
        return "unknown rank"
    return f"[{', '.join('any' if n < 0 else str(n) for n in shape)}]" if shape else "scalar"


def _functions(version: Version) -> Iterator[Block]:
    for graph, functions in functions_of(version):
        if functions:
            title = f"Functions of [{', '.join(graph.tags)}]"
            yield line()
            yield line(Styled(title, "title"), "  for Python programs, not for clients of a server")
        for function in functions:
            for trace in function.traces:
                given = [value_of(value) for value in trace.arguments]
                given += [f"{key}={value_of(value)}" for key, value in trace.keywords.items()]
                yield line(Styled(function.name, "name"), f"({', '.join(given)})", indent=2)
            if not function.traces:
                yield line(Styled(function.name, "name"), "  never traced", indent=2)


def value_of(value: Any) -> str:
    """An argument of a function for a person.

    >>> value_of([True, None, {"x": TensorSpec("DT_FLOAT", (-1,), "x")}])
    '[True, None, {x: float32 [any]}]'
    """
    if isinstance(value, TensorSpec):
        name = f"{value.name}: " if value.name else ""
        return f"{name}{python_name(value.dtype)} {shape_of(value.shape)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_of, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(_entry(key, inner) for key, inner in value.items())}}}"
    return repr(value) if isinstance(value, str) else str(value)


def _entry(key: str, value: Any) -> str:
    shown = value_of(value)
    return shown if shown.startswith(f"{key}: ") else f"{key}: {shown}"


def _variables(bundle: BundleIndex, *, every: bool) -> Iterator[Block]:
    tensors = [entry for entry in bundle.entries if not entry.part_of]
    total = format_bytes(sum(bundle.shard_sizes))
    yield line(
        Styled("Variables", "title"),
        f"  {count_of(len(tensors), 'tensor')}, {total} in "
        f"{count_of(len(bundle.shard_sizes), 'shard')}",
    )
    if every:
        sizes = tensor_sizes(bundle)
        rows = tuple(
            (
                e.name,
                python_name(e.dtype),
                shape_of(e.shape),
                str(e.shard),
                format_bytes(sizes[e.name]),
            )
            for e in tensors
        )
        yield Table(rows, ("name", "dtype", "shape", "shard", "size"), right=(3, 4))
