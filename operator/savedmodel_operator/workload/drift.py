"""Wanted against seen: the first field that somebody changed, in words. Pure.

A difference is only what a server-side apply of `wanted` would put back. Defaults, fields of other
managers and further entries of keyed lists (a sidecar, one more label) are none: apply would leave
them, and the operator would write for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from savedmodel_operator.workload.quantity import parse_quantity

KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "ports": ("containerPort", "port", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "hostAliases": ("ip",),
    "ownerReferences": ("uid",),
}
"""Lists that apply merges by key (listMapKeys in Kubernetes' OpenAPI); all others it replaces."""

QUANTITIES = ("requests", "limits")
FALSE_IS_STORED = (
    "automountServiceAccountToken",
    "enableServiceLinks",
    "allowPrivilegeEscalation",
    "shareProcessNamespace",
)
"""Booleans that mean true where they are absent, or are pointers that we write. Any other false (a
user's `readOnly: false`, say) the API server may drop, and its absence means the same."""
SHOWN = 80  # characters of a value in a sentence
SECRET_PATHS = ("env", "binaryData")

_ABSENT = object()


def first_difference(wanted: Mapping[str, Any], seen: Mapping[str, Any]) -> str | None:
    """Words for the first field of `wanted` that `seen` lacks or has otherwise; None for none."""
    return _compare(wanted, seen, ())


def _compare(wanted: Any, seen: Any, path: tuple[str, ...]) -> str | None:
    if type(wanted) is type(seen) and not isinstance(wanted, bool) and wanted == seen:
        return None  # the usual case, at the speed of the interpreter's own comparison
    if _is_empty(wanted) and (seen is _ABSENT or _is_empty(seen)):
        return None
    if wanted is False and seen is _ABSENT and path[-1] not in FALSE_IS_STORED:
        return None
    if isinstance(wanted, Mapping) and isinstance(seen, Mapping):
        return _compare_mappings(wanted, seen, path)
    if _is_list(wanted) and _is_list(seen):
        return _compare_lists(wanted, seen, path)
    if _same(wanted, seen, path):
        return None
    return _words(wanted, seen, path)


def _compare_mappings(
    wanted: Mapping[str, Any], seen: Mapping[str, Any], path: tuple[str, ...]
) -> str | None:
    for key, value in wanted.items():
        found = _compare(value, seen.get(key, _ABSENT), (*path, key))
        if found is not None:
            return found
    return None


def _compare_lists(wanted: Sequence[Any], seen: Sequence[Any], path: tuple[str, ...]) -> str | None:
    keys = KEYS.get(path[-1]) if path else None
    if keys and all(isinstance(item, Mapping) for item in (*wanted, *seen)):
        return _compare_keyed(wanted, seen, path, keys)
    if len(wanted) != len(seen):
        return _words(wanted, seen, path)
    for index, (one, other) in enumerate(zip(wanted, seen, strict=True)):
        found = _compare(one, other, (*path[:-1], f"{path[-1]}[{index}]"))
        if found is not None:
            return found
    return None


def _compare_keyed(
    wanted: Sequence[Any], seen: Sequence[Any], path: tuple[str, ...], keys: tuple[str, ...]
) -> str | None:
    by_key = {_key(item, keys): item for item in seen}
    for item in wanted:
        key = _key(item, keys)
        label = "/".join(str(part) for part in key if part is not None)
        other = by_key.get(key, _ABSENT)
        found = _compare(item, other, (*path[:-1], f"{path[-1]}[{label}]"))
        if found is not None:
            return found
    return None


def _key(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    """The key's values; TCP is the API server's default for `protocol`."""
    return tuple(item.get(k, "TCP" if k == "protocol" else None) for k in keys)


def _same(wanted: Any, seen: Any, path: tuple[str, ...]) -> bool:
    if wanted == seen and isinstance(wanted, bool) == isinstance(seen, bool):
        return True
    if len(path) > 1 and path[-2] in QUANTITIES:
        value = parse_quantity(wanted)
        return value is not None and value == parse_quantity(seen)
    return False


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_empty(value: Any) -> bool:
    """What the API server drops or adds without meaning: nothing, {}, [], "" and null."""
    return value is None or (isinstance(value, Mapping | str | list | tuple) and not value)


def _words(wanted: Any, seen: Any, path: tuple[str, ...]) -> str:
    where = ".".join(path)
    if seen is _ABSENT:
        return f"{where} is missing"
    if any(part.split("[")[0] in SECRET_PATHS for part in path):
        return f"{where} was changed"
    return f"{where} is {_show(seen)}, wanted {_show(wanted)}"


def _show(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
