"""The lock's wire form: deterministic gzip JSON, bounded both ways. Pure.

`workload.lock` puts the bytes into a ConfigMap, `storage.lock` reads them inside a pod and there
judges every key, size and the fingerprint again: this module knows the form, not the trust.
"""

from __future__ import annotations

import gzip
import zlib

import msgspec

from savedmodel_operator.api.source import Lock, LockedObject

FILE = "lock.json.gz"
"""The key in the ConfigMap's `binaryData`, hence the file's name in the pod."""

FORMAT = 1

MAX_ENCODED_BYTES = 768 * 1024
"""A ConfigMap holds 1 MiB and etcd takes requests of 1.5 MiB; `binaryData` travels as base64
(4/3), so 768 KiB become exactly 1 MiB on the wire and 768 KiB count in the ConfigMap."""

MAX_OBJECTS = 20_000
"""Of one version."""

MAX_DECODED_BYTES = 4 * 1024 * 1024
"""As many objects with 200 bytes each. A crafted text of this size has ten times as many entries,
which are counted before anything is made of them: 0.2 s and 25 MiB."""


class LockError(ValueError):
    """Bytes that are no lock, or a lock that no ConfigMap can hold. The text is a clause."""


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


def encode(lock: Lock) -> bytes:
    """The bytes of a lock; the same lock always gives the same bytes.

    Raises LockError where they do not fit into a ConfigMap.
    """
    wire = _Wire(
        format=FORMAT,
        bucket=lock.bucket,
        prefix=lock.prefix,
        number=lock.number,
        directory=lock.directory,
        fingerprint=lock.fingerprint,
        objects=[
            _Entry(o.key, o.size, o.etag, o.version_id, o.checksum)
            for o in sorted(lock.objects, key=lambda o: o.key)
        ],
    )
    text = msgspec.json.encode(wire)
    data = gzip.compress(text, compresslevel=9, mtime=0)
    for size, room, what in (
        (len(data), MAX_ENCODED_BYTES, "compressed and a ConfigMap"),
        (len(text), MAX_DECODED_BYTES, "and a lock"),
    ):
        if size > room:
            raise LockError(
                f"its list of {len(lock.objects)} objects takes {size // 1024} KiB {what} has room "
                f"for {room // 1024} KiB"
            )
    return data


def decode(data: bytes) -> Lock:
    """The lock in these bytes, every field of its type. Raises LockError for anything else."""
    try:
        wire = msgspec.json.decode(_inflate(data), type=_Wire)
    except (msgspec.MsgspecError, zlib.error, ValueError, RecursionError) as error:
        raise LockError("it is no gzip JSON of this operator") from error
    if wire.format != FORMAT:
        raise LockError(f"its format is {wire.format}, this release reads {FORMAT}")
    if len(wire.objects) > MAX_OBJECTS:
        raise LockError(f"it lists more than {MAX_OBJECTS} objects")
    return Lock(
        bucket=wire.bucket,
        prefix=wire.prefix,
        number=wire.number,
        directory=wire.directory,
        fingerprint=wire.fingerprint,
        objects=tuple(
            LockedObject(e.key, e.size, e.etag, e.version_id, e.checksum) for e in wire.objects
        ),
    )


def _inflate(data: bytes) -> bytes:
    if len(data) > MAX_ENCODED_BYTES:
        raise ValueError("too long")
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    text = inflater.decompress(data, MAX_DECODED_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("truncated, trailing or too large")
    return text
