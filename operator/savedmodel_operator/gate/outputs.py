"""How the outputs of a signature differ, by rows of the table. Pure.

Neighbours: `renames` (keys that an exporter chose), `tensors` (dtypes and shapes), `inputs`.
REST rows need one size of dimension 0 on every output, so an output is judged among the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from savedmodel_operator.gate.difference import Difference, Tensors, at, encoding_changed, found
from savedmodel_operator.gate.renames import renumbered_outputs
from savedmodel_operator.gate.table import TABLE
from savedmodel_operator.gate.tensors import (
    NO_RANK,
    Shape,
    differing_sizes,
    json_kind,
    output_dtype_row,
    shown,
    shown_shape,
    shown_size,
)
from savedmodel_operator.gate.verdict import short
from savedmodel_operator.savedmodel.facts import TensorSpec

_SCALAR = "scalar"


def differing_outputs(path: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    """Every difference between two sets of outputs; `path` is theirs."""
    if len(old) == 1 == len(new) and old.keys() != new.keys():
        yield from _sole_renamed(path, old, new)
        return
    pairs = dict(renumbered_outputs(old, new))
    for key in sorted({*old, *new} - set(pairs.values())):
        place = at(path, key)
        if key in pairs:
            yield _renumbered(path, key, pairs[key])
            yield from _output(at(path, pairs[key]), old[key], new[pairs[key]])
        elif key not in new:
            served = old[key].kind == "Dense"
            row = "output-removed" if served else "output-was-not-served"
            yield found(row, place, "removed", f"({shown(old[key])}) is gone")
        elif key in old:
            yield from _output(place, old[key], new[key])
        else:
            yield from _added(place, key, old, new)
    if len(old) > 1 and len(new) == 1:
        yield found("outputs-reduced-to-one", path, f"{len(old)} → 1", "has only one output left")


def _sole_renamed(path: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    (before, tensor), (after, _) = next(iter(old.items())), next(iter(new.items()))
    both_text = tensor.dtype == new[after].dtype == "DT_STRING"
    row = "sole-output-renamed"
    if both_text and before.endswith("_bytes") != after.endswith("_bytes"):
        row = "sole-output-renamed-bytes"
    change = f"{short(before)} → {short(after)}"
    numbered = renumbered_outputs(old, new)
    advice = TABLE["keras-output-renumbered"].advice if numbered else ""
    yield found(row, at(path, before), change, f"is now called {short(after)}", advice)
    yield from _output(at(path, after), tensor, new[after])


def _renumbered(path: str, before: str, after: str) -> Difference:
    change = f"{short(before)} → {short(after)}"
    fact = f"is now called {short(after)}"
    return found("keras-output-renumbered", at(path, before), change, fact)


def _added(path: str, key: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    """Several rows where one new output harms several clients for different reasons."""
    tensor = new[key]
    fact = f"({shown(tensor)}) is new"
    rows = []
    if tensor.kind != "Dense":
        rows.append("output-added-composite")
    elif json_kind(tensor.dtype) is None:
        rows.append("output-added-unwritable")
    elif tensor.shape == ():
        rows.append("output-added-scalar")
    elif old.keys() & new.keys() and _fits_none(key, old, new):
        rows.append("output-added-with-other-rows")
    if len(old) == 1:
        rows.append("output-added-to-one")
    for row in rows or ["output-added"]:
        yield found(row, path, "added", fact)


def _rows(tensor: TensorSpec) -> str:
    """The size of dimension 0, as far as the file says."""
    if tensor.shape is None:
        return NO_RANK
    return shown_size(tensor.shape[0]) if tensor.shape else _SCALAR


def _fits_none(key: str, old: Tensors, new: Tensors) -> bool:
    """Whether a new output has a dimension 0 that no output has that was there before."""
    return _rows(new[key]) not in {_rows(t) for name, t in new.items() if name in old}


def _output(path: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    if not old.kind == new.kind == "Dense":
        yield from encoding_changed("output", path, old, new)
        return
    if old.dtype != new.dtype:
        change = f"{old.dtype} → {new.dtype}"
        row = output_dtype_row(old.dtype, new.dtype)
        yield found(row, f"{path}.dtype", change, f"changed {change}")
    if old.shape != new.shape:
        yield from _shape(path, old.shape, new.shape)


def _shape(path: str, old: Shape, new: Shape) -> Iterator[Difference]:
    for place, dimension in differing_sizes(path, old, new):
        if dimension is None or old is None or new is None:
            before, after = shown_shape(old), shown_shape(new)
            row = _rank_row(old, new)
        else:
            before, after = shown_size(old[dimension]), shown_size(new[dimension])
            row = _size_row(dimension, old[dimension], new[dimension])
        change = f"{before} → {after}"
        yield found(row, place, change, f"changed {change}")


def _rank_row(old: Shape, new: Shape) -> str:
    if new is None:
        return "output-shape-unknown"
    if new == ():
        return "output-known-as-scalar" if old is None else "output-became-scalar"
    if old == ():
        return "output-was-scalar"
    if old is None:
        return "output-rows-fixed" if new[0] >= 0 else "output-shape-narrowed"
    return "output-shape-changed"


def _size_row(dimension: int, old: int, new: int) -> str:
    if new < 0:
        return "output-shape-unknown"
    if old >= 0:
        return "output-shape-changed"
    return "output-rows-fixed" if dimension == 0 else "output-shape-narrowed"
