"""How dtypes and shapes of one tensor differ, and how JSON carries a dtype. Pure.

Used by `inputs` and `outputs`; knows nothing of clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from savedmodel_operator.savedmodel.dtypes import FLOATS, INTEGERS
from savedmodel_operator.savedmodel.facts import TensorSpec

_UNWRITABLE = frozenset({"DT_HALF", "DT_BFLOAT16", "DT_UINT16"})
"""Numbers that TensorFlow Serving's JSON can neither read nor write (util/json_tensor.cc)."""

_UNCHECKED = frozenset({"DT_INT8", "DT_INT16", "DT_UINT8"})
"""Integers for which util/json_tensor.cc takes every int32; the tensor then casts it."""

_INT32 = (-(2**31), 2**31 - 1)

BITS = {"DT_FLOAT": 24, "DT_DOUBLE": 53}
"""Bits of the mantissa: whole numbers up to that width survive."""

_MOST_SIZES = 16
"""Dimensions that a text shows; TensorFlow allows 254."""

ANY, NO_RANK = "any", "unknown rank"

Shape = tuple[int, ...] | None


def json_kind(dtype: str) -> str | None:
    """How JSON writes it; None where TensorFlow Serving's JSON cannot.

    >>> json_kind("DT_INT8"), json_kind("DT_BOOL"), json_kind("DT_HALF")
    ('number', 'bool', None)
    """
    if dtype in _UNWRITABLE:
        return None
    if dtype in INTEGERS or dtype in FLOATS:
        return "number"
    return {"DT_STRING": "string", "DT_BOOL": "bool"}.get(dtype)


def input_dtype_row(old: str, new: str) -> str:
    """The row of an input that changed from one dtype to another.

    >>> input_dtype_row("DT_INT32", "DT_INT64"), input_dtype_row("DT_INT32", "DT_INT8")
    ('input-dtype-widened', 'input-dtype-wrapped')
    """
    before, after = json_kind(old), json_kind(new)
    if before is None or after is None:
        return "input-dtype-was-unwritable" if after else "input-dtype-unwritable"
    if before != after:
        return "input-dtype-kind"
    if old in FLOATS:
        if new in INTEGERS:
            return "input-float-to-integer"
        return "input-dtype-widened" if BITS[new] > BITS[old] else "input-float-narrowed"
    return _integer_row(old, new)


def _integer_row(old: str, new: str) -> str:
    low, high = integer_range(old)
    if new in FLOATS:
        fits = high < 2 ** BITS[new]
        return "input-integer-to-float" if fits else "input-large-integer-to-float"
    lowest, highest = integer_range(new)
    if lowest <= low and high <= highest:
        return "input-dtype-widened"
    unchecked = new in _UNCHECKED and low >= _INT32[0] and high <= _INT32[1]
    return "input-dtype-wrapped" if unchecked else "input-dtype-narrowed"


def integer_range(dtype: str) -> tuple[int, int]:
    """Smallest and greatest value of an integer type.

    >>> integer_range("DT_INT8"), integer_range("DT_UINT8")
    ((-128, 127), (0, 255))
    """
    bits = int(re.sub(r"\D", "", dtype))
    return (0, 2**bits - 1) if "UINT" in dtype else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def output_dtype_row(old: str, new: str) -> str:
    """The row of an output that changed from one dtype to another."""
    before, after = json_kind(old), json_kind(new)
    if before is None and after is not None:
        return "output-dtype-was-unwritable"
    return "output-dtype-number" if before == after == "number" else "output-dtype-kind"


def differing_sizes(path: str, old: Shape, new: Shape) -> Iterator[tuple[str, int | None]]:
    """The path of everything that differs and its dimension, None for the rank."""
    if old is None or new is None or len(old) != len(new):
        if old != new:
            yield f"{path}.shape", None
        return
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            yield f"{path}.shape[{i}]", i


def shown_shape(shape: Shape) -> str:
    """A shape for a message, of bounded length.

    >>> shown_shape((-1, 4)), shown_shape(None), shown_shape((1,) * 99)[-8:]
    ('[-1,4]', 'unknown rank', '1,1,1,…]')
    """
    if shape is None:
        return NO_RANK
    more = ["…"] if len(shape) > _MOST_SIZES else []
    return "[" + ",".join([*map(str, shape[:_MOST_SIZES]), *more]) + "]"


def shown_size(size: int) -> str:
    """One size for a message; -1 is any."""
    return ANY if size < 0 else str(size)


def shown(tensor: TensorSpec) -> str:
    """A tensor for a message, of bounded length."""
    return f"{tensor.dtype} {shown_shape(tensor.shape) if tensor.kind == 'Dense' else tensor.kind}"
