"""The outputs of `savedmodel run`: for a person, as data, and as .npy files.

Names and values are the model's: a name never becomes a path of its own, a value never drives a
terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from savedmodel_operator.cli.output import Block, Styled, line
from savedmodel_operator.client.arrays import NARROW, Array, proto_of
from savedmodel_operator.client.bodies import text_or_b64
from savedmodel_operator.client.surface import shape_words
from savedmodel_operator.savedmodel.dtypes import python_name

SHOWN = 1000
"""Elements of one output that a person is shown whole; of longer ones the corners."""


class OutputsError(Exception):
    """A result could not be stored; the text says why."""


def plan_files(folder: Path, keys: list[str], *, overwrite: bool) -> dict[str, Path]:
    """Output → file. Raises OutputsError before anything is run if one is there already."""
    files = {key: folder / f"{quote(key, safe=' ')}.npy" for key in keys}
    for path in files.values():
        if path.exists() and not overwrite:
            raise OutputsError(f"{path} is there already; --overwrite replaces it")
    return files


def save(outputs: Mapping[str, Array], files: Mapping[str, Path]) -> None:
    """Writes each output into its file, without Python objects in it.

    Raises OutputsError for a folder that cannot be written and for strings that .npy cannot hold.
    """
    for key, array in outputs.items():
        try:
            files[key].parent.mkdir(parents=True, exist_ok=True)
            np.save(files[key], _storable(key, array), allow_pickle=False)
        except OSError as error:
            raise OutputsError(f"{files[key]}: {error.strerror or error}") from None


def _storable(key: str, array: Array) -> Array:
    if array.dtype != object:
        # numpy would write a type it lacks as nameless bytes; these hold each of its values.
        if proto_of(array.dtype) not in NARROW:
            return array
        whole = _is_whole(array.dtype)
        return array.astype(("u1" if array.dtype.name[0] == "u" else "i1") if whole else "f4")
    if any(value.endswith(b"\0") for value in array.ravel()):
        raise OutputsError(
            f"output {key!r} has strings that end in a zero byte, which .npy cannot keep without a "
            "pickle; use -o json"
        )
    return array.astype("S") if array.size else np.empty(array.shape, dtype="S1")


def as_data(outputs: Mapping[str, Array], files: Mapping[str, Path]) -> dict[str, Any]:
    """Outputs for programs: strict JSON, so NaN and infinities are the strings that name them."""
    return {
        key: {
            "dtype": python_name(proto_of(array.dtype)),
            "shape": list(array.shape),
            "values": _values(key, array),
            **({"file": str(files[key])} if key in files else {}),
        }
        for key, array in outputs.items()
    }


def _values(key: str, array: Array) -> Any:
    nested: Any = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        nested[index] = _value(key, value)
    return nested.tolist()


def _value(key: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return text_or_b64(key, value)
    if np.iscomplexobj(value):
        return [_value(key, value.real), _value(key, value.imag)]
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    number = float(str(value)) if isinstance(value, np.float32) else float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
    return int(number) if _is_whole(np.asarray(value).dtype) else number


def _is_whole(dtype: np.dtype[Any]) -> bool:
    """Also for ml_dtypes' narrow integers, which numpy does not count among its own."""
    return "int" in dtype.name


def as_blocks(
    where: str, signature: str, outputs: Mapping[str, Array], files: Mapping[str, Path]
) -> Iterator[Block]:
    """Outputs for a person."""
    yield line(Styled(signature, "title"), f"  {where}")
    for key, array in outputs.items():
        dtype = python_name(proto_of(array.dtype))
        yield line()
        yield line(Styled(key, "name"), f"  {dtype} {shape_words(array.shape)}", indent=2)
        for text in _drawn(array).splitlines():
            yield line(text, indent=4)
        if key in files:
            yield line(Styled(f"saved to {files[key]}", "dim"), indent=4)


def _drawn(array: Array) -> str:
    formatter: Any = {"object": lambda value: repr(value)[1:]} if array.dtype == object else None
    return np.array2string(
        array, threshold=SHOWN, max_line_width=96, separator=", ", formatter=formatter
    )
