"""Values for inputs: literals and arrays to numpy arrays of exactly the wanted type and shape.

Serving's session accepts no other element type and leaves a wrong shape to the kernels; so both are
said here, with the input's name, what it wants and what was given. Strings are arrays of `bytes`
objects: numpy's own fixed-width kind would drop trailing zero bytes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from savedmodel_operator.client.errors import MisfitError, load
from savedmodel_operator.client.surface import shape_words, tensor_words
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

Array = npt.NDArray[Any]

_PLAIN = {
    "DT_FLOAT": "f4", "DT_DOUBLE": "f8", "DT_HALF": "f2", "DT_BOOL": "?", "DT_COMPLEX64": "c8",
    "DT_COMPLEX128": "c16", "DT_INT8": "i1", "DT_INT16": "i2", "DT_INT32": "i4", "DT_INT64": "i8",
    "DT_UINT8": "u1", "DT_UINT16": "u2", "DT_UINT32": "u4", "DT_UINT64": "u8",
    "DT_QINT8": "i1", "DT_QUINT8": "u1", "DT_QINT16": "i2", "DT_QUINT16": "u2", "DT_QINT32": "i4",
    "DT_STRING": "O",
}  # fmt: skip

NARROW = (
    "DT_BFLOAT16", "DT_FLOAT8_E5M2", "DT_FLOAT8_E4M3FN", "DT_FLOAT8_E4M3FNUZ",
    "DT_FLOAT8_E4M3B11FNUZ", "DT_FLOAT8_E5M2FNUZ", "DT_INT4", "DT_UINT4", "DT_INT2", "DT_UINT2",
    "DT_FLOAT4_E2M1FN",
)  # fmt: skip
"""Types that numpy lacks; ml_dtypes has them under TensorFlow's own names."""


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type of a proto name. Raises MisfitError for a type that has no values."""
    if dtype in _PLAIN:
        return np.dtype(_PLAIN[dtype])
    if dtype in NARROW:
        narrow = load("ml_dtypes", "run", f"a tensor of {python_name(dtype)}")
        found: np.dtype[Any] = np.dtype(getattr(narrow, python_name(dtype)))
        return found
    raise MisfitError(f"{python_name(dtype)} has no values that could be given or shown")


def proto_of(dtype: np.dtype[Any]) -> str:
    """The proto name of a numpy type, its own name where there is none.

    >>> proto_of(np.dtype("f4")), proto_of(np.dtype("O")), proto_of(np.dtype("M8[s]"))
    ('DT_FLOAT', 'DT_STRING', 'datetime64[s]')
    """
    if dtype.kind in "SUO":
        return "DT_STRING"
    name = next((key for key, code in _PLAIN.items() if np.dtype(code) == dtype), None)
    return name or next((key for key in NARROW if python_name(key) == dtype.name), dtype.name)


def check_keys(signature: Signature, given: Mapping[str, object]) -> None:
    """Raises MisfitError for unknown inputs, missing ones, and those that nobody can feed."""
    known = ", ".join(sorted(signature.inputs)) or "none"
    unknown = sorted(given.keys() - signature.inputs.keys())
    if unknown:
        raise MisfitError(f"there is no input {unknown[0]!r}; the signature has {known}")
    for key, tensor in sorted(signature.inputs.items()):
        if tensor.kind != "Dense":
            raise MisfitError(
                f"input {key!r} is {tensor.kind.lower()}: it cannot be fed through a signature, "
                "by Serving neither"
            )
        if key not in given and not tensor.has_default:
            raise MisfitError(f"input {key!r} is missing: it wants {tensor_words(tensor)}")


def fit_literal(key: str, tensor: TensorSpec, value: object) -> Array:
    """A Python literal (numbers, text, nested lists) as the tensor that an input wants.

    Raises MisfitError where a value would change, such as 1.5 for a whole number.
    """
    try:
        flat, shape = flatten(value)
    except ValueError as error:
        raise MisfitError(f"input {key!r}: {error}") from None
    wanted = numpy_dtype(tensor.dtype)
    elements = [_element(key, tensor, wanted, element) for element in flat]
    array = np.empty(len(elements), dtype=wanted)
    with np.errstate(over="ignore"):
        array[:] = elements
    if wanted.kind == "f" or tensor.dtype in NARROW:
        finite = [not isinstance(e, int | float) or math.isfinite(e) for e in elements]
        wide = array.astype(np.float64)
        lost = np.array(finite, dtype=bool) & ~np.isfinite(wide)
        if lost.any():
            worst = elements[int(lost.argmax())]
            raise MisfitError(
                f"input {key!r}: {worst} is too large for {python_name(tensor.dtype)}"
            )
    return _fit_shape(key, tensor, array.reshape(shape))


def flatten(value: object) -> tuple[list[Any], tuple[int, ...]]:
    """Elements of nested lists in row-major order, and the shape. Raises ValueError for ragged ones.

    >>> flatten([[1, 2], [3, 4]])
    ([1, 2, 3, 4], (2, 2))
    """
    shape: list[int] = []
    level: list[Any] = [value]
    while level and any(isinstance(part, list | tuple) for part in level):
        sizes = {len(part) if isinstance(part, list | tuple) else -1 for part in level}
        if len(sizes) > 1:
            raise ValueError(f"the lists at depth {len(shape)} differ in length")
        shape.append(sizes.pop())
        level = list(itertools.chain.from_iterable(level))
    return level, tuple(shape)


def _element(key: str, tensor: TensorSpec, wanted: np.dtype[Any], value: object) -> object:
    if tensor.dtype == "DT_STRING":
        if isinstance(value, str | bytes):
            return value.encode() if isinstance(value, str) else value
    elif wanted.kind == "b":
        if isinstance(value, bool):
            return value
    elif isinstance(value, bool) or not isinstance(value, int | float | complex):
        pass
    elif _is_whole(tensor.dtype, wanted):
        if isinstance(value, int):
            return _in_range(key, tensor, wanted, value)
    elif wanted.kind == "c" or not isinstance(value, complex):
        return _as_float(key, tensor, value)
    kind = type(value).__name__
    raise MisfitError(
        f"input {key!r} wants {tensor_words(tensor)}, given is {value!r:.60} of type {kind}"
    )


def _is_whole(dtype: str, wanted: np.dtype[Any]) -> bool:
    return wanted.kind in "iu" or "INT" in dtype


def _as_float(key: str, tensor: TensorSpec, value: int | float | complex) -> float | complex:
    try:
        return float(value) if isinstance(value, int) else value  # type: ignore[unused-ignore]
    except OverflowError:
        raise MisfitError(
            f"input {key!r}: {str(value)[:20]}… is too large for {python_name(tensor.dtype)}"
        ) from None


def _in_range(key: str, tensor: TensorSpec, wanted: np.dtype[Any], value: int) -> int:
    if tensor.dtype in NARROW:
        limits = load("ml_dtypes", "run", "a narrow integer").iinfo(wanted)
    else:
        limits = np.iinfo(wanted)
    if not int(limits.min) <= value <= int(limits.max):
        raise MisfitError(
            f"input {key!r}: {value} does not fit into {python_name(tensor.dtype)} "
            f"({int(limits.min)} to {int(limits.max)})"
        )
    return value


def fit_array(key: str, tensor: TensorSpec, array: Array, *, cast: bool = False) -> Array:
    """An array from a file as the tensor that an input wants.

    The element type must be the wanted one; `cast` allows numpy's "same_kind" conversions.
    Raises MisfitError with what is wanted and what was given.
    """
    wanted = numpy_dtype(tensor.dtype)
    if tensor.dtype == "DT_STRING" and array.dtype.kind in "SUO":
        return _fit_shape(key, tensor, _as_strings(key, tensor, array))
    native = array.dtype.newbyteorder("=")
    if native.kind == "V" and native.itemsize == wanted.itemsize and tensor.dtype in NARROW:
        array = array.view(wanted)  # how numpy reads back what it wrote of a type it lacks
    elif native != wanted and not (cast and _is_convertible(native, wanted)):
        raise MisfitError(_type_words(key, tensor, array, wanted, cast=cast))
    return _fit_shape(key, tensor, array.astype(wanted, copy=False))


def _type_words(
    key: str, tensor: TensorSpec, array: Array, wanted: np.dtype[Any], *, cast: bool
) -> str:
    given = f"{python_name(proto_of(array.dtype))} {shape_words(array.shape)}"
    text = f"input {key!r} wants {tensor_words(tensor)}, given is {given}"
    if not cast and _is_convertible(array.dtype, wanted):
        return f"{text}; --cast converts it"
    return text


def _is_convertible(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    return given.kind not in "SUOV" and np.can_cast(given, wanted, "same_kind")


def _as_strings(key: str, tensor: TensorSpec, array: Array) -> Array:
    found = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        if not isinstance(value, str | bytes):
            raise MisfitError(
                f"input {key!r} wants {tensor_words(tensor)}, given is an object of type "
                f"{type(value).__name__}"
            )
        found[index] = value.encode() if isinstance(value, str) else bytes(value)
    return found


def _fit_shape(key: str, tensor: TensorSpec, array: Array) -> Array:
    wanted = tensor.shape
    if wanted is not None and (
        len(wanted) != array.ndim
        or any(size not in (-1, given) for size, given in zip(wanted, array.shape, strict=True))
    ):
        raise MisfitError(
            f"input {key!r} wants {tensor_words(tensor)}, given is {shape_words(array.shape)}"
        )
    return array
