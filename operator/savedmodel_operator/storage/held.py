"""Whether a lock's bytes can still be fetched: the lock against its directory as listed now.

`discover` asks once per poll for the revisions that serve or are tried, by the listing that it has
anyway. Where the bucket is versioned the lock names object versions: what was overwritten there is
still to be had, and what the listing shows may have other versions. Then each version is asked for
by HEAD, at the first look, when the listing has changed, and seldom otherwise. It must not decide
what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject, LockView
from savedmodel_operator.storage.base import StorageError, Store, StoredObject
from savedmodel_operator.storage.lock import lock_fault
from savedmodel_operator.storage.versions import fingerprint, printable

SELDOM = 120
"""Looks after which the object versions are asked for again though nothing seems to have changed:
an hour at the default pollInterval. A bucket's lifecycle rules delete old versions silently."""

HEADS_AT_ONCE = 8
ROUND = 64
"""HEADs after which the first that is gone ends the asking."""

_GONE = (Reason.ObjectGone, Reason.ObjectChanged)


@dataclass(frozen=True)
class Held:
    """A lock to look at, and what the last look said. `listed`: the directory's objects by their
    key in it, None where there are too many. `fresh`: versions that were read in this very look."""

    revision: str
    lock: Lock
    listed: Mapping[str, StoredObject] | None
    fresh: Lock | None = None
    before: LockView | None = None


def look_at(store: Store, held: Held) -> LockView:
    """The answer for one lock. Raises no StorageError: what could not be asked is not told."""
    lock, listed = held.lock, held.listed
    place = f"s3://{lock.bucket}/{lock.prefix}"
    fault = lock_fault(lock)
    if fault is not None:
        return unusable(held.revision, fault)
    if lock.bucket != store.access.bucket:
        text = f"its bytes are in {place}, and spec.source names another bucket now"
        return LockView(held.revision, None, Reason.SourceMoved, text)
    if listed is None:
        text = f"{place} has too many objects to be compared with the lock"
        return LockView(held.revision, None, Reason.TooManyObjects, text)
    other = [item for item in lock.objects if not _same(item, listed.get(item.key))]
    lost = next((item for item in other if item.version_id is None), None)
    if lost is not None:
        how = "has other bytes now" if lost.key in listed else "was deleted"
        count = sum(item.version_id is None for item in other)
        return _gone(held, lost, f"{how} ({count} of {len(lock.objects)} locked objects)")
    return _by_versions(store, held, other, fingerprint(_triples(listed)))


def unusable(revision: str, fault: str) -> LockView:
    """The answer for a lock that no pod would follow."""
    text = f"the lock cannot be used: {fault}; delete its ConfigMap and it is made again"
    return LockView(revision, False, Reason.MalformedLock, text)


def _same(item: LockedObject, found: StoredObject | None) -> bool:
    return found is not None and (found.size, found.etag) == (item.size, item.etag)


def _triples(listed: Mapping[str, StoredObject]) -> Iterable[tuple[str, int, str]]:
    return ((key, item.size, item.etag) for key, item in listed.items())


def _by_versions(store: Store, held: Held, other: list[LockedObject], mark: str) -> LockView:
    """What the listing cannot tell: whether the locked versions of the objects are there."""
    before, lock = held.before, held.lock
    looks = 0 if before is None else before.looks + 1
    place = f"s3://{lock.bucket}/{lock.prefix}"
    text = f"the bytes of {held.revision} are in {place}"
    here = LockView(held.revision, True, Reason.Restorable, text, looks=looks, mark=mark)
    if not any(item.version_id for item in lock.objects):
        return here
    due = looks % SELDOM == 0
    if before is not None and before.here and before.mark == mark and not due:
        return replace(before, looks=looks)
    known = {item.key: item.version_id for item in held.fresh.objects} if held.fresh else {}
    whole = due or before is None or not before.here
    asked = [i for i in (lock.objects if whole else other) if known.get(i.key) != i.version_id]
    asked.sort(key=lambda item: before is None or item.key != before.key)
    try:
        lost = _first_lost(store, lock, asked)
    except StorageError as error:
        return LockView(held.revision, None, error.reason, error.message, mark=mark)
    if lost is None:
        return here
    view = _gone(held, lost, "is not there any more in the locked object version")
    return replace(view, looks=looks, mark=mark)


def _first_lost(store: Store, lock: Lock, asked: list[LockedObject]) -> LockedObject | None:
    def is_lost(item: LockedObject) -> bool:
        if item.version_id is None:
            return False
        try:
            store.confirm(
                StoredObject(lock.prefix + item.key, item.size, item.etag), item.version_id
            )
        except StorageError as error:
            if error.reason in _GONE:
                return True
            raise
        return False

    if not asked:
        return None
    with ThreadPoolExecutor(HEADS_AT_ONCE, "confirm") as pool:
        for start in range(0, len(asked), ROUND):
            part = asked[start : start + ROUND]
            for item, lost in zip(part, pool.map(is_lost, part), strict=True):
                if lost:
                    return item
    return None


def _gone(held: Held, item: LockedObject, how: str) -> LockView:
    key = printable(item.key)
    text = f"{key} in s3://{held.lock.bucket}/{held.lock.prefix} {how}"
    return LockView(held.revision, False, Reason.LockedBytesGone, text, item.key)
