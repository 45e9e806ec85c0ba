"""Whether locked bytes can still be fetched, told by a real S3 server: gone, overwritten, versioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bucket_server import Bucket, S3Server
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockView, SourceView
from savedmodel_operator.storage.base import StoredObject
from savedmodel_operator.storage.discover import discover
from savedmodel_operator.storage.held import SELDOM
from savedmodel_operator.storage.s3 import S3Store

PREFIX = "flowers/"
DATA = "variables/variables.data-00000-of-00001"
Model = Mapping[str, bytes]


class Counting:
    """The store, with the calls counted."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name != "access":
            self.calls.append(name)
        return getattr(self._store, name)


def locked(bucket: Bucket, model: Model, number: int = 1) -> Lock:
    """The lock of a version that was just uploaded."""
    bucket.put_tree(f"{PREFIX}{number}/", model)
    view = discover(bucket.store(), PREFIX, previous=discover(bucket.store(), PREFIX))
    lock = next(v.lock for v in view.versions if v.number == number)
    assert lock is not None
    return lock


def look(
    bucket: Bucket, lock: Lock, previous: SourceView | None = None, keep: bool = True
) -> SourceView:
    numbers = [lock.number] if keep else []
    return discover(bucket.store(), PREFIX, keep=numbers, held={"m-v1": lock}, previous=previous)


def told(view: SourceView) -> LockView:
    [found] = view.locks
    return found


