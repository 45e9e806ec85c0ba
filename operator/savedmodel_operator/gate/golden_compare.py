"""How far two answers of a model are apart: structure first, then value by value. Pure.

Works on REST responses (`predictions`, `outputs`, `results`), brought into one form: output name →
nested lists. Knows numbers, not verdicts: `golden` makes sentences and reasons of what is found.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.gate.verdict import listed, short

MAX_DEPTH = 64
"""Nested lists; TensorFlow's own limit for the rank of a tensor is 254, models use up to 6."""

FLOATS = frozenset({"DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16"})


class StructureError(ValueError):
    """The answers cannot be compared value by value; the text says where they differ."""


@dataclass(frozen=True)
class Limit:
    """|seen - wanted| ≤ absolute + relative × |wanted|; `exact`: integers may not differ at all."""

    absolute: float
    relative: float = 0.0
    exact: bool = False

    def allows(self, wanted: float, seen: float) -> bool:
        """Whether two numbers are near enough. NaN is near NaN only, an infinity itself only."""
        if wanted == seen or (_is_nan(wanted) and _is_nan(seen)):
            return True
        if self.exact or not (_is_finite(wanted) and _is_finite(seen)):
            return False
        try:
            return abs(seen - wanted) <= self.absolute + self.relative * abs(wanted)
        except OverflowError:  # an integer beyond every float
            return False


@dataclass(frozen=True)
class Difference:
    """Two values that are not near enough. `off` is infinite where no number says how far."""

    output: str
    path: str
    wanted: Any
    seen: Any
    off: float
    limit: Limit


@dataclass(frozen=True)
class Comparison:
    """`worst` is the value farthest beyond its limit; `off` counts them, `values` all."""

    values: int = 0
    off: int = 0
    worst: Difference | None = None


def read_outputs(response: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Output → values of a REST response; a row answer with several outputs is turned.

    `names` are the outputs of the signature: an answer with bare values does not name its only
    one. Raises StructureError.
    """
    single = names[0] if len(names) == 1 else "output"
    if "results" in response:
        return {"results": response["results"]}
    if "outputs" in response:
        found = response["outputs"]
        return dict(found) if _is_named(found) else {single: found}
    rows = response.get("predictions")
    if not isinstance(rows, list):
        raise StructureError("the answer has none of predictions, outputs and results")
    if not rows or not any(_is_named(row) for row in rows):
        return {single: rows}
    if any(not _is_named(row) or row.keys() != rows[0].keys() for row in rows):
        raise StructureError("the rows of predictions have different outputs")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _is_named(value: Any) -> bool:
    """Whether it maps outputs to values; {"b64": …} is one value."""
    return isinstance(value, dict) and not _is_bytes(value)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def compare(
    wanted: Mapping[str, Any], seen: Mapping[str, Any], limits: Mapping[str, Limit]
) -> Comparison:
    """Every output of `wanted`; further ones of `seen` are the signature checks' matter.

    Raises StructureError with the path.
    """
    missing = sorted(wanted.keys() - seen.keys())
    if missing:
        raise StructureError(
            f"outputs {listed(missing)} are missing, there are {listed(sorted(seen))}"
        )
    for name in wanted:
        _check_shape(short(name), wanted[name], seen[name])
    values, off, worst = 0, 0, None
    for name in wanted:
        for path, first, second in _pairs(short(name), wanted[name], seen[name], 0):
            values += 1
            distance = _distance(first, second, limits[name])
            if distance is not None:
                off += 1
                found = Difference(name, path, first, second, distance, limits[name])
                worst = found if worst is None or _beyond(found) > _beyond(worst) else worst
    return Comparison(values, off, worst)


def _check_shape(path: str, wanted: Any, seen: Any) -> None:
    """The sizes that a whole shape can tell; `_pairs` finds where ragged lists differ."""
    first, second = _shape(wanted), _shape(seen)
    if first != second:
        raise StructureError(f"{path}: expected shape {first}, got {second}")


def _shape(value: Any) -> list[int]:
    sizes: list[int] = []
    while isinstance(value, list) and len(sizes) <= MAX_DEPTH:
        sizes.append(len(value))
        value = value[0] if value else None
    return sizes


def _pairs(path: str, wanted: Any, seen: Any, depth: int) -> Iterator[tuple[str, Any, Any]]:
    if depth > MAX_DEPTH:
        raise StructureError(f"{path[:80]}… is nested deeper than {MAX_DEPTH} lists")
    if not isinstance(wanted, list) and not isinstance(seen, list):
        yield path, wanted, seen
        return
    if not isinstance(wanted, list) or not isinstance(seen, list) or len(wanted) != len(seen):
        raise StructureError(f"{path}: expected {_kind(wanted)}, got {_kind(seen)}")
    for index, (first, second) in enumerate(zip(wanted, seen, strict=True)):
        yield from _pairs(f"{path}[{index}]", first, second, depth + 1)


def _kind(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else "a single value"


def _distance(wanted: Any, seen: Any, limit: Limit) -> float | None:
    """How far apart two values are; None where they are near enough."""
    if _is_number(wanted) and _is_number(seen):
        return None if limit.allows(wanted, seen) else _gap(wanted, seen)
    if type(wanted) is type(seen) and not isinstance(wanted, dict) and wanted == seen:
        return None
    first, second = _text(wanted), _text(seen)
    return None if first is not None and first == second else math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nan(value: float) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _gap(wanted: float, seen: float) -> float:
    try:
        off = float(abs(seen - wanted))
    except OverflowError:
        return math.inf
    return math.inf if math.isnan(off) else off


def _beyond(found: Difference) -> float:
    """How far beyond its limit."""
    if not _is_number(found.wanted) or math.isinf(found.off):
        return math.inf
    try:
        size = abs(float(found.wanted))
    except OverflowError:
        return math.inf
    return found.off - found.limit.absolute - found.limit.relative * size


def _text(value: Any) -> bytes | None:
    """A string of either spelling as bytes; None for what is none."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if _is_bytes(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            return None
    return None
