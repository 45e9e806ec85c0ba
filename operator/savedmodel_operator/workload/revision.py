"""A revision: the hash of what the user chose for serving, and the frozen record. Pure.

The record (a ControllerRevision, whose `data` the API server never lets change) holds everything
that is needed to run the revision again: its manifests as they were rendered when it was made, and
what was read of the model. A new operator release therefore restarts no model pod; its rendering
holds from the next revision on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from savedmodel_operator.api import names
from savedmodel_operator.api.source import Lock
from savedmodel_operator.api.types import Spec
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.workload.model import (
    build_deployment,
    build_pdb,
    build_service,
    served_tags,
)
from savedmodel_operator.workload.owner import Owner, Platform

NOT_A_REVISION = {
    "serving": {"replicas", "autoscaling"},
    "source": {"uri", "pollInterval", "readyMarker"},
}
"""Fields of `serving` and `source` that do not change what a pod is or does. The place in the
bucket is part of the identity's lock, not of the serving inputs."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class RevisionRecord:
    """A record as read back; `deployment` has no `replicas` (see model.with_replicas)."""

    number: int
    directory: str
    fingerprint: str
    serving_hash: str
    facts: ModelFacts
    deployment: Manifest
    service: Manifest
    pdb: Manifest

    @property
    def tags(self) -> tuple[str, ...] | None:
        """The tags of the MetaGraph that it serves; None where its manifest does not say."""
        return served_tags(self.deployment)


def serving_hash(spec: Spec) -> str:
    """16 hex characters over the user's serving inputs.

    Values equal to their default do not count, so that a release which adds a field with a
    default gives nobody a new revision.
    """
    asked = msgspec.json.encode((spec.model_name, *(getattr(spec, p) for p in NOT_A_REVISION)))
    if asked not in _HASHES:
        if len(_HASHES) >= KNOWN:
            _HASHES.clear()
        _HASHES[asked] = _hash(spec)
    return _HASHES[asked]


_HASHES: dict[bytes, str] = {}
KNOWN = 1024
"""Hashes kept: each cycle asks for the same one, and it takes longer than most of a cycle."""


def _hash(spec: Spec) -> str:
    chosen: dict[str, Any] = {"modelName": spec.model_name}
    for part, left_out in NOT_A_REVISION.items():
        given = _given(getattr(spec, part))
        chosen[part] = {k: v for k, v in given.items() if k not in left_out}
    text = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _given(value: Any) -> Any:
    """Plain data of a struct without what equals a default."""
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return {
        field.encode_name: _given(getattr(value, field.name))
        for field in _fields(type(value))
        if getattr(value, field.name) != _default(field)
    }


@lru_cache
def _fields(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """The default; for a required field NODEFAULT, which equals no value."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def build_record(
    owner: Owner, revision: str, lock: Lock, facts: ModelFacts, spec: Spec, settings: Platform
) -> dict[str, Any]:
    """The ControllerRevision of a revision, its manifests rendered now and for good."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(revision, names.COMPONENT_MODEL, revision),
        "revision": lock.number,
        "data": {
            "number": lock.number,
            "directory": lock.directory,
            "fingerprint": lock.fingerprint,
            "servingHash": serving_hash(spec),
            "facts": facts.to_dict(),
            "manifests": {
                "deployment": build_deployment(owner, revision, lock, spec, settings),
                "service": build_service(owner, revision),
                "pdb": build_pdb(owner, revision),
            },
        },
    }


def read_record(body: Manifest) -> RevisionRecord | None:
    """The record in a ControllerRevision; None where it is damaged or of another form."""
    data = body.get("data")
    if not isinstance(data, Mapping):
        return None
    try:
        manifests = data["manifests"]
        record = RevisionRecord(
            number=int(data["number"]),
            directory=str(data["directory"]),
            fingerprint=str(data["fingerprint"]),
            serving_hash=str(data["servingHash"]),
            facts=ModelFacts.from_dict(data["facts"]),
            deployment=manifests["deployment"],
            service=manifests["service"],
            pdb=manifests["pdb"],
        )
        whole = all("spec" in m for m in (record.deployment, record.service, record.pdb))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return record if whole else None
