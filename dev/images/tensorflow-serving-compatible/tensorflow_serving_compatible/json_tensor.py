"""Predict requests in JSON: rows (`instances`) and columns (`inputs`) to tensors.

The rules, their order and the words of every refusal are those of
tensorflow_serving/util/json_tensor.cc (FillPredictRequestFromJson). Well-formed tensors are
read level by level at C speed; the first irregularity sends the request through the exact walk,
which finds the same fault in the same order as the C++ code does. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from tensorflow_serving_compatible.errors import Code, StatusError, invalid_argument
from tensorflow_serving_compatible.json_parse import members, parse
from tensorflow_serving_compatible.json_text import debug_text, type_name
from tensorflow_serving_compatible.protos import types_pb2
from tensorflow_serving_compatible.tensors import (
    DT_STRING,
    Tensor,
    dtype_name,
    shape_text,
    storage,
)

Format = Literal["row", "columnar"]
# Input name → dtype, of the signature that a request names.
InfoMap = Mapping[str, int]

_DECIMAL = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
_INT32 = (-(2**31), 2**31 - 1)
# dtype → the range of integers that RapidJSON's IsInt, IsInt64, IsUint and IsUint64 accept.
_RANGES = {
    types_pb2.DT_INT32: _INT32,
    types_pb2.DT_INT16: _INT32,
    types_pb2.DT_INT8: _INT32,
    types_pb2.DT_UINT8: _INT32,
    types_pb2.DT_INT64: (-(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: (0, 2**32 - 1),
    types_pb2.DT_UINT64: (0, 2**64 - 1),
}


@dataclass(frozen=True)
class PredictJson:
    signature_name: str
    inputs: dict[str, Tensor]
    format: Format


def is_base64_object(value: Any) -> bool:
    """`{"b64": "…"}` and nothing else in it."""
    return (
        isinstance(value, dict) and len(members(value)) == 1 and isinstance(value.get("b64"), str)
    )


_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def unescape_base64(text: str) -> bytes | None:
    """absl::Base64Unescape: white space is skipped, padding may be missing, never wrong."""
    body = "".join(text.split())
    stripped = body.rstrip("=.")
    padding = len(body) - len(stripped)
    if _NOT_BASE64.search(stripped) or len(stripped) % 4 == 1:
        return None
    if padding not in (0, -len(stripped) % 4):
        return None
    try:
        return base64.b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
    except binascii.Error:
        return None


def decode_base64_object(value: Any) -> bytes:
    if not is_base64_object(value):
        raise invalid_argument(
            f"JSON Value: {debug_text(value)} not formatted correctly for base64 data"
        )
    decoded = unescape_base64(value["b64"])
    if decoded is None:
        raise invalid_argument("Unable to base64 decode")
    return decoded


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def document(body: bytes) -> dict[str, Any]:
    """The top-level object of a request."""
    parsed = parse(body)
    if not isinstance(parsed, dict):
        raise invalid_argument(f"JSON Value: {debug_text(parsed)} Is not object")
    return parsed


def signature_name(doc: dict[str, Any]) -> str:
    name = doc.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {debug_text(doc)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def read_predict(body: bytes, info_map: Callable[[str], InfoMap]) -> PredictJson:
    """A predict request; `info_map` gives the inputs of a signature name (or raises)."""
    doc = document(body)
    name = signature_name(doc)
    infos = info_map(name)
    if not infos:
        raise invalid_argument(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in doc:
        if "inputs" in doc:
            raise _format_error(
                doc, "Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist ",
            )  # fmt: skip
        instances = doc["instances"]
        if not isinstance(instances, list):
            raise _format_error(doc, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _format_error(doc, "No values in 'instances' array")
        return PredictJson(name, _rows(instances, infos), "row")
    if "inputs" in doc:
        return PredictJson(name, _columns(doc["inputs"], infos), "columnar")
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _format_error(doc: dict[str, Any], text: str) -> StatusError:
    return invalid_argument(f"JSON Value: {debug_text(doc)} {text}")


def _type_error(value: Any, dtype: int) -> StatusError:
    return invalid_argument(
        f"JSON Value: {debug_text(value)} Type: {type_name(value)} is not of expected type: "
        f"{dtype_name(dtype)}"
    )


# --- one tensor, exactly -------------------------------------------------------------------


def _shape(value: Any) -> tuple[int, ...]:
    """Sizes along the first elements, as GetDenseTensorShape takes them."""
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _element(value: Any, dtype: int) -> Any:
    if isinstance(value, dict):
        if dtype != DT_STRING:
            raise _type_error(value, dtype)
        return decode_base64_object(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in _DECIMAL:
        good = number
    elif dtype in _RANGES:
        low, high = _RANGES[dtype]
        good = number and isinstance(value, int) and low <= value <= high
    elif dtype == DT_STRING:
        good = isinstance(value, str)
    elif dtype == types_pb2.DT_BOOL:
        good = isinstance(value, bool)
    else:
        raise StatusError(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {debug_text(value)} to type: {dtype_name(dtype)}",
        )
    if not good:
        raise _type_error(value, dtype)
    return to_bytes(value) if dtype == DT_STRING else value


def _fill(value: Any, level: int, shape: tuple[int, ...], dtype: int, out: list[Any]) -> None:
    """FillTensorProto: appends the elements below `value`, or names what is irregular."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        out.append(_element(value, dtype))
        return
    if level >= len(shape):
        raise invalid_argument(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, out)


