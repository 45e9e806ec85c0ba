"""The lock's wire form: deterministic, bounded, and never believed blindly."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from lab.fuzz_operator import lock as fuzz_lock
from lab.fuzz_targets import BYTES, cost_of
from savedmodel_operator.api.lock import MAX_DECODED_BYTES, MAX_ENCODED_BYTES, MAX_OBJECTS
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.lock import (
    decode_lock,
    encode_lock,
    fingerprint_objects,
)

OBJECTS = (
    LockedObject("saved_model.pb", 10, "e1", "v1", "crc32c:AAAAAA=="),
    LockedObject("variables/variables.index", 20, "e2"),
)


def lock_of(objects: tuple[LockedObject, ...] = OBJECTS, **changes: Any) -> Lock:
    made = Lock("models", "flowers/0042/", 42, "0042", fingerprint_objects(objects), objects)
    return replace(made, **changes)


def wire(**changes: Any) -> bytes:
    """The encoded lock with parts of its JSON replaced."""
    data = json.loads(gzip.decompress(encode_lock(lock_of())))
    return gzip.compress(json.dumps({**data, **changes}).encode(), mtime=0)


def body_with(objects: list[Any]) -> dict[str, Any]:
    """The JSON of a lock with these entries."""
    data: dict[str, Any] = json.loads(gzip.decompress(encode_lock(lock_of())))
    return {**data, "objects": objects}


def test_round_trip():
    assert decode_lock(encode_lock(lock_of())) == lock_of()


def test_encoding_is_deterministic():
    backwards = lock_of(objects=tuple(reversed(OBJECTS)))
    assert encode_lock(lock_of()) == encode_lock(backwards)


def test_one_object_more_than_fits_is_too_many():
    def many(count: int) -> Lock:
        names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]
        return lock_of(tuple(LockedObject(f"a/{n}", 1, n[:32], n[:32]) for n in names))

    assert len(encode_lock(many(5_000))) <= MAX_ENCODED_BYTES
    with pytest.raises(StorageError) as caught:
        encode_lock(many(20_000))
    assert caught.value.reason is Reason.TooManyObjects
    assert "20000 objects" in caught.value.message


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "gzip JSON"),
        (b"not gzip", "gzip JSON"),
        (encode_lock(lock_of())[:-1], "gzip JSON"),
        (encode_lock(lock_of()) + b"x", "gzip JSON"),
        (gzip.compress(b"[" * 100_000, mtime=0), "gzip JSON"),
        (gzip.compress(b"{}", mtime=0), "gzip JSON"),
        (b"x" * (MAX_ENCODED_BYTES + 1), "gzip JSON"),
        (wire(format=2), "format is 2"),
        (wire(extra=1), "gzip JSON"),
        (wire(number="42"), "gzip JSON"),
        (wire(number=43), "does not spell"),
        (wire(directory="../42"), "does not spell"),
        (wire(prefix="flowers/0043/"), "prefix"),
        (wire(prefix="flowers/0042"), "prefix"),
        (wire(prefix="flowers/x0042/"), "prefix"),
        (wire(prefix="../0042/"), "prefix"),
        (wire(fingerprint="sha256:" + "0" * 64), "fingerprint"),
        (wire(objects=[["../x", 1, "e", None, None]]), "“..”"),
        (wire(objects=[["a", 1, "e", None, None]] * 2), "twice"),
        (wire(objects=[["a", -1, "e", None, None]]), "negative"),
        (wire(objects=[["a", 1, 'e"\r\nX: y', None, None]]), "ETag"),
        (wire(objects=[["a", 1, "e", None, "crc64nvme:AAAAAAAAAAA="]]), "checksum"),
        (wire(objects=[["a", 1.5, "e", None, None]]), "gzip JSON"),
        (wire(objects=[["a", 1, "e", None, None, "more"]]), "gzip JSON"),
        (wire(objects=[["a", 1, "e", None]]), "gzip JSON"),
    ],
)
def test_anything_else_is_malformed(data: bytes, word: str):
    with pytest.raises(StorageError) as caught:
        decode_lock(data)
    assert caught.value.reason is Reason.MalformedLock
    assert word in caught.value.message


def test_a_bomb_is_not_inflated():
    bomb = gzip.compress(b" " * (64 * 1024 * 1024), compresslevel=1)
    assert len(bomb) < MAX_ENCODED_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(StorageError):
            decode_lock(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * 1024 * 1024


def test_a_bomb_of_entries_costs_little():
    """Whoever may write ConfigMaps can write one; 40 kB once took the operator 184 MiB."""
    row = ["", 0, "", None, None]
    entries = (MAX_DECODED_BYTES - 1024) // len(b'["",0,"",null,null],')
    bomb = gzip.compress(json.dumps(body_with([row] * entries), separators=(",", ":")).encode())
    accepted, _, memory = cost_of(lambda: fuzz_lock(bomb))
    assert not accepted
    assert len(bomb) < 64 * 1024
    assert memory < BYTES


def test_more_objects_than_a_version_may_have():
    rows = [[str(n), 1, "e", None, None] for n in range(MAX_OBJECTS + 1)]
    with pytest.raises(StorageError, match="more than 20000 objects"):
        decode_lock(gzip.compress(json.dumps(body_with(rows)).encode()))


def test_what_could_not_be_read_back_is_not_written():
    """Keys that compress well: room in the ConfigMap, but none in the bound of the reader."""
    objects = tuple(LockedObject(f"{'a' * 900}{n:05}", 1, "e") for n in range(5_000))
    with pytest.raises(StorageError) as caught:
        encode_lock(lock_of(objects))
    assert caught.value.reason is Reason.TooManyObjects
    assert f"room for {MAX_DECODED_BYTES // 1024} KiB" in caught.value.message
