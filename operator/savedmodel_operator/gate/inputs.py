"""How the inputs of a signature differ, by rows of the table. Pure.

Neighbours: `renames` (keys that an exporter chose), `tensors` (dtypes and shapes), `outputs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from savedmodel_operator.gate.difference import Difference, Tensors, at, encoding_changed, found
from savedmodel_operator.gate.renames import Pairs, flattened, is_sparse, renumbered_inputs
from savedmodel_operator.gate.table import TABLE
from savedmodel_operator.gate.tensors import (
    ANY,
    NO_RANK,
    Shape,
    differing_sizes,
    input_dtype_row,
    shown,
    shown_shape,
    shown_size,
)
from savedmodel_operator.gate.verdict import short
from savedmodel_operator.savedmodel.facts import TensorSpec


def differing_inputs(path: str, old: Tensors, new: Tensors) -> Iterator[Difference]:
    """Every difference between two sets of inputs; `path` is theirs, as `serving_default.inputs`."""
    pairs = renumbered_inputs(old, new)
    if pairs:
        yield from _renumbered(path, old, new, pairs)
    elif len(old) == 1 == len(new) and old.keys() != new.keys():
        pairs = ((next(iter(old)), next(iter(new))),)
        yield _renamed("sole-input-renamed", path, *pairs[0], _advice(pairs[0][1]))
    for before, after in pairs:
        yield from _input(at(path, after), old[before], new[after])
    gone, came = {before for before, _ in pairs}, {after for _, after in pairs}
    rest = {k: t for k, t in old.items() if k not in gone}
    others = {k: t for k, t in new.items() if k not in came}
    yield from _unpaired(path, rest, others, has_inputs=(bool(old), bool(new)))


def _renumbered(path: str, old: Tensors, new: Tensors, pairs: Pairs) -> Iterator[Difference]:
    sole = len(old) == 1 == len(new)
    row = "keras-input-renumbered" if sole else "keras-inputs-renumbered"
    for before, after in pairs:
        if before != after:
            yield _renamed(row, path, before, after)


def _renamed(row: str, path: str, before: str, after: str, advice: str = "") -> Difference:
    change = f"{short(before)} → {short(after)}"
    return found(row, at(path, before), change, f"is now called {short(after)}", advice)


def _advice(key: str) -> str:
    """Where a name was lost to Keras's numbering, exporting again will not bring it back."""
    return TABLE["keras-input-renumbered"].advice if key.startswith("keras_tensor") else ""


def _unpaired(
    path: str, old: Tensors, new: Tensors, has_inputs: tuple[bool, bool]
) -> Iterator[Difference]:
    split, joined = flattened(old, new), flattened(new, old)
    skipped: set[str] = set()
    for groups, row in ((split, "input-flattened"), (joined, "input-unflattened")):
        yield from _flattened(row, path, groups, old, new)
        skipped.update(*groups.values())
    for key in sorted({*old, *new} - skipped):
        place = at(path, key)
        if key in old and key in new:
            yield from _input(place, old[key], new[key])
        elif key in old:
            row = "input-removed" if has_inputs[1] else "last-input-removed"
            yield found(row, place, "removed", f"({shown(old[key])}) is gone")
        else:
            yield _added(place, new[key], first=not has_inputs[0])


def _flattened(
    row: str, path: str, groups: Mapping[str, tuple[str, ...]], old: Tensors, new: Tensors
) -> Iterator[Difference]:
    for key, components in sorted(groups.items()):
        names = ", ".join(short(name) for name in components)
        parts = new if row == "input-flattened" else old
        kind = "sparse" if is_sparse([parts[name] for name in components]) else "ragged"
        if row == "input-flattened":
            fact = f"({shown(old[key])}) is now {kind} and is sent as {names}"
            yield found(row, at(path, key), f"dense → {names}", fact)
        else:
            fact = f"was {kind}, sent as {names}, and is now dense ({shown(new[key])})"
            yield found(row, at(path, key), f"{names} → dense", fact)


def _added(path: str, tensor: TensorSpec, *, first: bool) -> Difference:
    if tensor.has_default and tensor.kind == "Dense":
        row = "first-input-with-default" if first else "input-added-with-default"
        return found(row, path, "added", f"({shown(tensor)}) is new and has a default")
    row = "first-input-required" if first else "input-added-required"
    return found(row, path, "added", f"({shown(tensor)}) is new and required")


def _input(path: str, old: TensorSpec, new: TensorSpec) -> Iterator[Difference]:
    if not old.kind == new.kind == "Dense":
        yield from encoding_changed("input", path, old, new)
        return
    if old.dtype != new.dtype:
        change = f"{old.dtype} → {new.dtype}"
        row = input_dtype_row(old.dtype, new.dtype)
        yield found(row, f"{path}.dtype", change, f"changed {change}")
    yield from _shape(path, old.shape, new.shape)
    yield from _default(f"{path}.default", old.default, new.default)


def _default(path: str, old: str | None, new: str | None) -> Iterator[Difference]:
    if old == new:
        return
    if new is None:
        yield found("default-removed", path, "removed", "lost its default")
    elif old is None:
        yield found("default-added", path, "added", "has a default now")
    else:
        yield found("default-changed", path, "changed", "has another value now")


def _shape(path: str, old: Shape, new: Shape) -> Iterator[Difference]:
    for place, dimension in differing_sizes(path, old, new):
        if dimension is None or old is None or new is None:
            before, after = shown_shape(old), shown_shape(new)
        else:
            before, after = shown_size(old[dimension]), shown_size(new[dimension])
        row = "input-shape-widened" if after in (ANY, NO_RANK) else "input-shape-narrowed"
        yield found(row, place, f"{before} → {after}", f"changed {before} → {after}")
