"""The small types that the spec is made of, with their patterns and bounds. Pure.

Every bound stands at its type: the CRD's schema and the parser both come from it. Bounds on counts
and lengths also keep the cost of the CEL rules within the API server's budget.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

INT64_MAX = 2**63 - 1

Rule = tuple[str, str]
"""A CEL rule and the message a person gets when it is broken."""


def cel(*rules: Rule) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": r, "message": m} for r, m in rules]}


OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

DURATION_PATTERN = r"^([0-9]{1,9}(ms|s|m|h))+$"
Duration = Annotated[
    str,
    Meta(
        pattern=DURATION_PATTERN, max_length=32, description='A duration such as "30s" or "1h30m".'
    ),
]
Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)
]
Key = Annotated[str, Meta(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
Quantity = Annotated[
    str,
    Meta(
        max_length=32,
        extra_json_schema={
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
        },
    ),
]
OpenObject = Annotated[dict[str, Any], Meta(extra_json_schema=OPEN)]
OpenList = Annotated[tuple[OpenObject, ...], Meta(max_length=64)]
StringMap = Annotated[
    dict[Annotated[str, Meta(max_length=317)], Annotated[str, Meta(max_length=4096)]],
    Meta(max_length=64),
]
Weight = Annotated[int, Meta(ge=0, le=100)]
Replicas = Annotated[int, Meta(ge=0, le=1000)]


class Base(Struct, frozen=True, rename="camel", omit_defaults=False):
    """A part of the object; `RULES` are CEL rules over the part as a whole."""

    RULES: ClassVar[tuple[Rule, ...]] = ()


class LocalObjectReference(Base, frozen=True):
    """An object of the same namespace; references never cross namespaces."""

    name: Name


class ConfigMapKey(Base, frozen=True):
    """One key of a ConfigMap in the same namespace."""

    config_map: Name
    key: Key


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@lru_cache(maxsize=1024)
def seconds(duration: str) -> float:
    """Seconds of a duration of the CRD.

    >>> seconds("1m30s"), seconds("250ms")
    (90.0, 0.25)
    """
    total, digits, unit = 0.0, "", ""
    for char in duration + "0":
        if char.isdigit():
            if unit:
                total, digits, unit = total + int(digits) * _UNITS[unit], "", ""
            digits += char
        else:
            unit += char
    return total
