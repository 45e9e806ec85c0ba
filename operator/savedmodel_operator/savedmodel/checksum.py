"""Does every tensor of the variables have the bytes that were saved? Pure.

`layout` proves from sizes alone that an upload is whole; a flipped bit keeps the size, TensorFlow
notices it when it loads, and then only as DATA_LOSS in a crash loop. The index has a CRC-32C of
every tensor, so the same can be told from the files: `savedmodel inspect --deep` asks here, and
the fetcher before the model server starts. Shards are read once, in order, through any `Source`.

What is summed is what TensorFlow's BundleWriter sums (`tensorflow/core/util/tensor_bundle/
tensor_bundle.cc`), which is not always what lies in the file:

    numbers   the bytes
    strings   lengths as little-endian uint32 (uint64 from 4 GiB on), a masked CRC of those as
              uint32, the texts; in the file the lengths are varints
    variants  for each element its length as uint64, its bytes and a masked CRC of all before it;
              in the file the length is a varint
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import google_crc32c

from savedmodel_operator.savedmodel.bundle import FILE, BundleEntry, BundleIndex, mask, unmask
from savedmodel_operator.savedmodel.wire import MalformedModel, Source

CHUNK_BYTES = 1024 * 1024
"""Bytes of one read, and nearly all the memory that a check takes whatever the tensors' sizes."""

MAX_OVERLAP = 4
"""No writer lets tensors share bytes; an index that would have every byte summed more often than
this (20,000 tensors over one shard of a gigabyte) is refused, not followed."""

_LENGTHS_AT_ONCE = 64 * 1024
_UINT32, _UINT64 = 2**32, 2**64
_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Damage:
    """One tensor whose bytes are not those that were saved; `shard` is the key of its file."""

    tensor: str
    shard: str
    offset: int
    size: int
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.tensor}: bytes {self.offset} to {self.offset + self.size} of {self.shard} "
            f"{self.problem}"
        )


def find_damage(
    index: BundleIndex,
    open_shard: Callable[[str], Source],
    *,
    only: Collection[str] | None = None,
    chunk: int = CHUNK_BYTES,
) -> Iterator[Damage]:
    """Reads the shards and compares; tensors come in the order of the files.

    `open_shard` gets a key below the version directory; `only` leaves out the shards that are not
    in it, `chunk` is the size of a read in bytes. Raises MalformedModel for an index that no
    writer makes; what a source raises passes.
    """
    refuse_overlap(index)
    for number, key in enumerate(index.shards):
        entries = [e for e in index.entries if e.shard == number and e.size]
        if entries and (only is None or key in only):
            yield from check_shard(entries, key, open_shard(key), chunk)


def refuse_overlap(index: BundleIndex) -> None:
    """Raises MalformedModel where checking would take longer than the bytes are long."""
    if sum(e.size for e in index.entries) > MAX_OVERLAP * sum(index.shard_sizes):
        raise MalformedModel(0, "its tensors share bytes", FILE)


def check_shard(
    entries: Sequence[BundleEntry], key: str, shard: Source, chunk: int = CHUNK_BYTES
) -> Iterator[Damage]:
    """The damaged ones among tensors of one shard. Tensors without bytes are whole."""
    reader = _Reader(shard, chunk)
    for entry in sorted(entries, key=lambda e: e.offset):
        if not entry.size:
            continue
        if entry.offset + entry.size > shard.size:
            yield _damage(entry, key, f"are not there: it has {shard.size}")
        elif _sum(entry, reader) != unmask(entry.crc32c):
            yield _damage(entry, key, "do not have the checksum that the index has for them")


def _damage(entry: BundleEntry, key: str, problem: str) -> Damage:
    return Damage(entry.name, key, entry.offset, entry.size, problem)


def _sum(entry: BundleEntry, reader: _Reader) -> int | None:
    """The CRC-32C as the writer computed it; None for bytes that no writer makes."""
    reader.seek(entry.offset, entry.offset + entry.size)
    kind = entry.dtype.removesuffix("_REF")
    try:
        if kind == "DT_STRING":
            crc = _strings(_elements(entry), reader)
        elif kind == "DT_VARIANT":
            crc = _variants(_elements(entry), reader)
        else:
            return reader.extend(0, entry.size)
    except _Garbled:
        return None
    return crc if reader.left == 0 else None


