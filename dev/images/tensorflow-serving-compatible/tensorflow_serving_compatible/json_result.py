"""Answers in JSON: predictions, classifications, regressions and errors.

Layout and refusals of json_tensor.cc (MakeJsonFromTensors and its siblings): rows need one
common first dimension, a single output is written bare, names that end in `_bytes` become
`{"b64": …}`. Names are written in sorted order; the C++ maps have none. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_serving_compatible.errors import invalid_argument
from tensorflow_serving_compatible.json_tensor import Format
from tensorflow_serving_compatible.json_text import INDENT, decimals, quote
from tensorflow_serving_compatible.protos import types_pb2
from tensorflow_serving_compatible.tensors import DT_STRING, Tensor, dtype_name

_DECIMAL = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
_INTEGER = (
    types_pb2.DT_INT32, types_pb2.DT_INT16, types_pb2.DT_INT8, types_pb2.DT_UINT8,
    types_pb2.DT_INT64, types_pb2.DT_UINT32, types_pb2.DT_UINT64,
)  # fmt: skip


def error_json(message: str) -> str:
    return _object([("error", quote(message))], 0)


def tensors_json(tensors: Mapping[str, Tensor], form: Format) -> str:
    """The body of a predict answer; raises StatusError for what has no JSON form."""
    if not tensors:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    ordered = {name: tensors[name] for name in sorted(tensors)}
    return _rows(ordered) if form == "row" else _columns(ordered)


def _is_bytes(name: str, tensor: Tensor) -> bool:
    return tensor.dtype == DT_STRING and name.endswith("_bytes")


def _b64(value: bytes, depth: int) -> str:
    text = base64.b64encode(value).decode()
    return _object([("b64", f'"{text}"')], depth)


def _elements(name: str, tensor: Tensor, depth: int) -> list[str]:
    """Every element's JSON in row-major order."""
    if tensor.dtype in _DECIMAL:
        return decimals(tensor.values)
    if tensor.dtype in _INTEGER:
        return [str(value) for value in tensor.values.tolist()]
    if tensor.dtype == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in tensor.values.tolist()]
    if tensor.dtype != DT_STRING:
        raise invalid_argument(
            f"Failed to write JSON value for tensor type: {dtype_name(tensor.dtype)}"
        )
    if _is_bytes(name, tensor):
        return [_b64(value, depth) for value in tensor.values]
    return [quote(value.decode("utf-8", "surrogateescape")) for value in tensor.values]


def _group(parts: list[str], sizes: tuple[int, ...]) -> list[str]:
    """Nests a flat list into single-line arrays, innermost size last."""
    for size in reversed(sizes):
        if size == 0:
            # No element says how many arrays there are; only the outermost call knows.
            return []
        parts = ["[" + ", ".join(parts[at : at + size]) + "]" for at in range(0, len(parts), size)]
    return parts


def _row_values(name: str, tensor: Tensor, depth: int) -> list[str]:
    """The JSON of each row of a tensor: everything below its first dimension."""
    inner = tensor.shape[1:]
    if 0 in inner:
        # Empty arrays up to the zero size, once per row.
        cut = inner[: inner.index(0)]
        count = int(np.prod((tensor.shape[0], *cut), dtype=np.int64))
        return _group(["[]"] * count, cut)
    return _group(_elements(name, tensor, depth + len(inner)), inner)


def _rows(tensors: Mapping[str, Tensor]) -> str:
    batch = -1
    for name, tensor in tensors.items():
        if not tensor.shape:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch >= 0 and batch != tensor.shape[0]:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {tensor.shape[0]} "
                f"expecting: {batch}"
            )
        batch = tensor.shape[0]
    named = len(tensors) > 1
    depth = 3 if named else 2
    columns = {name: _row_values(name, tensor, depth) for name, tensor in tensors.items()}
    if not named:
        (values,) = columns.values()
        inside = ", ".join(values) + f"\n{INDENT}" if values else ""
    else:
        rows = [
            f"\n{INDENT * 2}" + _object([(name, columns[name][row]) for name in columns], 2)
            for row in range(batch)
        ]
        inside = ",".join(rows) + f"\n{INDENT}" if rows else ""
    return _object([("predictions", f"[{inside}]")], 0)


def _object(pairs: list[tuple[str, str]], depth: int) -> str:
    inner = INDENT * (depth + 1)
    lines = ",\n".join(f"{inner}{quote(name)}: {value}" for name, value in pairs)
    return "{\n" + lines + "\n" + INDENT * depth + "}"


def _tall(parts: list[str], shape: tuple[int, ...], depth: int) -> str:
    """One value in the default layout: every array element on its own line."""
    if not shape:
        return parts[0]
    if shape[0] == 0:
        return "[]"
    inner, outer = INDENT * (depth + 1), INDENT * depth
    step = len(parts) // shape[0]
    lines = [
        inner + _tall(parts[index * step : (index + 1) * step], shape[1:], depth + 1)
        for index in range(shape[0])
    ]
    return "[\n" + ",\n".join(lines) + f"\n{outer}]"


def _columns(tensors: Mapping[str, Tensor]) -> str:
    named = len(tensors) > 1
    depth = 2 if named else 1
    values = [
        (name, _tall(_elements(name, tensor, depth + len(tensor.shape)), tensor.shape, depth))
        for name, tensor in tensors.items()
    ]
    outputs = _object(values, 1) if named else values[0][1]
    return _object([("outputs", outputs)], 0)


def _floats(values: list[float]) -> list[str]:
    return decimals(np.array(values, dtype=np.float32))


def classification_json(result: Any) -> str:
    """A ClassificationResult: one list of [label, score] pairs per example."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for entry in result.classifications:
        scores = _floats([found.score for found in entry.classes])
        pairs = zip(entry.classes, scores, strict=True)
        rows.append(
            "[" + ", ".join(f"[{quote(found.label)}, {score}]" for found, score in pairs) + "]"
        )
    return _object([("results", f"[{', '.join(rows)}\n{INDENT}]")], 0)


def regression_json(result: Any) -> str:
    """A RegressionResult: one number per example."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = _floats([entry.value for entry in result.regressions])
    return _object([("results", f"[{', '.join(values)}]")], 0)
