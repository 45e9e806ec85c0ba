"""The bucket of the simulated world, and what a look at it tells the operator.

Stories fill it by `World.publish`; here it can also refuse to be read, or keep old object versions.
The truth about a lock's bytes is asked by `sim_invariants`, apart from what the operator believes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockView, SourceView, VersionView
from savedmodel_operator.workload.lock import read_lock

if TYPE_CHECKING:
    from simulation.sim_shell import Shell


class Bucket:
    """What is there, and whether it can be read."""

    def __init__(self) -> None:
        self.versions: tuple[VersionView, ...] = ()  # newest first
        self.readable = True
        self.versioned = False  # keeps the object versions of all that was ever there
        self.seen: SourceView | None = None  # the operator's last look

    def holds(self, lock: Lock) -> bool:
        """Whether a pod could fetch what this lock says."""
        identity = (lock.number, lock.fingerprint)
        return self.versioned or any((v.number, v.fingerprint) == identity for v in self.versions)

    def look(self, shell: Shell, status: Mapping[str, Any]) -> SourceView:
        """As `storage.discover` finds it now; what it says of locks is asked by their ConfigMaps."""
        if not self.readable:
            last = self.seen or SourceView(Reason.Forbidden, "")
            text = "the key has expired"
            return SourceView(Reason.Forbidden, text, last.versions, (), shell.now, last.locks)
        reason = Reason.SourceReady if self.versions else Reason.SourceEmpty
        locks = tuple(self._lock_view(name, lock) for name, lock in _locks(shell.cache, status))
        self.seen = SourceView(reason, "as listed", self.versions, (), shell.now, locks)
        return self.seen

    def _lock_view(self, revision: str, lock: Lock) -> LockView:
        if self.holds(lock):
            return LockView(revision, True, Reason.Restorable, "its bytes are there")
        text = f"saved_model.pb in s3://{lock.bucket}/{lock.prefix} was deleted"
        return LockView(revision, False, Reason.LockedBytesGone, text, "saved_model.pb")


def _locks(
    objects: Mapping[tuple[str, str], Mapping[str, Any]], status: Mapping[str, Any]
) -> list[tuple[str, Lock]]:
    """The locks of what serves and what is tried, as far as they are there."""
    found = []
    for role in ("stable", "candidate"):
        revision = (status.get(role) or {}).get("revision")
        body = objects.get(("ConfigMap", names.lock_name(revision))) if revision else None
        if revision and body is not None:
            found.append((revision, decoded(body)))
    return found


def decoded(body: Mapping[str, Any]) -> Lock:
    """The lock in a ConfigMap."""
    return _decode(body["binaryData"]["lock.json.gz"])


@lru_cache(maxsize=64)
def _decode(text: str) -> Lock:
    lock = read_lock({"binaryData": {"lock.json.gz": text}})
    assert lock is not None
    return lock
