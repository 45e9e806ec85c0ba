"""`variables/variables.index` → what tensors there are and how long each shard must be. Pure.

The file is a LevelDB-style table written by TensorFlow's BundleWriter (format facts in
`tensorflow/core/util/tensor_bundle/` and `tensorflow/tsl/lib/io/`): blocks of prefix-compressed
entries, a checksum after each block, and a footer of 48 bytes that points to the index block.
`layout` uses the shard sizes to tell a complete upload from a torn one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.wire import (
    FIXED32,
    LEN,
    VARINT,
    BytesSource,
    Field,
    Window,
    signed,
)

FILE = "variables/variables.index"

MAX_INDEX_BYTES = 16 * 1024 * 1024
"""An entry takes some 60 bytes, so this is far beyond `MAX_ENTRIES`; the caller may refuse to
fetch a larger one. One copy in memory, 16 MiB of the 64 MiB."""

MAX_ENTRIES = 20_000
"""An entry has nine or so fields of `wire.FIELD_WORK` each, so these take 2.2 of the 2.8
million units of `wire.MAX_WORK`, and about 0.6 KiB each, 12 MiB. Large models have a few thousand."""

MAX_SHARDS = 100_000
"""Five digits in `variables.data-SSSSS-of-NNNNN`."""

_FOOTER, _TRAILER = 48, 5
_MAGIC = 0xDB4775248B80FB57
_CRC_DELTA = 0xA282EAD8


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One tensor: `offset` and `size` in bytes inside the shard; `crc32c` masked, as stored.

    A partitioned tensor has no bytes of its own: its slices are entries with `part_of` its name.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    shard: int
    offset: int
    size: int
    crc32c: int
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class BundleIndex:
    """`shard_sizes[i]` is the exact size in bytes of shard i; entries are sorted by name."""

    shard_sizes: tuple[int, ...]
    entries: tuple[BundleEntry, ...]

    @property
    def shards(self) -> dict[str, int]:
        """Key below the version directory → size in bytes, for every shard."""
        total = len(self.shard_sizes)
        return {
            f"variables/variables.data-{i:05d}-of-{total:05d}": size
            for i, size in enumerate(self.shard_sizes)
        }


def read_bundle_index(data: bytes) -> BundleIndex:
    """The index of the variables. Raises MalformedModel with the byte where it showed."""
    window = Window(BytesSource(data), FILE)
    if len(data) > MAX_INDEX_BYTES:
        raise window.malformed(MAX_INDEX_BYTES, f"longer than {MAX_INDEX_BYTES} bytes")
    return _Table(data, window).read()


def unmask(masked: int) -> int:
    """The CRC-32C behind a stored one, which LevelDB rotates by 15 bits and shifts.

    >>> hex(unmask(0xa282ead8))
    '0x0'
    """
    rotated = (masked - _CRC_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def mask(crc: int) -> int:
    """What is stored for a CRC-32C, see `unmask`.

    >>> hex(mask(0)), unmask(mask(12345))
    ('0xa282ead8', 12345)
    """
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return (rotated + _CRC_DELTA) & 0xFFFFFFFF


class _Table:
    def __init__(self, data: bytes, window: Window) -> None:
        self._data = data
        self._window = window

    def read(self) -> BundleIndex:
        entries = list[BundleEntry]()
        shards: int | None = None
        last = b""
        for number, (key, value) in enumerate(self._entries()):
            if number and key <= last:
                raise self._window.malformed(value.start, "the keys are not in order")
            last = key
            if number == 0:
                if key:
                    raise self._window.malformed(value.start, "the header entry is missing")
                shards = self._header(value)
            elif number > MAX_ENTRIES:
                raise self._window.malformed(value.start, f"more than {MAX_ENTRIES} tensors")
            else:
                entries.append(self._entry(key, value))
        if shards is None:
            raise self._window.malformed(0, "the header entry is missing")
        return BundleIndex(self._shard_sizes(shards, entries), tuple(entries))

    def _shard_sizes(self, shards: int, entries: list[BundleEntry]) -> tuple[int, ...]:
        sizes = [0] * shards
        for entry in entries:
            if not 0 <= entry.shard < shards:
                raise self._window.malformed(
                    0, f"{entry.name!r} is in shard {entry.shard}, there are {shards}"
                )
            sizes[entry.shard] = max(sizes[entry.shard], entry.offset + entry.size)
        return tuple(sizes)

    def _entries(self) -> Iterator[tuple[bytes, Field]]:
        """Key and place of the value of every entry, in the file's order."""
        size, window = len(self._data), self._window
        footer = size - _FOOTER
        if footer < 0:
            raise window.malformed(size, f"{size} bytes are too short for an index")
        if int.from_bytes(self._data[-8:], "little") != _MAGIC:
            raise window.malformed(size - 8, "the magic number at the end is missing: truncated?")
        position = self._handle(footer, size - 8)[2]  # the metaindex: unused by bundles
        start, length, _ = self._handle(position, size - 8)
        for _, handle in self._block(start, length):
            start, length, _ = self._handle(handle.start, handle.end)
            yield from self._block(start, length)

    def _handle(self, position: int, end: int) -> tuple[int, int, int]:
        """Offset and size of a block, and the position behind the two numbers."""
        start, position = self._window.varint(position, end)
        length, position = self._window.varint(position, end)
        return start, length, position

    def _block(self, start: int, length: int) -> Iterator[tuple[bytes, Field]]:
        window, end = self._window, start + length
        self._check_block(start, end)
        restarts = int.from_bytes(self._data[end - 4 : end], "little")
        limit = end - 4 - 4 * restarts
        if restarts < 1 or limit < start:
            raise window.malformed(end - 4, f"a block claims {restarts} restart points")
        key, position = b"", start
        while position < limit:
            window.spend(4, position)
            shared, position = window.varint(position, limit)
            rest, position = window.varint(position, limit)
            size, position = window.varint(position, limit)
            if shared > len(key) or rest > 4096 or rest + size > limit - position:
                raise window.malformed(position, "an entry is longer than its block")
            key = key[:shared] + self._data[position : position + rest]
            if len(key) > 4096:
                raise window.malformed(position, "a name is longer than 4096 bytes")
            position += rest
            yield key, Field(0, LEN, 0, position, position + size)
            position += size

    def _check_block(self, start: int, end: int) -> None:
        """Type byte and masked CRC-32C follow a block and cover it."""
        window, data = self._window, self._data
        if end - start < 4 or end + _TRAILER > len(data) - _FOOTER:
            raise window.malformed(min(start, len(data)), "a block lies outside the file")
        window.spend((end - start) // 1024, start)  # blocks may be named twice, time may not
        if data[end]:
            raise window.malformed(end, f"a block is compressed (type {data[end]})")
        stored = int.from_bytes(data[end + 1 : end + _TRAILER], "little")
        if google_crc32c.value(data[start : end + 1]) != unmask(stored):
            raise window.malformed(start, "a block does not have the checksum that was stored")

    def _header(self, value: Field) -> int:
        """BundleHeaderProto {1 num_shards, 2 endianness}."""
        shards = 0
        for part in self._window.fields(value.start, value.end):
            if part.number == 1:
                shards = self._window.expect(part, VARINT, "num_shards").value
            elif part.number == 2 and part.value:
                raise self._window.malformed(part.start, "written on a big-endian machine")
        if not 0 < shards <= MAX_SHARDS:
            raise self._window.malformed(value.start, f"it claims {shards} shards")
        return shards

    def _entry(self, key: bytes, value: Field) -> BundleEntry:
        """BundleEntryProto {1 dtype, 2 shape, 3 shard_id, 4 offset, 5 size, 6 crc32c, 7 slices}."""
        window, numbers = self._window, dict.fromkeys((1, 3, 4, 5, 6), 0)
        shape: tuple[int, ...] | None = ()
        sliced = False
        for part in window.fields(value.start, value.end):
            if part.number in numbers:
                kind = FIXED32 if part.number == 6 else VARINT
                numbers[part.number] = window.expect(part, kind, "a number of an entry").value
            elif part.number == 2:
                shape = self._shape(part)
            sliced |= part.number == 7
        dtype, shard, offset, size, crc = numbers.values()
        if offset >> 63 or size >> 63:
            raise window.malformed(value.start, "an entry has a negative offset or size")
        if sliced:  # a partitioned variable: its slices are entries of their own
            offset = size = 0
        name, part_of = _name(key)
        return BundleEntry(name, proto_name(dtype), shape, shard, offset, size, crc, part_of)

    def _shape(self, shape: Field) -> tuple[int, ...] | None:
        sizes, unknown = list[int](), False
        for part in self._window.fields(shape.start, shape.end):
            if part.number == 3:
                unknown = bool(part.value)
            elif part.number == 2:
                dim = self._window.fields(part.start, part.end)
                sizes.append(next((signed(d.value) for d in dim if d.number == 1), 0))
        return None if unknown else tuple(sizes)


def _name(key: bytes) -> tuple[str, str]:
    """The name to show, and for a slice the tensor that it is part of.

    Keys of slices are binary (`checkpoint::EncodeTensorNameSlice`): a zero, the tensor's name, zero
    and one, then the extents.
    """
    if not key.startswith(b"\0"):
        return key.decode("utf-8", "backslashreplace"), ""
    tensor, _, extents = key[1:].partition(b"\0\1")
    part_of = tensor.decode("utf-8", "backslashreplace")
    return f"{part_of}[{extents.hex()}]", part_of
