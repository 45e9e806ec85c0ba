"""The lock's wire form: gzip-compressed JSON in an immutable ConfigMap, and back.

Pure. `workload` puts the bytes into the ConfigMap, `fetch` reads them inside a pod. Encoding is
deterministic, so that the same identity gives the same ConfigMap. Decoding trusts nothing:
bounded inflation, strict types, safe keys, and the fingerprint is computed again.
"""

from __future__ import annotations

import gzip
import zlib

import msgspec

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

FORMAT = 1

MAX_ENCODED_BYTES = 768 * 1024
"""A ConfigMap holds 1 MiB and etcd takes requests of 1.5 MiB; `binaryData` travels as base64
(4/3), so 768 KiB become exactly 1 MiB on the wire and 768 KiB count in the ConfigMap."""

MAX_DECODED_BYTES = 16 * 1024 * 1024
"""An entry is ≥ 40 incompressible bytes (ETag and version id), so 768 KiB hold < 20,000 entries
of about 200 bytes: 4 MiB. Four times that is surely a bomb."""


class _Entry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    key: str
    size: int
    etag: str
    version_id: str | None
    checksum: str | None


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    bucket: str
    prefix: str
    number: int
    directory: str
    fingerprint: str
    objects: list[_Entry]


def fingerprint_objects(objects: tuple[LockedObject, ...]) -> str:
    """The fingerprint of a version's objects (design.md §2)."""
    return fingerprint((o.key, o.size, o.etag) for o in objects)


def encode_lock(lock: Lock) -> bytes:
    """The lock as deterministic gzip JSON.

    Raises StorageError(TooManyObjects) where it does not fit into a ConfigMap.
    """
    entries = [
        _Entry(o.key, o.size, o.etag, o.version_id, o.checksum)
        for o in sorted(lock.objects, key=lambda o: o.key)
    ]
    wire = _Wire(
        format=FORMAT,
        bucket=lock.bucket,
        prefix=lock.prefix,
        number=lock.number,
        directory=lock.directory,
        fingerprint=lock.fingerprint,
        objects=entries,
    )
    data = gzip.compress(msgspec.json.encode(wire), compresslevel=9, mtime=0)
    if len(data) > MAX_ENCODED_BYTES:
        raise StorageError(
            Reason.TooManyObjects,
            f"version {lock.number} has {len(lock.objects)} objects; their list takes "
            f"{len(data) // 1024} KiB compressed and a ConfigMap has room for "
            f"{MAX_ENCODED_BYTES // 1024} KiB: export it with fewer shards or assets",
        )
    return data


def decode_lock(data: bytes) -> Lock:
    """The lock that `encode_lock` wrote. Raises StorageError(MalformedLock) for anything else."""
    try:
        wire = msgspec.json.decode(_inflate(data), type=_Wire)
    except (msgspec.MsgspecError, zlib.error, ValueError, RecursionError) as error:
        raise _malformed("it is no gzip JSON of this operator") from error
    objects = tuple(
        LockedObject(e.key, e.size, e.etag, e.version_id, e.checksum) for e in wire.objects
    )
    lock = Lock(
        bucket=wire.bucket,
        prefix=wire.prefix,
        number=wire.number,
        directory=wire.directory,
        fingerprint=wire.fingerprint,
        objects=objects,
    )
    fault = _fault(wire.format, lock)
    if fault is not None:
        raise _malformed(fault)
    return lock


def _inflate(data: bytes) -> bytes:
    if len(data) > MAX_ENCODED_BYTES:
        raise ValueError("too long")
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    text = inflater.decompress(data, MAX_DECODED_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("truncated, trailing or too large")
    return text


def _fault(wire_format: int, lock: Lock) -> str | None:
    if wire_format != FORMAT:
        return f"its format is {wire_format}, this release reads {FORMAT}"
    if parse_number(lock.directory) != lock.number:
        return "its directory name does not spell its number"
    if not lock.prefix.endswith(lock.directory + "/") or key_fault(lock.prefix[:-1]) is not None:
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