def test_what_is_there_is_restorable_without_a_request_of_its_own(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    view = look(bucket, lock, look(bucket, lock))
    assert (told(view).here, told(view).reason) == (True, Reason.Restorable)
    plain, held = Counting(bucket.store()), Counting(bucket.store())
    discover(plain, PREFIX, keep=[1], previous=view)  # type: ignore[arg-type]
    discover(held, PREFIX, keep=[1], held={"m-v1": lock}, previous=view)  # type: ignore[arg-type]
    assert held.calls == plain.calls == ["directories", "objects"]


def test_a_deleted_object_is_named_and_comes_back(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    bucket.delete(f"{PREFIX}1/{DATA}")
    gone = told(look(bucket, lock))
    assert (gone.here, gone.reason, gone.key) == (False, Reason.LockedBytesGone, DATA)
    place = f"{DATA} in s3://{bucket.name}/{PREFIX}1/ was deleted"
    assert gone.message == f"{place} (1 of {len(model)} locked objects)"
    bucket.put(f"{PREFIX}1/{DATA}", model[DATA])
    assert told(look(bucket, lock)).here


def test_a_directory_that_vanished_costs_one_listing(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    for key in model:
        bucket.delete(f"{PREFIX}1/{key}")
    view = look(bucket, lock)
    assert view.reason is Reason.SourceEmpty
    assert told(view).here is False
    bucket.put(f"{PREFIX}2/saved_model.pb", b"x")
    store = Counting(bucket.store())
    view = discover(store, PREFIX, keep=[1], held={"m-v1": lock})  # type: ignore[arg-type]
    assert store.calls == ["directories", "objects", "objects"]
    assert told(view).message.endswith(f"({len(model)} of {len(model)} locked objects)")


@pytest.mark.parametrize("body", [b"other bytes", b""])
def test_an_overwritten_object_is_gone(bucket: Bucket, model: Model, body: bytes):
    lock = locked(bucket, model)
    bucket.put(f"{PREFIX}1/{DATA}", body)
    gone = told(look(bucket, lock))
    assert (gone.here, gone.key) == (False, DATA)
    assert "has other bytes now" in gone.message


def test_other_bytes_of_the_same_size_are_gone_too(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    bucket.put(f"{PREFIX}1/{DATA}", bytes(255 - b for b in model[DATA]))
    assert told(look(bucket, lock)).here is False


def test_an_added_object_is_another_identity_and_takes_nothing_away(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    bucket.put(f"{PREFIX}1/assets/new.txt", b"x")
    view = look(bucket, lock)
    assert view.versions[0].fingerprint != lock.fingerprint
    assert told(view).here


def test_an_old_version_beyond_the_window_is_looked_at(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    for number in range(2, 16):
        bucket.put(f"{PREFIX}{number}/saved_model.pb", b"x")
    assert told(look(bucket, lock, keep=False)).here
    bucket.delete(f"{PREFIX}1/saved_model.pb")
    assert told(look(bucket, lock, keep=False)).here is False


def test_an_unreadable_bucket_says_nothing_new(bucket: Bucket, server: S3Server, model: Model):
    lock = locked(bucket, model)
    good = look(bucket, lock)
    store = server.store("not-there")
    view = discover(store, PREFIX, keep=[1], held={"m-v1": lock}, previous=good)
    assert view.reason is Reason.NoSuchBucket
    assert view.locks == good.locks


def test_another_bucket_cannot_tell(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    found = told(look(bucket, replace(lock, bucket="former")))
    assert (found.here, found.reason) == (None, Reason.SourceMoved)


def test_a_lock_that_was_tampered_with_is_not_followed(bucket: Bucket, model: Model):
    lock = locked(bucket, model)
    found = told(look(bucket, replace(lock, prefix="secrets/1/")))
    assert found.here is False  # nothing of it is there
    found = told(look(bucket, replace(lock, prefix="../1/")))
    assert (found.here, found.reason) == (False, Reason.MalformedLock)
    [found] = discover(bucket.store(), PREFIX, held={"m-v1": None}).locks
    assert (found.here, found.reason) == (False, Reason.MalformedLock)


def test_a_versioned_bucket_still_has_what_was_overwritten_and_deleted(
    versioned_bucket: Bucket, model: Model
):
    lock = locked(versioned_bucket, model)
    assert told(look(versioned_bucket, lock)).here
    versioned_bucket.put(f"{PREFIX}1/{DATA}", b"other bytes")
    versioned_bucket.delete(f"{PREFIX}1/saved_model.pb")
    view = look(versioned_bucket, lock)
    assert view.versions[0].fingerprint != lock.fingerprint
    assert told(view).here


def test_a_locked_version_that_was_deleted_for_good_is_gone(versioned_bucket: Bucket, model: Model):
    lock = locked(versioned_bucket, model)
    view = look(versioned_bucket, lock)
    item = next(o for o in lock.objects if o.key == DATA)
    versioned_bucket.put(f"{PREFIX}1/{DATA}", b"other bytes")
    versioned_bucket.client.delete_object(
        Bucket=versioned_bucket.name, Key=f"{PREFIX}1/{DATA}", VersionId=item.version_id
    )
    gone = look(versioned_bucket, lock, view)
    assert (told(gone).here, told(gone).key) == (False, DATA)
    store = Counting(versioned_bucket.store())
    discover(store, PREFIX, keep=[1], held={"m-v1": lock}, previous=gone)  # type: ignore[arg-type]
    assert "confirm" in store.calls, "it is asked for again at every look"


def test_versions_are_asked_for_seldom(versioned_bucket: Bucket, model: Model):
    """The same bytes uploaded again hide from the listing that the locked versions were deleted."""
    lock = locked(versioned_bucket, model)
    view = look(versioned_bucket, lock)
    versioned_bucket.put_tree(f"{PREFIX}1/", model)
    for item in lock.objects:
        versioned_bucket.client.delete_object(
            Bucket=versioned_bucket.name, Key=f"{PREFIX}1/{item.key}", VersionId=item.version_id
        )
    store = Counting(versioned_bucket.store())
    view = discover(store, PREFIX, keep=[1], held={"m-v1": lock}, previous=view)  # type: ignore[arg-type]
    assert "confirm" not in store.calls
    assert told(view).here
    late = replace(view, locks=(replace(told(view), looks=SELDOM - 1),))
    late = look(versioned_bucket, lock, late)
    assert told(late).here is False
    again = look(versioned_bucket, lock, late)
    new = again.versions[0].lock
    assert new is not None, "a lock made anew names the present versions"
    assert new.fingerprint == lock.fingerprint
    assert told(look(versioned_bucket, new, again)).here


def test_confirming_asks_for_size_and_etag_of_one_version(versioned_bucket: Bucket, model: Model):
    lock = locked(versioned_bucket, model)
    item = lock.objects[0]
    assert item.version_id is not None
    store = versioned_bucket.store()
    key = lock.prefix + item.key
    store.confirm(StoredObject(key, item.size, item.etag), item.version_id)
    for other in (
        StoredObject(key, item.size + 1, item.etag),
        StoredObject(key, item.size, "0" * 32),
        StoredObject(key + "x", item.size, item.etag),
    ):
        with pytest.raises(Exception, match=r"overwritten|deleted"):
            store.confirm(other, item.version_id)
