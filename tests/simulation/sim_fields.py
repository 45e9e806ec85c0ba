"""Who owns which field: managedFields of the in-memory API server, and the merge of an apply.

As Kubernetes does it, by the rules that the operator leans on: an apply takes what it names, a
forced one from others as well; what an apply no longer names and nobody else owns is taken away;
an update owns what it changed. Lists with keys are merged by them, all others are one field.
Neighbours: `sim_api` calls it. Must not know any kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from savedmodel_operator.workload.drift import KEYS

Path = tuple[str, ...]
Manager = tuple[str, str]
"""(name, operation): "Apply" and "Update" of one manager are two owners."""

Owners = dict[Manager, frozenset[Path]]

IDENTITY = frozenset({"name", "namespace", "uid", "resourceVersion", "generation"})
"""Of metadata: nobody's."""


def leaves(body: Mapping[str, Any]) -> dict[Path, Any]:
    """Field path → value of everything that a manager can own, of decoded JSON; status is not
    theirs."""
    found: dict[Path, Any] = {}
    for key, value in body.items():
        if key == "metadata":
            _gather(found, {k: v for k, v in value.items() if k not in IDENTITY}, (key,))
        elif key not in ("apiVersion", "kind", "status"):
            _gather(found, value, (key,))
    return found


def _gather(found: dict[Path, Any], value: Any, path: Path) -> None:
    if type(value) is dict and value:
        for key, inner in value.items():
            _gather(found, inner, (*path, key))
    elif type(value) is list and (keys := keyed(value, path[-1])) is not None:
        for item in value:
            _gather(found, item, (*path, label(item, keys)))
    else:
        found[path] = value


def keyed(value: Any, name: str) -> tuple[str, ...] | None:
    """The keys of a list that is merged by them; None for everything else."""
    if not isinstance(value, list) or not value:
        return None
    return KEYS.get(name) if all(isinstance(item, Mapping) for item in value) else None


def label(item: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """A list item's place in a path, as the shell writes it: `[name=model]`."""
    return "[" + ",".join(f"{k}={item[k]}" for k in keys if k in item) + "]"


def merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Lay an applied configuration over an object, in place; `new` is copied nowhere deep."""
    for key, value in new.items():
        held = into.get(key)
        if isinstance(value, Mapping) and isinstance(held, dict):
            merge(held, value)
        elif (keys := keyed(value, key)) is not None and keyed(held, key):
            _merge_items(into[key], value, keys)
        else:
            into[key] = value


def _merge_items(into: list[Any], new: list[Any], keys: tuple[str, ...]) -> None:
    held = {label(item, keys): item for item in into}
    for item in new:
        place = label(item, keys)
        if place in held:
            merge(held[place], item)
        else:
            into.append(item)


def remove(body: dict[str, Any], path: Path) -> None:
    """Take one field away, and the list item or map that it leaves empty."""
    head, rest = path[0], path[1:]
    if head not in body:
        return
    if not rest:
        del body[head]
        return
    below = body[head]
    if isinstance(below, list):
        keys = KEYS[head]
        for item in [i for i in below if label(i, keys) == rest[0]]:
            for key in [k for k in rest[1:2] if k not in keys]:
                remove(item, (key, *rest[2:]))
            if set(item) <= set(keys):
                below.remove(item)
    else:
        remove(below, rest)
    if not body[head]:
        del body[head]


def applied(
    owners: Owners, manager: str, old: Mapping[Path, Any], new: Mapping[Path, Any]
) -> tuple[Owners, list[Path]]:
    """After a forced apply of `new` over an object with `old`: who owns what, and which fields go."""
    me = (manager, "Apply")
    taken = {path for path, value in new.items() if path in old and old[path] != value}
    others = {m: paths - taken for m, paths in owners.items() if m != me}
    dropped = owners.get(me, frozenset()) - new.keys()
    held = frozenset[Path]().union(*others.values()) if others else frozenset[Path]()
    gone = [path for path in dropped if path in old and path not in held]
    return {**others, me: frozenset(new)}, gone


def updated(
    owners: Owners, manager: str, old: Mapping[Path, Any], new: Mapping[Path, Any]
) -> Owners:
    """After a plain write: the writer owns what it changed or added, nobody what is gone."""
    me = (manager, "Update")
    missing = object()
    mine = {path for path, value in new.items() if old.get(path, missing) != value}
    found = {
        m: frozenset(p for p in paths if p in new and p not in mine) for m, paths in owners.items()
    }
    found[me] = found.get(me, frozenset()) | mine
    return {m: paths for m, paths in found.items() if paths}


@lru_cache(maxsize=4096)
def words(path: Path) -> str:
    """As the shell shows a path."""
    text = ""
    for part in path:
        text += part if part.startswith("[") or not text else f".{part}"
    return text
