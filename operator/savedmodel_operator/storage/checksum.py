"""Full-object checksums over bytes that arrive in parallel ranges. Pure arithmetic.

`s3` writes `ALGORITHM:VALUE` into the lock, `fetch` verifies it: CRCs range by range and then
combined, so that no second pass over a large file is needed; digests (MD5, SHA) in file order.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable
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
    """What an object's bytes must add up to. Raises ValueError for a text it cannot verify."""

    def __init__(self, text: str) -> None:
        self.algorithm, _, value = text.partition(":")
        if self.algorithm == "md5":
            self.expected = binascii.unhexlify(value)
        else:
            self.expected = base64.b64decode(value, validate=True)
        length = 4 if self.combines else _DIGESTS.get(self.algorithm)
        if len(self.expected) != length:
            raise ValueError(f"checksum {text!r} is none of md5, sha1, sha256, crc32, crc32c")

    @property
    def combines(self) -> bool:
        """Whether sums of adjacent ranges can be put together."""
        return self.algorithm in _POLYNOMIALS

    def start(self) -> Running:
        """A fresh running sum."""
        if self.algorithm == "crc32":
            return _Crc32()
        if self.algorithm == "crc32c":
            return _Crc32c()
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def combine(self, parts: Iterable[tuple[bytes, int]]) -> bytes:
        """The sum of adjacent ranges, in order, from their (sum, length in bytes)."""
        total = 0
        for value, length in parts:
            total = combine_crc(
                total, int.from_bytes(value, "big"), length, _POLYNOMIALS[self.algorithm]
            )
        return total.to_bytes(4, "big")


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
