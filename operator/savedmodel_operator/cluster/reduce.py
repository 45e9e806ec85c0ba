"""What is kept of an object from the API server: managedFields become path → manager. Pure.

managedFields are as large as the object itself and nobody reads them in that form. Paths are
written as people write them: `spec.template.spec.containers[name=model].image`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Body = dict[str, Any]

MAX_DEPTH = 64
"""The API server's own limit for nested JSON is far higher than any built-in kind needs (< 20)."""


def without_managed_fields(body: Body) -> Body:
    """The object without managedFields; the original is left as it is."""
    metadata = body.get("metadata") or {}
    if "managedFields" not in metadata:
        return body
    return {**body, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def managers(body: Mapping[str, Any]) -> dict[str, str]:
    """Field path → manager, of everything but status (its writer is the kind's controller).

    A field with several managers names the one that is not ours last, so that a foreign writer
    is not hidden by our own applied copy.
    """
    found: dict[str, str] = {}
    entries = (body.get("metadata") or {}).get("managedFields") or ()
    for entry in sorted(entries, key=lambda e: str(e.get("time", ""))):
        if entry.get("subresource") == "status":
            continue
        manager = str(entry.get("manager", ""))
        for path in _leaves(entry.get("fieldsV1") or {}, "", 0):
            found[path] = manager
    return found


def _leaves(fields: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    for key, below in fields.items():
        if key == ".":
            if path and len(fields) == 1:
                yield path
            continue
        here = _join(path, key)
        if below:
            yield from _leaves(below, here, depth + 1)
        else:
            yield here


def _join(path: str, key: str) -> str:
    """`f:NAME` is a field, `k:{…}` a list item by its keys, `v:VALUE` a member of a set."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f"{path}.{rest}" if path else rest
    if kind == "k":
        keys = msgspec.json.decode(rest)
        return path + "[" + ",".join(f"{k}={v}" for k, v in keys.items()) + "]"
    return f"{path}[{rest}]"
