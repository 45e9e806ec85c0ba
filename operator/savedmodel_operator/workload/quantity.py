"""Kubernetes quantities by value: "1000m" is "1", "1Gi" is 1073741824. Pure.

Grammar as in apimachinery's documentation of resource.Quantity: a decimal number, then a binary
suffix, a decimal suffix or an exponent.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

MIB = 1024**2

_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))"
    r"(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?[0-9]{1,2}))?",
    re.ASCII,
)
_SUFFIXES = {
    **{f"{s}i": Fraction(1024 ** (i + 1)) for i, s in enumerate("KMGTPE")},
    **{s: Fraction(1000 ** (i + 1)) for i, s in enumerate("kMGTPE")},
    **{s: Fraction(1, 1000 ** (i + 1)) for i, s in enumerate("mun")},
}


def parse_quantity(value: Any) -> Fraction | None:
    """The value of a quantity, None for what is none.

    >>> parse_quantity("1500m") == parse_quantity(1.5) == parse_quantity("15e-1")
    True
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None:
        return None
    digits, suffix, exponent = match.groups()
    number = Fraction(digits)
    if suffix:
        return number * _SUFFIXES[suffix]
    return number * Fraction(10) ** int(exponent or 0)
