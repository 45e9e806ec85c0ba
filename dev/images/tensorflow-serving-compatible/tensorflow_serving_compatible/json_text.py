"""JSON as TensorFlow Serving writes it: RapidJSON's pretty layout and its number formats.

Objects take one line per member with four spaces of indent; arrays are on one line where
json_tensor.cc asks for `kFormatSingleLineArray`. Also the shortened form of a value that error
messages quote. Pure; which document is written is decided in `json_tensor` and `json_result`.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from tensorflow_serving_compatible.json_parse import members

INDENT = "    "
# kMaxJsonDebugStringBytes of json_tensor.cc: no token is begun beyond it.
DEBUG_BYTES = 256

_ESCAPED = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    **{chr(code): f"\\u{code:04X}" for code in range(32) if chr(code) not in "\b\f\n\r\t"},
}  # fmt: skip
_TABLE = str.maketrans(_ESCAPED)


def quote(text: str) -> str:
    """A JSON string; like RapidJSON it escapes only control characters, quote and backslash."""
    return '"' + text.translate(_TABLE) + '"'


def type_name(value: Any) -> str:
    """RapidJSON's type of a value, as error messages name it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def double_text(value: float) -> str:
    """RapidJSON's Double(): shortest digits, plain up to 21 of them, else `1.5e30`."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return sign + "0.0"
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0)
    if whole == "0":
        point -= len(fraction) - len(fraction.lstrip("0")) + 1
    digits = digits.rstrip("0") or "0"
    if 0 < point <= 21:
        if len(digits) <= point:
            return f"{sign}{digits}{'0' * (point - len(digits))}.0"
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"


class _FullError(Exception):
    """The quoted value has reached its limit."""


class _DebugWriter:
    def __init__(self) -> None:
        self.text = ""

    def put(self, token: str, prefix: str) -> None:
        if len(self.text.encode("utf-8", "surrogateescape")) >= DEBUG_BYTES:
            raise _FullError
        self.text += prefix + token

    def write(self, value: Any, depth: int, prefix: str = "") -> None:
        if isinstance(value, dict):
            self.put("{", prefix)
            pairs = members(value)
            for index, (name, member) in enumerate(pairs):
                comma = "," if index else ""
                self.put(quote(name), f"{comma}\n{INDENT * (depth + 1)}")
                self.write(member, depth + 1, ": ")
            self.put("}", f"\n{INDENT * depth}" if pairs else "")
        elif isinstance(value, list):
            self.put("[", prefix)
            for index, element in enumerate(value):
                self.write(element, depth + 1, ", " if index else "")
            self.put("]", "")
        else:
            self.put(_scalar(value), prefix)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _FullError  # the writer refuses it, which ends the quotation
        return double_text(value)
    return str(value)


def debug_text(value: Any) -> str:
    """A value as error messages quote it; long ones are cut after 256 bytes."""
    writer = _DebugWriter()
    with contextlib.suppress(_FullError):
        writer.write(value, 0)
    return writer.text


def decimals(values: np.ndarray) -> list[str]:
    """Floats or doubles as WriteDecimal writes them.

    Six digits where they say it all, else 9 (float) or 17 (double); `.0` on whole numbers;
    `NaN`, `Infinity` and `-Infinity` bare.
    """
    digits = 9 if values.dtype == np.float32 else 17
    numbers = values.tolist()
    texts = [f"{number:.6g}" for number in numbers]
    back = np.array(texts, dtype=np.float64).astype(values.dtype) if texts else values
    exact = (back == values).tolist()
    return [
        _finish(text if same else f"{number:.{digits}g}")
        for text, number, same in zip(texts, numbers, exact, strict=True)
    ]


def _finish(text: str) -> str:
    if text[-1] in "nf":  # nan, inf, -inf
        return {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text if "." in text or "e" in text else text + ".0"
