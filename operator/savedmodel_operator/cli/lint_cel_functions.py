"""Functions and methods of CEL, and of Kubernetes' additions to it, that the CRD's rules call. Pure.

Neighbour: `lint_cel` parses the rules and looks names up here. Must not know the CRD.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from savedmodel_operator.workload.quantity import parse_quantity


class CelError(Exception):
    """The rule could not be applied to this value, as `duration("x")`; the API server refuses it."""


MAX_NANOSECONDS = 2**63 - 1
"""Go's durations are int64 nanoseconds: 292 years."""

_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6,
    "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")


def duration(text: str) -> int:
    """Nanoseconds of a Go duration. Raises CelError.

    >>> duration("1m30s"), duration("250ms")
    (90000000000, 250000000)
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise CelError(f"{text!r} is no duration")
    parts = re.findall(r"(\d+(?:\.\d+)?)(\D+)", text)
    total = sum(int(float(n) * _NANOSECONDS[u]) for n, u in parts)
    if total > MAX_NANOSECONDS:
        raise CelError(f"{text!r} is longer than 292 years")
    return total


def quantity(text: str) -> Fraction:
    """The value of a Kubernetes quantity. Raises CelError.

    >>> quantity("1500m")
    Fraction(3, 2)
    """
    value = parse_quantity(text) if isinstance(text, str) else None
    if value is None:
        raise CelError(f"{text!r} is no quantity")
    return value


_TYPES: Mapping[type, str] = {
    bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map",
}  # fmt: skip
TYPES = frozenset(_TYPES.values())

METHODS: Mapping[str, Callable[..., Any]] = {
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "startsWith": lambda text, start: text.startswith(start),
    "endsWith": lambda text, end: text.endswith(end),
    "contains": lambda text, part: part in text,
    "size": len,
    "isSorted": lambda items: all(a <= b for a, b in itertools.pairwise(items)),
    "isGreaterThan": lambda a, b: a > b,
    "isLessThan": lambda a, b: a < b,
    "compareTo": lambda a, b: (a > b) - (a < b),
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "double": float,
    "duration": duration,
    "size": len,
    "type": lambda value: _TYPES.get(type(value), "null_type"),
    "isQuantity": lambda text: isinstance(text, str) and parse_quantity(text) is not None,
    "quantity": quantity,
}
