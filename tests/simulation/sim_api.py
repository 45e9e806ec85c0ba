"""An API server in memory: resourceVersions, preconditions, field ownership, garbage collection.

Neighbours: `sim_actors` are the other writers, `sim_world` owns the clock. Only what the operator
relies on is here, with the server's own semantics: a wrong resourceVersion is a conflict, a wrong
UID is a failed precondition, a second POST is AlreadyExists, what nobody owns any more is dropped
(`sim_fields`), what is immutable is refused. A stored body is never changed: each write stores
another one, so that readers may keep what they saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import msgspec

from savedmodel_operator.api import names
from simulation import sim_fields

Key = tuple[str, str]
OWNER: Key = ("SavedModelDeployment", "flowers")
UNOWNED_KINDS = ("Pod", OWNER[0])
"""Whose fields nobody asks about: they are written most."""


def clone(body: Any) -> Any:
    """A deep copy of JSON data, several times as fast as `copy.deepcopy`."""
    return msgspec.json.decode(msgspec.json.encode(body))


class Refused(Exception):
    """The server's no: conflict, precondition, AlreadyExists, NotFound, Invalid."""


class SimApi:
    """All objects of one namespace. `revision` counts all changes, deletions included."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self._owners: dict[Key, sim_fields.Owners] = {}
        self._made: dict[Key, tuple[str, Mapping[str, Any]]] = {}  # nobody asked for its owners yet
        self.creates: Counter[Key] = Counter()
        self.deletes: Counter[Key] = Counter()
        self.watchers: list[Callable[[Key], None]] = []
        self.revision = 0
        self._uids = 0
        self._listed: dict[str, list[dict[str, Any]]] = {}

    def _touch(self, key: Key, body: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[key] = body
        self._listed.pop(key[0], None)
        self._notify(key)
        return body

    def _notify(self, key: Key) -> None:
        for watcher in self.watchers:
            watcher(key)

    def create(self, manifest: Mapping[str, Any], manager: str = names.MANAGER) -> dict[str, Any]:
        """POST."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            raise Refused(f"AlreadyExists {key}")
        body = clone(dict(manifest))
        self._uids += 1
        body["metadata"]["uid"] = f"uid-{self._uids}"
        if key[0] not in UNOWNED_KINDS:
            self._made[key] = (manager, manifest)
        if key[0] == "Deployment":
            body["metadata"]["generation"] = 1
            body["spec"].setdefault("replicas", 1)
        self.creates[key] += 1
        return self._touch(key, body)

    def apply(
        self, manifest: Mapping[str, Any], uid: str, version: str, manager: str = names.MANAGER
    ) -> dict[str, Any]:
        """Forced server-side apply with UID and resourceVersion as preconditions."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        seen = self._with_uid(key, uid)
        if seen["metadata"]["resourceVersion"] != version:
            raise Refused(f"Conflict {key}")
        wanted, body = clone(dict(manifest)), clone(seen)
        old, new = sim_fields.leaves(seen), sim_fields.leaves(wanted)
        owners, gone = sim_fields.applied(self.owners(key), manager, old, new)
        for path in gone:
            sim_fields.remove(body, path)
        sim_fields.merge(body, wanted)
        _admit(key, seen, body)
        self._owners[key] = owners
        return seen if body == seen else self._touch(key, body)

    def annotate(self, key: Key, uid: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        """Merge patch."""
        seen = self._with_uid(key, uid)
        held = seen["metadata"].get("annotations", {})
        meta = {**seen["metadata"], "annotations": {**held, **annotations}}
        return self._touch(key, {**seen, "metadata": meta})

    def write_status(self, key: Key, status: Mapping[str, Any], version: str) -> dict[str, Any]:
        """PUT on the status subresource."""
        seen = self.objects.get(key)
        if seen is None:
            raise Refused(f"NotFound {key}")
        if seen["metadata"]["resourceVersion"] != version:
            raise Refused(f"Conflict {key}")
        body = {**seen, "metadata": {**seen["metadata"]}, "status": clone(dict(status))}
        return self._touch(key, body)

    def delete(self, key: Key, uid: str | None = None) -> None:
        """DELETE with the UID as precondition; the garbage collector comes later."""
        if key not in self.objects:
            raise Refused(f"NotFound {key}")
        if uid is not None:
            self._with_uid(key, uid)
        del self.objects[key]
        self._owners.pop(key, None)
        self._made.pop(key, None)
        self.revision += 1
        self.deletes[key] += 1
        self._listed.pop(key[0], None)
        self._notify(key)

    def orphans(self) -> list[Key]:
        """What the garbage collector finds: objects all of whose owners are gone."""
        alive = {body["metadata"]["uid"] for body in self.objects.values()}
        found = []
        for key, body in self.objects.items():
            owned_by = {r["uid"] for r in body["metadata"].get("ownerReferences", ())}
            if owned_by and not owned_by & alive:
                found.append(key)
        return sorted(found)

    def edit(
        self, key: Key, change: Callable[[dict[str, Any]], None], manager: str = "somebody"
    ) -> None:
        """Anybody else's write: a user, the kubelet, a controller. Whatever it changed is theirs."""
        seen, body = self.objects[key], clone(self.objects[key])
        change(body)
        if body == seen:
            return
        if key[0] not in UNOWNED_KINDS:
            old, new = sim_fields.leaves(seen), sim_fields.leaves(body)
            self._owners[key] = sim_fields.updated(self.owners(key), manager, old, new)
            _admit(key, seen, body)
        self._touch(key, body)

    def owners(self, key: Key) -> sim_fields.Owners:
        """managedFields of an object."""
        if key in self._made:
            self._owners[key] = _made_by(*self._made.pop(key))
        return self._owners.get(key, {})

    def managers(self, key: Key) -> Mapping[str, str]:
        """Field path → manager as it is now, as the shell's cache has it."""
        made, owners = self._made.get(key), self._owners.get(key, {})
        return Managers(lambda: _made_by(*made) if made else owners)

    def _with_uid(self, key: Key, uid: str) -> dict[str, Any]:
        seen = self.objects.get(key)
        if seen is None:
            raise Refused(f"NotFound {key}")
        if seen["metadata"]["uid"] != uid:
            raise Refused(f"Precondition {key}")
        return seen

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind by name. Not to be changed."""
        if kind not in self._listed:
            held = self.objects
            self._listed[kind] = [held[k] for k in sorted(k for k in held if k[0] == kind)]
        return self._listed[kind]


def _made_by(manager: str, manifest: Mapping[str, Any]) -> sim_fields.Owners:
    new = sim_fields.leaves(clone(dict(manifest)))
    return sim_fields.updated({}, manager, {}, new)


class Managers(Mapping[str, str]):
    """Field path → manager; foreign owners hide ours. Found out when somebody asks."""

    def __init__(self, owners: Callable[[], sim_fields.Owners]) -> None:
        self._owners = owners

    @cached_property
    def _found(self) -> dict[str, str]:
        found: dict[str, str] = {}
        owners = self._owners()
        for manager, _ in sorted(owners, key=lambda m: m[0] != names.MANAGER):
            for operation in ("Update", "Apply"):
                for path in owners.get((manager, operation), ()):
                    found[sim_fields.words(path)] = manager
        return found

    def __getitem__(self, path: str) -> str:
        return self._found[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _admit(key: Key, seen: Mapping[str, Any], body: dict[str, Any]) -> None:
    """Defaults and validation of a changed object. Raises Refused."""
    if key[0] == "Deployment":
        body["spec"].setdefault("replicas", 1)
        if body["spec"].get("selector") != seen["spec"].get("selector"):
            raise Refused(f"Invalid {key}: spec.selector is immutable")
        if body["spec"] != seen["spec"]:
            body["metadata"]["generation"] += 1
    fixed = (
        "data" if key[0] == "ControllerRevision" else "binaryData" if seen.get("immutable") else ""
    )
    if fixed and body.get(fixed) != seen.get(fixed):
        raise Refused(f"Invalid {key}: {fixed} is immutable")
