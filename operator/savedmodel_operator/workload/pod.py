"""Parts that every pod of ours has: the restricted security context, mounts, spreading. Pure.

`model` and `router` build with these. The pods pass an enforcing `restricted` namespace as they
are; what a user sets in `serving.pod` lies over it, and then the namespace judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from savedmodel_operator.api import names

USER = 65532
"""The customary non-root user of minimal images; TF Serving's image declares none (it is root)."""


def pod_security(over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The pod's security context."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
        **(over or {}),
    }


def container_security(over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A container's security context. The user is the pod's, so that one place decides it."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        **(over or {}),
    }


def spread(selector: Mapping[str, str]) -> list[dict[str, Any]]:
    """Pods on different nodes where there are some; never a reason not to start."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
        }
    ]


def add_labels(ours: Mapping[str, str], users: Mapping[str, str]) -> dict[str, str]:
    """The user's labels below ours: a label that finds pods cannot be taken over."""
    prefix = names.LABEL_REVISION.split("/")[0] + "/"
    kept = {k: v for k, v in users.items() if not k.startswith(prefix)}
    return {**kept, **ours}


def add_volumes(
    ours: Sequence[Mapping[str, Any]], users: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Ours, then the user's, but none under a name of ours."""
    taken = {v["name"] for v in ours}
    return [dict(v) for v in (*ours, *(u for u in users if u.get("name") not in taken))]


def add_mounts(
    ours: Sequence[Mapping[str, Any]], users: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Ours, then the user's that neither hide ours nor lie inside them."""
    taken = [PurePosixPath(m["mountPath"]) for m in ours]
    free = [u for u in users if not _overlaps(PurePosixPath(str(u.get("mountPath", "/"))), taken)]
    return [dict(m) for m in (*ours, *free)]


def _overlaps(path: PurePosixPath, taken: Iterable[PurePosixPath]) -> bool:
    return any(path.is_relative_to(t) or t.is_relative_to(path) for t in taken)


def pick(**fields: Any) -> dict[str, Any]:
    """Only the fields that say something: no None, no empty list or mapping."""
    return {k: v for k, v in fields.items() if v not in (None, (), [], {}, "")}
