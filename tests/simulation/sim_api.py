"""An API server in memory: resourceVersions, preconditions, ownership, garbage collection.

Neighbours: `sim_actors` are the other writers, `sim_world` owns the clock. Only what the operator
relies on is here, with the server's own semantics: a wrong resourceVersion is a conflict, a wrong
UID is a failed precondition, a second POST is AlreadyExists, children die after their owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Key = tuple[str, str]
OWNER: Key = ("SavedModelDeployment", "flowers")


def clone(body: Any) -> Any:
    """A deep copy of JSON data, several times as fast as `copy.deepcopy`."""
    return msgspec.json.decode(msgspec.json.encode(body))


class Refused(Exception):
    """The server's no: conflict, precondition, AlreadyExists, NotFound."""


class SimApi:
    """All objects of one namespace."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.creates: Counter[Key] = Counter()
        self.deletes: Counter[Key] = Counter()
        self.writes: list[str] = []
        self.watchers: list[Callable[[Key], None]] = []
        self._version = 0
        self._uids = 0

    def _touch(self, key: Key, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = body
        self._notify(key)
        return clone(body)

    def _notify(self, key: Key) -> None:
        for watcher in self.watchers:
            watcher(key)

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """POST."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise Refused(f"AlreadyExists {key}")
        body = clone(dict(manifest))
        self._uids += 1
        body["metadata"]["uid"] = f"uid-{self._uids}"
        if key[0] == "Deployment":
            body["metadata"]["generation"] = 1
            body["spec"].setdefault("replicas", 1)
        self.creates[key] += 1
        return self._touch(key, body)

    def apply(self, manifest: Mapping[str, Any], uid: str, version: str) -> dict[str, Any]:
        """Server-side apply with resourceVersion, merged field by field; lists are replaced."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        seen = self._with_uid(key, uid)
        if seen["metadata"]["resourceVersion"] != version:
            raise Refused(f"Conflict {key}")
        body = clone(seen)
        _merge(body, manifest)
        if key[0] == "Deployment" and body["spec"] != seen["spec"]:
            body["metadata"]["generation"] += 1
        return self._touch(key, body)

    def annotate(self, key: Key, uid: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        """Merge patch."""
        body = clone(self._with_uid(key, uid))
        body["metadata"].setdefault("annotations", {}).update(annotations)
        return self._touch(key, body)

    def write_status(self, key: Key, status: Mapping[str, Any], version: str) -> dict[str, Any]:
        """PUT on the status subresource."""
        seen = self.objects.get(key)
        if seen is None:
            raise Refused(f"NotFound {key}")
        if seen["metadata"]["resourceVersion"] != version:
            raise Refused(f"Conflict {key}")
        return self._touch(key, {**clone(seen), "status": clone(dict(status))})

    def delete(self, key: Key, uid: str | None = None) -> None:
        """DELETE with the UID as precondition; the owner's children follow."""
        if key not in self.objects:
            raise Refused(f"NotFound {key}")
        if uid is not None:
            self._with_uid(key, uid)
        gone = self.objects.pop(key)
        self.deletes[key] += 1
        self._notify(key)
        for other in [k for k, o in self.objects.items() if _owned_by(o, gone["metadata"]["uid"])]:
            if other in self.objects:
                self.delete(other)

    def edit(self, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
        """Anybody else's write: a user, the kubelet, a controller."""
        body = clone(self.objects[key])
        change(body)
        if body != self.objects[key]:
            self._touch(key, body)

    def _with_uid(self, key: Key, uid: str) -> dict[str, Any]:
        seen = self.objects.get(key)
        if seen is None:
            raise Refused(f"NotFound {key}")
        if seen["metadata"]["uid"] != uid:
            raise Refused(f"Precondition {key}")
        return seen

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind by name."""
        return [self.objects[k] for k in sorted(self.objects) if k[0] == kind]


def _owned_by(body: Mapping[str, Any], uid: str) -> bool:
    return any(r["uid"] == uid for r in body["metadata"].get("ownerReferences", ()))


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = clone(value)
