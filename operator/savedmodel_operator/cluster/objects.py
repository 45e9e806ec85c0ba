"""The SavedModelDeployments as last heard, by (namespace, name).

The handlers (kopf's watch) and the operator's own status writes put them in, `observe` takes them
out. As in `cache`: compact JSON, newer resourceVersion wins.
"""

from __future__ import annotations

from typing import Any

import msgspec

from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.cluster.reduce import without_managed_fields

Body = dict[str, Any]


class ObjectCache:
    """Not for several threads."""

    def __init__(self) -> None:
        self._objects: dict[Owner, tuple[str, int, bytes]] = {}  # uid, version, JSON

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, body: Body) -> bool:
        """Takes an object in; False where a newer one is known already."""
        meta = body["metadata"]
        key = (str(meta["namespace"]), str(meta["name"]))
        version = int(meta["resourceVersion"])
        known = self._objects.get(key)
        if known is not None and known[1] >= version:
            return False
        data = msgspec.json.encode(without_managed_fields(body))
        self._objects[key] = (str(meta["uid"]), version, data)
        return True

    def drop(self, key: Owner, uid: str) -> None:
        """It is gone; a namesake with another uid stays."""
        known = self._objects.get(key)
        if known is not None and known[0] == uid:
            del self._objects[key]

    def get(self, key: Owner) -> Body | None:
        """A copy of one object."""
        known = self._objects.get(key)
        if known is None:
            return None
        body: Body = msgspec.json.decode(known[2])
        return body

    def names(self) -> list[Owner]:
        """All that are known."""
        return list(self._objects)