def _elements(entry: BundleEntry) -> int:
    if entry.shape is None or min(entry.shape, default=0) < 0:
        raise _Garbled
    return prod(entry.shape)


def _strings(count: int, reader: _Reader) -> int:
    crc, total = 0, 0
    while count:
        lengths = reader.varints(min(count, _LENGTHS_AT_ONCE))
        count -= len(lengths)
        total += sum(lengths)
        crc = google_crc32c.extend(crc, _little_endian(lengths))
    stored = reader.take(4)
    if int.from_bytes(stored, "little") != mask(crc) or total != reader.left:
        raise _Garbled
    return reader.extend(google_crc32c.extend(crc, stored), total)


def _variants(count: int, reader: _Reader) -> int:
    crc = 0
    for _ in range(count):
        (length,) = reader.varints(1)
        crc = google_crc32c.extend(crc, length.to_bytes(8, "little"))
        crc = reader.extend(crc, length)
        stored = reader.take(4)
        if int.from_bytes(stored, "little") != mask(crc):
            raise _Garbled
        crc = google_crc32c.extend(crc, stored)
    return crc


def _little_endian(lengths: list[int]) -> bytes:
    if max(lengths) < _UINT32:
        return struct.pack(f"<{len(lengths)}I", *lengths)
    return b"".join(n.to_bytes(4 if n < _UINT32 else 8, "little") for n in lengths)


class _Garbled(Exception):
    """A tensor's own structure does not hold together."""


class _Reader:
    """Bytes of one shard in order, through one chunk; `seek` names the part that may be read.

    Small tensors that lie beside each other are read together.
    """

    def __init__(self, shard: Source, chunk: int) -> None:
        self._shard = shard
        self._chunk = chunk
        self._base = 0
        self._buffer = b""
        self._position = 0
        self._end = 0

    def seek(self, start: int, end: int) -> None:
        self._position, self._end = start, end

    @property
    def left(self) -> int:
        return self._end - self._position

    def extend(self, crc: int, length: int) -> int:
        """The CRC continued over the next `length` bytes."""
        if length > self.left:
            raise _Garbled
        stop = self._position + length
        while self._position < stop:
            index = self._fill()
            upto = min(len(self._buffer), index + stop - self._position)
            part = self._buffer[index:upto] if (index or upto < len(self._buffer)) else self._buffer
            crc = google_crc32c.extend(crc, part)
            self._position += upto - index
        return crc

    def take(self, length: int) -> bytes:
        """The next few bytes."""
        if length > self.left:
            raise _Garbled
        taken = b""
        while len(taken) < length:
            index = self._fill()
            part = self._buffer[index : index + length - len(taken)]
            taken += part
            self._position += len(part)
        return taken

    def varints(self, count: int) -> list[int]:
        """The next so many numbers, each of at most ten bytes."""
        values = list[int]()
        value = shift = 0
        while len(values) < count:
            if not self.left:
                raise _Garbled
            index = self._fill()
            room = min(self.left, _VARINT_BYTES * (count - len(values)))
            stop = min(len(self._buffer), index + room)
            for used, byte in enumerate(self._buffer[index:stop], 1):
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte >= 0x80:
                    if shift >= 7 * _VARINT_BYTES:
                        raise _Garbled
                    continue
                if value >= _UINT64:
                    raise _Garbled
                values.append(value)
                value = shift = 0
                if len(values) == count:
                    self._position += used
                    return values
            self._position += stop - index
        return values

    def _fill(self) -> int:
        """The place of the next byte in the buffer."""
        index = self._position - self._base
        if not 0 <= index < len(self._buffer):
            length = min(self._chunk, self._shard.size - self._position)
            self._base, self._buffer = self._position, self._shard.read(self._position, length)
            if len(self._buffer) != length:
                raise _Garbled  # the file became shorter meanwhile
            index = 0
        return index
