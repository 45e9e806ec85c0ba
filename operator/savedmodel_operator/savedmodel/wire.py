"""Bounded reading of protobuf's wire format at random offsets. Pure; used by every reader here.

A `Source` is anything that can hand out a byte range: bytes, a memory map, an object in a bucket.
A `Window` reads it through one buffer, so that skipping a 200 MB payload costs nothing and a
sequential scan costs few, growing reads. Nothing here knows TensorFlow, opens files or sleeps.

What protobuf tolerates and no writer of SavedModels does (groups, overlong varints, a field
number 0) is refused: a reader that guesses can be made to see another model than the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5

FIRST_READ = 256 * 1024
"""Bytes of a read after a jump: one round trip to a bucket costs as much as about that many."""

LARGEST_READ = 2 * 1024 * 1024
"""Sequential reads double up to here; two such buffers live at most, 4 MiB of the 64 MiB."""

MAX_TEXT = 16 * 1024
"""Bytes of one name. The longest seen in real graphs are a few hundred (nested name scopes)."""

MAX_WORK = 2_800_000
"""Units of about 0.2 µs that one file may cost: 0.6 s of the one second that a hostile file may
take. A node of a graph costs six units and one per field (`graph`), so 200,000 usual nodes fit
(ResNet50 has 4,000, the largest known graphs some 100,000); a signature with 5,000 inputs has
5,000 × (entry 2 + tensor 3 + shape 3 × 2) = 55,000 fields."""

FIELD_WORK = 12
"""Units of a field that is read one by one, about 2.4 µs."""

_MAX_NUMBER = 2047
"""Field numbers with tags of two bytes; the largest in SavedModel's messages is below 100."""

_MAX_VARINT = 10


class Source(Protocol):
    """Bytes with a size that can be read at any offset."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; the caller stays inside `size`."""


class BytesSource:
    """A `Source` over bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        """The slice."""
        return bytes(self._data[offset : offset + length])


class MalformedModel(Exception):
    """The bytes are not what they claim to be, or beyond what this reader accepts.

    `offset` is the byte where it showed, `file` the key below the version directory.
    """

    def __init__(self, offset: int, problem: str, file: str) -> None:
        super().__init__(f"{file}, byte {offset}: {problem}")
        self.offset = offset
        self.problem = problem
        self.file = file


class Field(NamedTuple):
    """One field: `value` of a number, `start` and `end` of a payload's bytes."""

    number: int
    kind: int
    value: int
    start: int
    end: int


class Window:
    """One buffer over a `Source`; positions are offsets into the whole file."""

    def __init__(self, source: Source, file: str) -> None:
        self._source = source
        self.file = file
        self.size = source.size
        self.base = 0
        self.buffer = b""
        self.reads = 0
        self._work_left = MAX_WORK
        self._step = FIRST_READ

    def malformed(self, offset: int, problem: str) -> MalformedModel:
        """The error to raise for a problem at a byte of this file."""
        return MalformedModel(offset, problem, self.file)

    def at(self, offset: int, length: int) -> int:
        """The index into `buffer` from which `length` bytes at `offset` can be taken."""
        index = offset - self.base
        if index < 0 or index + length > len(self.buffer):
            self._fill(offset, length)
            index = 0
        return index

    def _fill(self, offset: int, length: int) -> None:
        if offset + length > self.size:
            raise self.malformed(self.size, f"the file ends inside a field that began at {offset}")
        # A skip that is shorter than a read goes on reading: the last payload of a buffer ends
        # behind it.
        near = self.base <= offset <= self.base + len(self.buffer) + FIRST_READ and self.reads
        self._step = min(self._step * 2, LARGEST_READ) if near else FIRST_READ
        wanted = min(max(length, self._step), self.size - offset)
        data = self._source.read(offset, wanted)
        if len(data) != wanted:
            raise self.malformed(offset + len(data), f"{wanted} bytes asked for, {len(data)} read")
        self.base, self.buffer, self.reads = offset, data, self.reads + 1

    def bytes(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`; the caller has bounded how many."""
        index = self.at(start, end - start)
        return self.buffer[index : index + end - start]

    def text(self, field: Field, what: str) -> str:
        """The payload as UTF-8."""
        if field.end - field.start > MAX_TEXT:
            raise self.malformed(field.start, f"{what} is longer than {MAX_TEXT} bytes")
        try:
            return self.bytes(field.start, field.end).decode()
        except UnicodeDecodeError:
            raise self.malformed(field.start, f"{what} is not UTF-8") from None

    def varint(self, offset: int, end: int) -> tuple[int, int]:
        """The number at `offset` and the offset behind it, both inside `end`."""
        room = min(_MAX_VARINT, end - offset)
        if not room:
            raise self.malformed(offset, "a field ends inside a number")
        index = self.at(offset, room)
        buffer, value = self.buffer, 0
        for i in range(room):
            byte = buffer[index + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if value >> 64 or (i and not byte):
                    raise self.malformed(offset, "a number is written in more bytes than it needs")
                return value, offset + i + 1
        problem = "a number has no end" if room == _MAX_VARINT else "a field ends inside a number"
        raise self.malformed(offset, problem)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Every field of the message between `start` and `end`, payloads skipped by offset."""
        position = start
        while position < end:
            found = self.field(position, end)
            yield found
            position = found.end

    def spend(self, work: int, position: int) -> None:
        """Counts work done, so that no file can take longer than `MAX_WORK` units."""
        self._work_left -= work
        if self._work_left < 0:
            raise self.malformed(position, "more nodes and fields than this reader accepts")

    def field(self, position: int, end: int) -> Field:
        """The field at `position`."""
        self.spend(FIELD_WORK, position)
        tag, start = self.varint(position, end)
        number, kind = tag >> 3, tag & 7
        if not 0 < number <= _MAX_NUMBER:
            raise self.malformed(position, "not a protobuf message: impossible field number")
        if kind == VARINT:
            value, stop = self.varint(start, end)
            return Field(number, kind, value, start, stop)
        if kind == LEN:
            length, start = self.varint(start, end)
            if length > end - start:
                raise self.malformed(
                    position, f"field {number} claims {length} bytes, {end - start} are left"
                )
            return Field(number, kind, 0, start, start + length)
        width = {FIXED64: 8, FIXED32: 4}.get(kind)
        if width is None:
            raise self.malformed(position, f"field {number} has wire type {kind}")
        if width > end - start:
            raise self.malformed(position, f"field {number} ends inside its value")
        value = int.from_bytes(self.bytes(start, start + width), "little")
        return Field(number, kind, value, start, start + width)

    def expect(self, field: Field, kind: int, what: str) -> Field:
        """The field itself if it has the wire type that the schema says."""
        if field.kind != kind:
            raise self.malformed(
                field.start, f"{what} has wire type {field.kind}, the format says {kind}"
            )
        return field


def signed(value: int) -> int:
    """A varint as the two's complement int64 that it stands for.

    >>> signed(3), signed((1 << 64) - 1)
    (3, -1)
    """
    return value - (1 << 64) if value >> 63 else value
