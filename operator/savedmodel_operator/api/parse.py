"""From the raw object of the API server to (Meta, Spec). Pure.

The CRD's schema has judged the object already; this judges it again, because a CRD may be older
than the operator or its rules bypassed. Unknown fields are passed over: the object may be newer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from savedmodel_operator.api.types import Spec

_NAME = re.compile(r"^[a-z]([-a-z0-9]{0,31}[a-z0-9])?$")
_RESOURCES = (("serving", "resources"), ("traffic", "router", "resources"))
_LISTS = ("limits", "requests")


class InvalidSpec(Exception):
    """The object cannot be carried out; the message names the field and what is wrong with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Meta:
    """What the operator needs of metadata and status."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)


def parse_meta(body: Mapping[str, Any]) -> Meta:
    """The object's identity and stored status; never fails on what an API server sends."""
    meta = body["metadata"]
    status = body.get("status")
    return Meta(
        name=str(meta["name"]),
        namespace=str(meta["namespace"]),
        uid=str(meta["uid"]),
        generation=int(meta.get("generation") or 0),
        resource_version=str(meta["resourceVersion"]),
        annotations=dict(meta.get("annotations") or {}),
        deleting="deletionTimestamp" in meta,
        status=status if isinstance(status, Mapping) else {},
    )


def parse(body: Mapping[str, Any]) -> tuple[Meta, Spec]:
    """Meta and Spec of a SavedModelDeployment. Raises InvalidSpec with the field's path."""
    meta = parse_meta(body)
    if not _NAME.fullmatch(meta.name):
        raise InvalidSpec(
            "metadata.name must be a DNS label of at most 33 characters that starts with a "
            "letter: the children are named NAME-v<number>-<hash>"
        )
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        raise InvalidSpec("spec: it is missing; set at least spec.source and spec.serving.image")
    try:
        return meta, msgspec.convert(_with_text_quantities(spec), Spec)
    except msgspec.ValidationError as error:
        raise InvalidSpec(_sentence(str(error))) from error


def _sentence(text: str) -> str:
    """msgspec says "what - at `$.path`"; people want the path first."""
    what, _, where = text.partition(" - at `$")
    what = what[:1].lower() + what[1:]
    return f"spec{where.rstrip('`')}: {what}"


def _with_text_quantities(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities may be written as numbers (`nvidia.com/gpu: 1`); inside they are text."""
    result: dict[str, Any] = dict(spec)
    for path in _RESOURCES:
        parents: list[dict[str, Any]] = [result]
        for name in path:
            below = parents[-1].get(name)
            if not isinstance(below, Mapping):
                break
            parents[-1][name] = dict(below)
            parents.append(parents[-1][name])
        else:
            _convert(parents[-1])
    gate = result.get("gate")
    budgets = gate.get("budgets") if isinstance(gate, Mapping) else None
    if isinstance(gate, Mapping) and isinstance(budgets, Mapping) and "bytes" in budgets:
        result["gate"] = {**gate, "budgets": {**budgets, "bytes": _text(budgets["bytes"])}}
    return result


def _convert(resources: dict[str, Any]) -> None:
    for name in _LISTS:
        amounts = resources.get(name)
        if isinstance(amounts, Mapping):
            resources[name] = {k: _text(v) for k, v in amounts.items()}


def _text(amount: Any) -> Any:
    return (
        str(amount) if isinstance(amount, int | float) and not isinstance(amount, bool) else amount
    )