def _tensor(values: list[Any], shape: tuple[int, ...], dtype: int) -> Tensor:
    if dtype == DT_STRING:
        return Tensor(dtype, shape, values)
    wide = "f8" if dtype in _DECIMAL else None
    with np.errstate(over="ignore"):  # a double beyond float's range is an infinity, as in C++
        array = np.array(values, dtype=wide or _wide(dtype)).astype(storage(dtype))
    return Tensor(dtype, shape, array)


def _wide(dtype: int) -> str:
    return {types_pb2.DT_BOOL: "?", types_pb2.DT_UINT64: "u8"}.get(dtype, "i8")


# --- one tensor, quickly -------------------------------------------------------------------


def _quick(value: Any, dtype: int) -> Tensor | None:
    """The tensor of a regular value; None sends the caller to the exact walk."""
    shape = _shape(value)
    level: list[Any] = [value]
    for size in shape:
        if not all(type(part) is list and len(part) == size for part in level):
            return None
        level = list(chain.from_iterable(level))
    kinds = set(map(type, level))
    if dtype in _DECIMAL:
        regular = kinds <= {int, float}
    elif dtype in _RANGES:
        low, high = _RANGES[dtype]
        regular = kinds <= {int} and (not level or (min(level) >= low and max(level) <= high))
    elif dtype == types_pb2.DT_BOOL:
        regular = kinds <= {bool}
    else:
        regular = dtype == DT_STRING and kinds <= {str}
        level = [to_bytes(text) for text in level] if regular else level
    return _tensor(level, shape, dtype) if regular else None


def _whole(value: Any, dtype: int) -> Tensor:
    """One JSON value as one tensor, with the exact words if it is none."""
    quick = _quick(value, dtype)
    if quick is not None:
        return quick
    shape = _shape(value)
    values: list[Any] = []
    _fill(value, 0, shape, dtype, values)
    return _tensor(values, shape, dtype)


# --- rows and columns ----------------------------------------------------------------------


def _columns(value: Any, infos: InfoMap) -> dict[str, Tensor]:
    if not isinstance(value, dict) or is_base64_object(value):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input "
                "tensors required as per tensorinfo_map"
            )
        (name, dtype), *_ = infos.items()
        return {name: _whole(value, dtype)}
    tensors = {}
    for name in sorted(infos):
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _whole(value[name], infos[name])
    return tensors


def _is_row_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64_object(value)


def _rows(instances: list[Any], infos: InfoMap) -> dict[str, Tensor]:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input "
            "tensors required as per tensorinfo_map"
        )
    quick = _quick_rows(instances, infos)
    return quick if quick is not None else _Rows(infos).read(instances)


def _quick_rows(instances: list[Any], infos: InfoMap) -> dict[str, Tensor] | None:
    if not _is_row_object(instances[0]):
        tensor = _quick(instances, next(iter(infos.values())))
        return None if tensor is None else {next(iter(infos)): tensor}
    if not all(type(row) is dict and row.keys() == infos.keys() for row in instances):
        return None
    tensors = {}
    for name, dtype in infos.items():
        tensor = _quick([row[name] for row in instances], dtype)
        if tensor is None:
            return None
        tensors[name] = tensor
    return tensors


class _Rows:
    """FillTensorMapFromInstancesList: every row checked against the first one."""

    def __init__(self, infos: InfoMap) -> None:
        self._infos = infos
        self._values: dict[str, list[Any]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._sizes: dict[str, int] = {}

    def read(self, instances: list[Any]) -> dict[str, Tensor]:
        objects = _is_row_object(instances[0])
        for index, row in enumerate(instances):
            if objects:
                self._add_object(row, index)
            else:
                self._add_plain(row, index)
        return {
            name: self._finish(name, len(instances), values)
            for name, values in self._values.items()
        }

    def _finish(self, name: str, count: int, values: list[Any]) -> Tensor:
        shape = (count, *self._shapes[name])
        size = Tensor(0, shape, ()).size
        # A name given twice in a row leaves more values than the shape has room for; the
        # protocol form drops the last ones.
        return _tensor(values[:size], shape, self._infos[name])

    def _add_object(self, row: Any, index: int) -> None:
        if not _is_row_object(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        for name, value in members(row):
            try:
                self._add(name, value)
            except StatusError as error:
                raise invalid_argument(
                    f"Failed to process element: {index} key: {name} of 'instances' list. "
                    f"Error: {error}"
                ) from None
        if row.keys() != self._infos.keys():
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{debug_text(row)} keys must be equal to: {','.join(sorted(self._infos))}"
            )

    def _add_plain(self, row: Any, index: int) -> None:
        if _is_row_object(row):
            raise invalid_argument(
                f"Expecting value/list but got object at item {index} of input list"
            )
        try:
            self._add(next(iter(self._infos)), row)
        except StatusError as error:
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. Error: {error}"
            ) from None

    def _add(self, name: str, value: Any) -> None:
        if name not in self._infos:
            raise invalid_argument(f"JSON object: does not have named input: {name}")
        shape = _shape(value)
        found: list[Any] = []
        _fill(value, 0, shape, self._infos[name], found)
        self._values.setdefault(name, []).extend(found)
        if name not in self._sizes:
            self._sizes[name], self._shapes[name] = len(found), shape
        elif self._sizes[name] != len(found):
            raise invalid_argument(
                f"Expecting tensor size: {self._sizes[name]} but got: {len(found)}"
            )
        elif self._shapes[name] != shape:
            raise invalid_argument(
                f"Expecting shape {shape_text(self._shapes[name])} but got: {shape_text(shape)}"
            )
