"""TensorFlow's element types: number on the wire, proto name, Python name. Pure data.

Source: `tensorflow/core/framework/types.proto`; a test compares it with the installed TensorFlow.
"""

from __future__ import annotations

_ROWS = (
    (0, "DT_INVALID", "invalid"), (1, "DT_FLOAT", "float32"), (2, "DT_DOUBLE", "float64"),
    (3, "DT_INT32", "int32"), (4, "DT_UINT8", "uint8"), (5, "DT_INT16", "int16"),
    (6, "DT_INT8", "int8"), (7, "DT_STRING", "string"), (8, "DT_COMPLEX64", "complex64"),
    (9, "DT_INT64", "int64"), (10, "DT_BOOL", "bool"), (11, "DT_QINT8", "qint8"),
    (12, "DT_QUINT8", "quint8"), (13, "DT_QINT32", "qint32"), (14, "DT_BFLOAT16", "bfloat16"),
    (15, "DT_QINT16", "qint16"), (16, "DT_QUINT16", "quint16"), (17, "DT_UINT16", "uint16"),
    (18, "DT_COMPLEX128", "complex128"), (19, "DT_HALF", "float16"),
    (20, "DT_RESOURCE", "resource"), (21, "DT_VARIANT", "variant"), (22, "DT_UINT32", "uint32"),
    (23, "DT_UINT64", "uint64"), (24, "DT_FLOAT8_E5M2", "float8_e5m2"),
    (25, "DT_FLOAT8_E4M3FN", "float8_e4m3fn"), (26, "DT_FLOAT8_E4M3FNUZ", "float8_e4m3fnuz"),
    (27, "DT_FLOAT8_E4M3B11FNUZ", "float8_e4m3b11fnuz"),
    (28, "DT_FLOAT8_E5M2FNUZ", "float8_e5m2fnuz"), (29, "DT_INT4", "int4"),
    (30, "DT_UINT4", "uint4"), (31, "DT_INT2", "int2"), (32, "DT_UINT2", "uint2"),
    (33, "DT_FLOAT4_E2M1FN", "float4_e2m1fn"),
)  # fmt: skip

_REFERENCE = 100
"""TF1 marks a reference to a variable by adding 100 to the number (`DT_FLOAT_REF` is 101)."""

_PROTO = {number: proto for number, proto, _ in _ROWS}
_NUMBER = {proto: number for number, proto, _ in _ROWS}
_PYTHON = {proto: python for _, proto, python in _ROWS}

INTEGERS = frozenset(f"DT_{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
"""Types that REST clients write as whole numbers."""

FLOATS = frozenset({"DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16"})
"""Types that REST clients write as numbers with or without a fraction."""


def proto_name(number: int) -> str:
    """The proto's name of a DataType, `DT_<number>` for one that this table does not know.

    >>> proto_name(1), proto_name(103), proto_name(77)
    ('DT_FLOAT', 'DT_INT32_REF', 'DT_77')
    """
    if number in _PROTO:
        return _PROTO[number]
    if number - _REFERENCE in _PROTO:
        return f"{_PROTO[number - _REFERENCE]}_REF"
    return f"DT_{number}"


def proto_number(name: str) -> int | None:
    """The reverse of `proto_name`; None for a name that this table does not know.

    >>> proto_number("DT_FLOAT"), proto_number("DT_INT32_REF"), proto_number("DT_77")
    (1, 103, None)
    """
    if name.endswith("_REF") and name[:-4] in _NUMBER:
        return _NUMBER[name[:-4]] + _REFERENCE
    return _NUMBER.get(name)


def python_name(proto: str) -> str:
    """TensorFlow's Python name of a proto name, the same text for one that is not known.

    >>> python_name("DT_HALF"), python_name("DT_77")
    ('float16', 'DT_77')
    """
    return _PYTHON.get(proto, proto)
