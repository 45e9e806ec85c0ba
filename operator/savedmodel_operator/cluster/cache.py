"""The children as last heard, by the SavedModelDeployment that they belong to.

Informers and the operator's own writes put objects in; `observe` takes them out. Objects are kept
as compact JSON, a quarter of the memory of decoded ones, and decoded for a snapshot. Who holds on
to an `Observed` gets the same one again until the object changes, so that what was computed of it
may be kept by its identity. The newer resourceVersion wins, so that an own write is never undone
by an event that was under way.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from savedmodel_operator.api import names
from savedmodel_operator.cluster.reduce import managers, without_managed_fields
from savedmodel_operator.plan.snapshot import Observed

Body = dict[str, Any]
Owner = tuple[str, str]
"""(namespace, name of the SavedModelDeployment)."""

_Place = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class _Stored:
    uid: str
    owner_uid: str
    version: int
    resource_version: str
    owner: Owner
    data: bytes
    managers: bytes
    seen: list[weakref.ref[Observed]] = field(default_factory=list)  # at most one

    def view(self, place: _Place) -> Observed:
        """Decoded, or the decoded one that somebody still holds."""
        held = self.seen[0]() if self.seen else None
        if held is None:
            held = _observed(place, self)
            self.seen[:] = [weakref.ref(held)]
        return held


class ChildCache:
    """Everything that carries our label. Not for several threads."""

    def __init__(self) -> None:
        self._places: dict[_Place, _Stored] = {}
        self._owned: dict[Owner, set[_Place]] = {}
        self._deleted: dict[
            str, int
        ] = {}  # uid → version it was deleted at, until the watch agrees

    def __len__(self) -> int:
        return len(self._places)

    def put(self, body: Body) -> Owner | None:
        """Takes an object in; its owner if that changed anything, else None."""
        meta = body["metadata"]
        owner = _owner(body)
        uid, version = str(meta["uid"]), _version(meta)
        if owner is None or uid in self._deleted:
            return None
        place = (str(body["kind"]), str(meta["namespace"]), str(meta["name"]))
        known = self._places.get(place)
        if known is not None and known.version >= version:
            return None
        self._forget(place)
        fields = b"{}" if place[0] == "Pod" else msgspec.json.encode(managers(body))
        self._places[place] = _Stored(
            uid,
            str(meta["labels"].get(names.LABEL_UID, "")),
            version,
            str(meta["resourceVersion"]),
            owner,
            msgspec.json.encode(without_managed_fields(body)),
            fields,
        )
        self._owned.setdefault(owner, set()).add(place)
        return owner

    def drop(self, body: Body) -> Owner | None:
        """A watch says that it is gone; its owner if we had it."""
        meta = body["metadata"]
        uid = str(meta["uid"])
        self._deleted.pop(uid, None)
        place = (str(body["kind"]), str(meta["namespace"]), str(meta["name"]))
        known = self._places.get(place)
        if known is None or known.uid != uid:
            return None
        return self._forget(place)

    def deleted(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Our own DELETE was done: late events about this uid do not bring it back."""
        place = (kind, namespace, name)
        known = self._places.get(place)
        if known is not None and known.uid == uid:
            self._deleted[uid] = known.version
            self._forget(place)

    def replace(
        self, kind: str, namespace: str | None, bodies: Iterable[Body], resource_version: str
    ) -> set[Owner]:
        """A fresh list of one kind (in one namespace); the owners for whom something changed.

        What was put in by a write after the list was taken stays.
        """
        changed: set[Owner] = set()
        listed: set[_Place] = set()
        uids: set[str] = set()
        for body in bodies:
            meta = body["metadata"]
            listed.add((kind, str(meta["namespace"]), str(meta["name"])))
            uids.add(str(meta["uid"]))
            owner = self.put({**body, "kind": kind})
            if owner is not None:
                changed.add(owner)
        version = int(resource_version)
        for place, known in list(self._places.items()):
            inside = place[0] == kind and namespace in (None, place[1])
            if inside and place not in listed and known.version <= version:
                changed.add(known.owner)
                self._forget(place)
        for uid, at in list(self._deleted.items()):
            if uid not in uids and at <= version:
                del self._deleted[uid]
        return changed

    def children(self, owner: Owner, uid: str) -> list[Observed]:
        """What belongs to the object with this uid; children of a former namesake do not."""
        found = []
        for place in sorted(self._owned.get(owner, ())):
            stored = self._places[place]
            if stored.owner_uid == uid:
                found.append(stored.view(place))
        return found

    def _forget(self, place: _Place) -> Owner | None:
        known = self._places.pop(place, None)
        if known is None:
            return None
        places = self._owned[known.owner]
        places.discard(place)
        if not places:
            del self._owned[known.owner]
        return known.owner


def observed(body: Body) -> Observed:
    """One object straight from the API server as the planner takes it."""
    meta = body["metadata"]
    return Observed(
        kind=str(body["kind"]),
        name=str(meta["name"]),
        uid=str(meta["uid"]),
        resource_version=str(meta["resourceVersion"]),
        body=without_managed_fields(body),
        managers=managers(body),
    )


def _observed(place: _Place, stored: _Stored) -> Observed:
    return Observed(
        kind=place[0],
        name=place[2],
        uid=stored.uid,
        resource_version=stored.resource_version,
        body=msgspec.json.decode(stored.data),
        managers=msgspec.json.decode(stored.managers),
    )


def _owner(body: Body) -> Owner | None:
    meta = body["metadata"]
    name = (meta.get("labels") or {}).get(names.LABEL_DEPLOYMENT)
    return (str(meta["namespace"]), str(name)) if name else None


def _version(meta: Body) -> int:
    """resourceVersions of one server are comparable numbers (a promise since Kubernetes 1.35,
    a fact before)."""
    return int(meta["resourceVersion"])
