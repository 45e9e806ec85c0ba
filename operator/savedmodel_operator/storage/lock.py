"""Trust in a lock: what `api.lock` decodes is judged here before any of it is used.

`discover` asks whether a new lock fits, `fetch` reads one inside a pod. The ConfigMap can be
written by whoever may write ConfigMaps there, so keys, sizes, ETags and checksums are judged again
and the fingerprint is computed again.
"""

from __future__ import annotations

from savedmodel_operator.api import lock as form
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.checksum import Checksum
from savedmodel_operator.storage.versions import (
    fingerprint,
    key_fault,
    parse_number,
    tree_fault,
    usable_etag,
)


def fingerprint_objects(objects: tuple[LockedObject, ...]) -> str:
    """The fingerprint of a version's objects (design.md §2)."""
    return fingerprint((o.key, o.size, o.etag) for o in objects)


def encode_lock(lock: Lock) -> bytes:
    """The lock's bytes. Raises StorageError(TooManyObjects) where no ConfigMap can hold them."""
    try:
        return form.encode(lock)
    except form.LockError as error:
        raise StorageError(
            Reason.TooManyObjects,
            f"version {lock.number} cannot be locked: {error}; export it with fewer shards or "
            "assets",
        ) from error


def decode_lock(data: bytes) -> Lock:
    """The lock that `encode_lock` wrote. Raises StorageError(MalformedLock) for anything else."""
    try:
        lock = form.decode(data)
    except form.LockError as error:
        raise _malformed(str(error)) from error
    fault = lock_fault(lock)
    if fault is not None:
        raise _malformed(fault)
    return lock


def lock_fault(lock: Lock) -> str | None:
    """Why a decoded lock is not to be trusted, in words."""
    if parse_number(lock.directory) != lock.number:
        return "its directory name does not spell its number"
    if not lock.prefix.endswith("/") or key_fault(lock.prefix[:-1]) is not None:
        return "its prefix is no directory"
    if lock.prefix[:-1].rpartition("/")[2] != lock.directory:
        return "its prefix does not end in its directory"
    if any(o.size < 0 for o in lock.objects):
        return "a size is negative"
    if not all(usable_etag(o.etag) for o in lock.objects):
        return "an ETag cannot be sent as a header"
    if not all(_verifiable(o.checksum) for o in lock.objects):
        return "a checksum cannot be verified"
    fault = tree_fault(o.key for o in lock.objects)
    if fault is not None:
        return fault
    if fingerprint_objects(lock.objects) != lock.fingerprint:
        return "its fingerprint does not match its objects"
    return None


def _verifiable(checksum: str | None) -> bool:
    try:
        return checksum is None or bool(Checksum(checksum))
    except ValueError:
        return False


def _malformed(what: str) -> StorageError:
    return StorageError(
        Reason.MalformedLock,
        f"the lock cannot be used: {what}; delete its ConfigMap and the operator makes it again",
    )
