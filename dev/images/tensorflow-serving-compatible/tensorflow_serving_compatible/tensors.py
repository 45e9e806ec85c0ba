"""Tensors between their protocol form and memory.

A `Tensor` is dtype, shape and either a flat numpy array or, for strings, a list of bytes. The
rules are those of tensorflow::Tensor::FromProto and AsProtoField: `tensor_content` wins; a value
field that is too short repeats its last value, an empty one means zeros, a longer one is cut.
Pure; knows neither JSON nor the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tensorflow_serving_compatible.protos import tensor_pb2, types_pb2

DT_STRING: int = types_pb2.DT_STRING
DT_FLOAT: int = types_pb2.DT_FLOAT

# dtype → (numpy storage, value field, numpy type of that field). Half precisions are carried as
# their bit patterns, which is also how `half_val` carries them.
_NUMERIC: dict[int, tuple[str, str, str]] = {
    types_pb2.DT_FLOAT: ("<f4", "float_val", "<f4"),
    types_pb2.DT_DOUBLE: ("<f8", "double_val", "<f8"),
    types_pb2.DT_INT32: ("<i4", "int_val", "<i4"),
    types_pb2.DT_UINT8: ("u1", "int_val", "<i4"),
    types_pb2.DT_INT16: ("<i2", "int_val", "<i4"),
    types_pb2.DT_INT8: ("i1", "int_val", "<i4"),
    types_pb2.DT_COMPLEX64: ("<c8", "scomplex_val", "<f4"),
    types_pb2.DT_INT64: ("<i8", "int64_val", "<i8"),
    types_pb2.DT_BOOL: ("?", "bool_val", "?"),
    types_pb2.DT_QINT8: ("i1", "int_val", "<i4"),
    types_pb2.DT_QUINT8: ("u1", "int_val", "<i4"),
    types_pb2.DT_QINT32: ("<i4", "int_val", "<i4"),
    types_pb2.DT_BFLOAT16: ("<u2", "half_val", "<i4"),
    types_pb2.DT_QINT16: ("<i2", "int_val", "<i4"),
    types_pb2.DT_QUINT16: ("<u2", "int_val", "<i4"),
    types_pb2.DT_UINT16: ("<u2", "int_val", "<i4"),
    types_pb2.DT_COMPLEX128: ("<c16", "dcomplex_val", "<f8"),
    types_pb2.DT_HALF: ("<u2", "half_val", "<i4"),
    types_pb2.DT_UINT32: ("<u4", "uint32_val", "<u4"),
    types_pb2.DT_UINT64: ("<u8", "uint64_val", "<u8"),
}

# A tensor of more elements than this cannot arrive: a request is below 2 GiB.
MAX_ELEMENTS = 1 << 31


@dataclass(frozen=True)
class Tensor:
    """`values` holds prod(shape) elements in row-major order."""

    dtype: int
    shape: tuple[int, ...]
    values: Any

    @property
    def size(self) -> int:
        return prod(self.shape)


def dtype_name(dtype: int) -> str:
    """`DT_FLOAT` → `float`, as tensorflow::DataTypeString prints it."""
    try:
        return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()
    except ValueError:
        return f"unknown dtype enum ({dtype})"


def shape_text(shape: tuple[int, ...]) -> str:
    """`[2,3]`, as TensorShape::DebugString prints it."""
    return "[" + ",".join(map(str, shape)) + "]"


def storage(dtype: int) -> str | None:
    """The numpy type that holds a dtype's elements; None for strings and unsupported types."""
    entry = _NUMERIC.get(dtype)
    return entry[0] if entry else None


def from_proto(message: Any) -> Tensor | None:
    """The tensor of a TensorProto, or None where TensorFlow could not parse it either."""
    if message.tensor_shape.unknown_rank:
        return None
    shape = tuple(int(dim.size) for dim in message.tensor_shape.dim)
    if any(size < 0 for size in shape) or prod(shape) > MAX_ELEMENTS:
        return None
    if message.dtype == DT_STRING:
        strings = _strings(message, prod(shape))
        return None if strings is None else Tensor(DT_STRING, shape, strings)
    if message.dtype not in _NUMERIC:
        return None
    array = _numbers(message, prod(shape))
    return None if array is None else Tensor(message.dtype, shape, array)


def _strings(message: Any, count: int) -> list[bytes] | None:
    if message.tensor_content:
        return _string_content(message.tensor_content, count)
    given = list(message.string_val[:count])
    return given + [given[-1] if given else b""] * (count - len(given))


def _string_content(content: bytes, count: int) -> list[bytes] | None:
    """`count` varint lengths, then the bytes (tensorflow::port::DecodeStringList)."""
    lengths, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                return None
            byte = content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        lengths.append(value)
    if sum(lengths) != len(content) - at:
        return None
    found = []
    for length in lengths:
        found.append(content[at : at + length])
        at += length
    return found


def _numbers(message: Any, count: int) -> np.ndarray | None:
    kept, name, wire = _NUMERIC[message.dtype]
    kept_type = np.dtype(kept)
    if message.tensor_content:
        if len(message.tensor_content) != count * kept_type.itemsize:
            return None
        return np.frombuffer(message.tensor_content, dtype=kept_type)
    given = np.array(getattr(message, name), dtype=wire)
    if name.endswith("complex_val"):
        given = given[: len(given) // 2 * 2].view(kept_type)
    # Narrow integers travel as int32; C++ casts them, which wraps like astype does.
    given = given[:count].astype(kept_type)
    if len(given) == count:
        return given
    filled = np.zeros(count, dtype=kept_type)
    if len(given):
        filled[: len(given)] = given
        filled[len(given) :] = given[-1]
    return filled


def to_proto(tensor: Tensor, target: Any, *, as_content: bool = False) -> None:
    """Writes a tensor into a TensorProto: typed fields, or `tensor_content` when asked for."""
    target.dtype = tensor.dtype
    target.tensor_shape.SetInParent()
    for size in tensor.shape:
        target.tensor_shape.dim.add(size=size)
    if tensor.dtype == DT_STRING:
        target.string_val.extend(tensor.values)
        return
    kept, name, wire = _NUMERIC[tensor.dtype]
    if as_content:
        target.tensor_content = np.ascontiguousarray(tensor.values, dtype=kept).tobytes()
        return
    values = tensor.values
    if name.endswith("complex_val"):
        values = values.view(wire)
    getattr(target, name).extend(values.tolist())


def new_proto(tensor: Tensor) -> Any:
    message = tensor_pb2.TensorProto()
    to_proto(tensor, message)
    return message
