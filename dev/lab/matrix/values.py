"""The values that a client sends, per dtype: usual ones and the type's ends, as numpy and as JSON.

Neighbours: `ask` arranges them in tensors. Independent of the server's own conversions. Pure.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

import ml_dtypes
import numpy as np

Values = tuple[Any, ...]

_INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

_FLOATS: dict[str, tuple[Values, ...]] = {
    "float32": ((0.5, 1.0, -2.25), (1, 0, 3), (3.4028234e38, -1e-38, 16777217.0)),
    "float64": ((0.5, 1.0, -2.25), (1, 0, 3), (1.7e308, -1e-300, 0.1)),
    "float16": ((0.5, 1.0), (65504.0, -1.0)),
    "bfloat16": ((0.5, 1.0), (3e38, -1.0)),
    "complex64": ((1 + 2j, 0j),),
}
_OTHERS: dict[str, tuple[Values, ...]] = {
    "bool": ((True, False),),
    "string": ((b"a", b"", "ä€".encode()), (b"\xff\x00", b"12"), (b"1.5", b"true")),
}

_WIRE_ENUM = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF",
}  # fmt: skip


def python_dtype(proto: str) -> str:
    """`DT_FLOAT` → `float32`: the names that numpy uses.

    >>> python_dtype("DT_HALF"), python_dtype("DT_INT8")
    ('float16', 'int8')
    """
    found = [name for name, enum in _WIRE_ENUM.items() if enum == proto]
    return found[0] if found else proto.removeprefix("DT_").lower()


def pools(dtype: str) -> tuple[Values, ...]:
    """Groups of values; each makes requests of its own."""
    if dtype in _INTS:
        ends = np.iinfo(dtype)
        return ((1, 0, 2), (int(ends.min), int(ends.max), 1))
    return _FLOATS.get(dtype) or _OTHERS[dtype]


def fill(shape: tuple[int, ...], pool: Values) -> Any:
    """Nested lists of that shape, the values one after another."""
    size = int(np.prod(shape, dtype=np.int64))
    flat = np.empty(size, dtype=object)
    flat[:] = list(itertools.islice(itertools.cycle(pool), size))
    nested = flat.reshape(shape)
    return nested.tolist() if shape else nested[()]


def as_array(nested: Any, dtype: str) -> np.ndarray[Any, Any]:
    """The same as a numpy array for the wire; strings stay objects."""
    if dtype == "string":
        return np.array(nested, dtype=object)
    return np.array(nested, dtype=ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def as_json(nested: Any) -> Any:
    """The same for a JSON body; bytes that are no text as b64 objects."""
    if isinstance(nested, list):
        return [as_json(value) for value in nested]
    if isinstance(nested, bytes):
        try:
            return nested.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(nested).decode()}
    return nested
