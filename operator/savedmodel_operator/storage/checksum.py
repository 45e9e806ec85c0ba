"""Stored checksums, verified over bytes that arrive in parallel ranges. Pure arithmetic.

`s3` writes one of these into the lock, `fetch` verifies it:

    md5:HEX  sha1:BASE64  sha256:BASE64     of the object, in file order
    crc32:BASE64  crc32c:BASE64             of the object, range by range and then combined
    crc32:BASE64@PARTBYTES  (and crc32c)    of the parts' CRCs: S3's COMPOSITE checksum of a
                                            multipart upload whose parts all had this size

CRCs need no second pass over a large file. CRC64NVME is not verified: nothing that we depend on
computes it at a useful speed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import google_crc32c

_CRC32_POLYNOMIAL = 0xEDB88320  # reflected, IEEE 802.3
_CRC32C_POLYNOMIAL = 0x82F63B78  # reflected, Castagnoli
_POLYNOMIALS = {"crc32": _CRC32_POLYNOMIAL, "crc32c": _CRC32C_POLYNOMIAL}
_DIGESTS = {"md5": 16, "sha1": 20, "sha256": 32}


class Running(Protocol):
    """A checksum that takes bytes in order."""

    def update(self, data: Any) -> None:
        """Takes the next bytes (any buffer)."""

    def digest(self) -> bytes:
        """The value so far."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crc32c:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = google_crc32c.extend(self._value, data)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class Checksum:
    """What an object's bytes must add up to. Raises ValueError for a text it cannot verify.

    `part_bytes` is None, or the part size of a composite checksum: then no range may cross a
    multiple of it.
    """

    def __init__(self, text: str) -> None:
        self.algorithm, _, value = text.partition(":")
        value, composite, part = value.partition("@")
        self.part_bytes = int(part) if composite else None
        if self.algorithm == "md5":
            self.expected = binascii.unhexlify(value)
        else:
            self.expected = base64.b64decode(value, validate=True)
        length = 4 if self.combines else _DIGESTS.get(self.algorithm)
        unusable = self.part_bytes is not None and (self.part_bytes <= 0 or not self.combines)
        if len(self.expected) != length or unusable:
            raise ValueError(f"checksum {text!r} is none that can be verified")

    @property
    def combines(self) -> bool:
        """Whether sums of adjacent ranges can be put together."""
        return self.algorithm in _POLYNOMIALS

    def start(self) -> Running:
        """A fresh running sum of one range, or of the whole object where there are no parts."""
        if self.algorithm == "crc32":
            return _Crc32()
        if self.algorithm == "crc32c":
            return _Crc32c()
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def spans(self, size: int, most: int) -> Iterator[tuple[int, int]]:
        """Cuts 0…size into ranges (start, end) of at most `most` bytes that `combine` can take."""
        part = self.part_bytes or max(size, 1)
        for begin in range(0, max(size, 1), part):
            end = min(begin + part, size)
            for start in range(begin, max(end, 1), most):
                yield start, min(start + most, end)

    def combine(self, ranges: Iterable[tuple[bytes, int]]) -> bytes:
        """The checksum from the (sum, length in bytes) of all ranges of `spans`, in order."""
        polynomial = _POLYNOMIALS[self.algorithm]
        composite, total, length = self.start(), 0, 0
        for value, more in ranges:
            total = combine_crc(total, int.from_bytes(value, "big"), more, polynomial)
            length += more
            if length == self.part_bytes:
                composite.update(total.to_bytes(4, "big"))
                total, length = 0, 0
        if self.part_bytes is None:
            return total.to_bytes(4, "big")
        if length:
            composite.update(total.to_bytes(4, "big"))
        return composite.digest()


def combine_crc(first: int, second: int, second_length: int, polynomial: int) -> int:
    """The CRC-32 of two adjacent byte ranges from the CRCs of each.

    A CRC is linear over GF(2): appending n bytes multiplies the first CRC by x^(8n) modulo the
    polynomial; initial and final inversion cancel out. Bits are reflected, as in both CRCs.
    """
    return _multiply(first, _power_of_x(8 * second_length, polynomial), polynomial) ^ second


def _multiply(a: int, b: int, polynomial: int) -> int:
    """a × b modulo the polynomial; bit 31 is x^0."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = (b >> 1) ^ (polynomial if b & 1 else 0)
    return product


def _power_of_x(exponent: int, polynomial: int) -> int:
    """x^exponent modulo the polynomial, by squaring."""
    result, base = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            result = _multiply(result, base, polynomial)
        base = _multiply(base, base, polynomial)
        exponent >>= 1
    return result
