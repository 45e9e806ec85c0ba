"""Arrays out of an .npz file: a zip of .npy files, versions 1 to 3 of the format. Pure.

Format: numpy's own description (NEP 1 and numpy.lib.format). Own reader, because the operator's
image has no numpy and needs only plain numbers and strings. Pickled objects are refused, they
would run code. Every size is checked before it is believed.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_MEMBERS = 64
"""Arrays of a file: signatures with more inputs and outputs are served, but not tried by hand."""

MAX_BYTES = 8 * 1024 * 1024
"""Decompressed, all arrays together. A ConfigMap holds 1 MiB, which deflate can blow up a
thousandfold; eight times is what photographs and text really shrink by."""

MAX_VALUES = 512 * 1024
"""Numbers of all arrays together: three colour images of 224 × 224 (150,528 each). As Python
numbers they take about 16 MiB, as JSON about 10 MiB."""

MAX_RANK = 16
MAX_HEADER = 4096
"""Bytes of a .npy header: 16 dimensions of 20 digits and a dtype take 400."""

_HEADER = re.compile(
    r"\{\s*'descr':\s*'([^']{1,16})',\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*",
    re.ASCII,
)
_CODES = {
    "b1": ("bool", "?"), "i1": ("int8", "b"), "i2": ("int16", "h"), "i4": ("int32", "i"),
    "i8": ("int64", "q"), "u1": ("uint8", "B"), "u2": ("uint16", "H"), "u4": ("uint32", "I"),
    "u8": ("uint64", "Q"), "f2": ("float16", "e"), "f4": ("float32", "f"), "f8": ("float64", "d"),
}  # fmt: skip


class MalformedNpz(ValueError):
    """Not an .npz file that is read here; the text is a clause that says what to do."""


@dataclass(frozen=True)
class Array:
    """One array. `nested` are lists of lists as JSON has them; strings are bytes."""

    dtype: str
    shape: tuple[int, ...]
    nested: Any


def read_npz(data: bytes) -> Mapping[str, Array]:
    """Name → array. Raises MalformedNpz."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except MalformedNpz:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error) as error:
        raise MalformedNpz(f"it is no .npz file ({error}); write it with numpy.savez") from None
    except (NotImplementedError, RuntimeError) as error:
        raise MalformedNpz(f"{error}; write it with numpy.savez") from None


def _read(archive: zipfile.ZipFile) -> dict[str, Array]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise MalformedNpz(f"it has {len(members)} arrays, at most {MAX_MEMBERS} are read")
    arrays: dict[str, Array] = {}
    room, values = MAX_BYTES, MAX_VALUES
    for member in members:
        name = member.filename.removesuffix(".npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # LZMA and bzip2 may ask for any amount of memory, and numpy writes neither
            raise MalformedNpz(f"array {name[:80]!r} is compressed by another method than deflate")
        with archive.open(member) as file:
            content = file.read(room + 1)  # what the directory says about the size is not believed
        room -= len(content)
        if room < 0:
            raise MalformedNpz(f"its arrays take more than {MAX_BYTES // 1024**2} MiB")
        arrays[name] = _array(name, content, values)
        values -= math.prod(max(1, size) for size in arrays[name].shape)
    return arrays


def _array(name: str, content: bytes, most: int) -> Array:
    shown = repr(name[:80])
    header, body = _split(shown, content)
    found = _HEADER.fullmatch(header)
    if found is None:
        raise MalformedNpz(
            f"array {shown} has a structured or unreadable dtype; store plain arrays"
        )
    descr, fortran, sizes = found.groups()
    shape = tuple(int(size[:12]) for size in re.findall(r"[0-9]+", sizes))
    count = math.prod(max(1, size) for size in shape)  # an empty array may have large sizes too
    if len(shape) > MAX_RANK or count > most:
        raise MalformedNpz(
            f"array {shown} has shape {list(shape)}; at most {MAX_VALUES} values in all and "
            f"{MAX_RANK} dimensions are read"
        )
    dtype, flat = _values(shown, descr, math.prod(shape), body)
    return Array(dtype, shape, _nest(flat, shape, fortran == "True"))


def _split(shown: str, content: bytes) -> tuple[str, bytes]:
    """Header text and data."""
    if content[:6] != b"\x93NUMPY" or len(content) < 12:
        raise MalformedNpz(f"{shown} is no .npy file; write arrays with numpy.savez")
    wide = content[6] >= 2
    start = 12 if wide else 10
    (length,) = struct.unpack_from("<I" if wide else "<H", content, 8)
    if content[6] > 3 or length > MAX_HEADER or start + length > len(content):
        raise MalformedNpz(f"array {shown} has a damaged header")
    return content[start : start + length].decode("latin-1"), content[start + length :]


def _values(shown: str, descr: str, count: int, body: bytes) -> tuple[str, list[Any]]:
    """The dtype's name and `count` values in the file's order."""
    order, kind = (descr[0], descr[1:]) if descr[0] in "<>|=" else ("=", descr)
    if kind[:1] == "O":
        raise MalformedNpz(
            f"array {shown} holds Python objects, which would have to be unpickled; store strings "
            f"with dtype S or U, numbers with a numeric dtype"
        )
    if kind[:1] in ("S", "U") and kind[1:].isdecimal() and kind[1:].isascii():
        return "string", _strings(shown, kind, order, count, body)
    if kind not in _CODES:
        raise MalformedNpz(f"array {shown} has dtype {descr}, which REST requests cannot carry")
    dtype, code = _CODES[kind]
    layout = f"{'<' if order == '|' else order}{count}{code}"
    if struct.calcsize(layout) != len(body):
        raise MalformedNpz(f"array {shown} has {len(body)} bytes, its shape says another size")
    return dtype, list(struct.unpack(layout, body))


def _strings(shown: str, kind: str, order: str, count: int, body: bytes) -> list[Any]:
    width = int(kind[1:]) * (1 if kind[0] == "S" else 4)
    if width * count != len(body):
        raise MalformedNpz(f"array {shown} has {len(body)} bytes, its shape says another size")
    items = [body[i * width : (i + 1) * width] for i in range(count)]
    if kind[0] == "S":
        return [item.rstrip(b"\0") for item in items]
    encoding = "utf-32-be" if order == ">" else "utf-32-le"
    return [item.decode(encoding).rstrip("\0").encode() for item in items]


def _nest(flat: list[Any], shape: tuple[int, ...], fortran: bool) -> Any:
    """Lists of lists. In Fortran order the first index runs fastest."""
    sizes = [1, *shape[:-1]] if fortran else [*shape[1:], 1]
    strides = [
        math.prod(sizes[: axis + 1] if fortran else sizes[axis:]) for axis in range(len(shape))
    ]

    def take(axis: int, offset: int) -> Any:
        if axis == len(shape):
            return flat[offset]
        return [take(axis + 1, offset + i * strides[axis]) for i in range(shape[axis])]

    return take(0, 0) if 0 not in shape else _empty(shape)


def _empty(shape: tuple[int, ...]) -> Any:
    if not shape or shape[0] == 0:
        return []
    return [_empty(shape[1:]) for _ in range(shape[0])]
