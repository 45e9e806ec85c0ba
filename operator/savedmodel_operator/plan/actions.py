"""What a plan may ask for. Each action is one API write; any prefix of a list is a safe end.

Carried out by `apply` only. Manifests are plain dicts as the API server takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api.reasons import Reason

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Create:
    """POST. 409 AlreadyExists of somebody else's object is `NameTaken`."""

    manifest: Manifest
    why: str


@dataclass(frozen=True)
class Apply:
    """Server-side apply with our field manager and the resourceVersion that was seen.

    `drift`: somebody else changed what is put back here.
    """

    manifest: Manifest
    uid: str
    resource_version: str
    why: str
    drift: bool = False


@dataclass(frozen=True)
class Annotate:
    """Merge-patch annotations of one object, UID as precondition (nudges, marks on records)."""

    kind: str
    name: str
    uid: str
    annotations: Mapping[str, str]
    why: str


@dataclass(frozen=True)
class Delete:
    """DELETE with the UID as precondition; propagation in the background."""

    kind: str
    name: str
    uid: str
    why: str


Action = Create | Apply | Annotate | Delete


@dataclass(frozen=True)
class Event:
    """One Kubernetes Event on the object. `warning` chooses the type."""

    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Plan:
    """The answer of one cycle. `wake_at`: Unix seconds (API server's clock), None: only events."""

    actions: tuple[Action, ...]
    status: Mapping[str, Any]
    events: tuple[Event, ...]
    wake_at: float | None
    reason: Reason
    sentence: str
    sync: bool = False  # a person wants the bucket listed now
