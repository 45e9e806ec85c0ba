"""Tensors between numpy and TensorProto, for every type that has values.

Rules of tensorflow::Tensor::FromProto: `tensor_content` wins; a typed field that is too short
repeats its last value, an empty one means zeros. Works with the messages of `messages` and with
TensorFlow's own. Strings are object arrays of bytes.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from savedmodel_operator.client.arrays import Array, numpy_dtype
from savedmodel_operator.client.errors import NoAnswerError
from savedmodel_operator.savedmodel.dtypes import proto_name

_NUMBER = {proto_name(number): number for number in range(34)}

_FIELDS = {
    "DT_FLOAT": "float_val", "DT_DOUBLE": "double_val", "DT_INT64": "int64_val",
    "DT_BOOL": "bool_val", "DT_UINT32": "uint32_val", "DT_UINT64": "uint64_val",
    "DT_COMPLEX64": "scomplex_val", "DT_COMPLEX128": "dcomplex_val",
    "DT_HALF": "half_val", "DT_BFLOAT16": "half_val",
    "DT_FLOAT8_E5M2": "float8_val", "DT_FLOAT8_E4M3FN": "float8_val",
    "DT_FLOAT8_E4M3FNUZ": "float8_val", "DT_FLOAT8_E4M3B11FNUZ": "float8_val",
    "DT_FLOAT8_E5M2FNUZ": "float8_val", "DT_FLOAT4_E2M1FN": "float8_val",
}  # fmt: skip
"""Type → the field of its values; all that are left out travel as int32 in `int_val`."""

MAX_ELEMENTS = 1 << 31
"""A message is below 2 GiB, so an honest tensor has fewer elements; a shape alone may claim 2**63."""


def to_proto(array: Array, dtype: str, target: Any) -> None:
    """Writes an array into an empty TensorProto; numbers go as `tensor_content`."""
    target.dtype = _NUMBER[dtype]
    target.tensor_shape.SetInParent()
    for size in array.shape:
        target.tensor_shape.dim.add(size=size)
    if dtype == "DT_STRING":
        target.string_val.extend(array.ravel().tolist())
    else:
        target.tensor_content = _little(array).tobytes()


def _little(array: Array) -> Array:
    swap = array.dtype.kind in "fciu" and array.dtype.byteorder == ">"
    return array.astype(array.dtype.newbyteorder("<")) if swap else array


def from_proto(message: Any) -> tuple[str, Array]:
    """(proto name of the type, array) of a TensorProto.

    Raises NoAnswerError for bytes that are no tensor, MisfitError for a type without values.
    """
    dtype = proto_name(message.dtype)
    shape = tuple(int(dim.size) for dim in message.tensor_shape.dim)
    count = prod(shape)
    if message.tensor_shape.unknown_rank or min(shape, default=0) < 0 or count > MAX_ELEMENTS:
        raise NoAnswerError(f"the answer has a tensor of an impossible shape: {list(shape)}")
    if dtype == "DT_STRING":
        return dtype, _strings(message, count).reshape(shape)
    wanted = numpy_dtype(dtype)
    if message.tensor_content:
        if len(message.tensor_content) != count * wanted.itemsize:
            raise NoAnswerError(
                f"the answer has a tensor of {count} elements in "
                f"{len(message.tensor_content)} bytes of {wanted.name}"
            )
        return dtype, np.frombuffer(message.tensor_content, dtype=wanted).reshape(shape)
    return dtype, _repeat(_typed(message, dtype, wanted), count, wanted).reshape(shape)


def _typed(message: Any, dtype: str, wanted: np.dtype[Any]) -> Array:
    """The values that the type's own field holds."""
    field = _FIELDS.get(dtype, "int_val")
    if field == "float8_val":
        return np.frombuffer(message.float8_val, dtype=wanted)
    values = np.array(getattr(message, field), dtype=_wire(field))
    if field == "half_val":
        return values.astype(np.uint16).view(wanted)
    if field.endswith("complex_val"):
        return values[: len(values) // 2 * 2].view(wanted)
    return values.astype(wanted)


def _wire(field: str) -> str:
    return {
        "float_val": "f4", "double_val": "f8", "scomplex_val": "f4", "dcomplex_val": "f8",
        "int64_val": "i8", "bool_val": "?", "uint32_val": "u4", "uint64_val": "u8",
    }.get(field, "i4")  # fmt: skip


def _repeat(given: Array, count: int, wanted: np.dtype[Any]) -> Array:
    if len(given) >= count:
        return given[:count]
    filled = np.zeros(count, dtype=wanted)
    if len(given):
        filled[: len(given)] = given
        filled[len(given) :] = given[-1]
    return filled


def _strings(message: Any, count: int) -> Array:
    found = np.empty(count, dtype=object)
    if message.tensor_content:
        found[:] = _string_content(message.tensor_content, count)
        return found
    given = list(message.string_val[:count])
    found[:] = given + [given[-1] if given else b""] * (count - len(given))
    return found


def _string_content(content: bytes, count: int) -> list[bytes]:
    """`count` varint lengths, then the bytes (tensorflow::port::DecodeStringList)."""
    lengths, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                raise NoAnswerError("the answer has a tensor of strings that breaks off")
            byte, at = content[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(value)
    if sum(lengths) != len(content) - at:
        raise NoAnswerError("the answer has a tensor of strings with wrong lengths")
    found = []
    for length in lengths:
        found.append(content[at : at + length])
        at += length
    return found
