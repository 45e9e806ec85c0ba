"""CRCs of ranges put together equal the CRC of the whole."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib

import google_crc32c
import pytest

from savedmodel_operator.storage.checksum import Checksum

DATA = random.Random(7).randbytes(100_003)
WHOLE = {
    "crc32": zlib.crc32(DATA).to_bytes(4, "big"),
    "crc32c": google_crc32c.Checksum(DATA).digest(),
}


def text(algorithm: str, value: bytes) -> str:
    return f"{algorithm}:{base64.b64encode(value).decode()}"


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c"])
@pytest.mark.parametrize("cuts", [[], [1], [50_000], [0], [1, 2, 3, 99_999], [65_536, 65_537]])
def test_ranges_combine(algorithm: str, cuts: list[int]):
    checksum = Checksum(text(algorithm, WHOLE[algorithm]))
    parts = []
    for start, end in zip([0, *cuts], [*cuts, len(DATA)], strict=True):
        running = checksum.start()
        running.update(DATA[start:end])
        parts.append((running.digest(), end - start))
    assert checksum.combine(parts) == checksum.expected == WHOLE[algorithm]


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c"])
@pytest.mark.parametrize("part", [10_000, 50_000, 99_999, 100_003, 200_000])
@pytest.mark.parametrize("most", [3_000, 10_000, 1_000_000])
def test_composite_checksums(algorithm: str, part: int, most: int):
    """The CRC of the parts' CRCs, as S3 documents COMPOSITE checksums."""

    def crc(data: bytes) -> bytes:
        if algorithm == "crc32":
            return zlib.crc32(data).to_bytes(4, "big")
        return google_crc32c.Checksum(data).digest()

    wanted = crc(b"".join(crc(DATA[n : n + part]) for n in range(0, len(DATA), part)))
    checksum = Checksum(f"{text(algorithm, wanted)}@{part}")
    spans = list(checksum.spans(len(DATA), most))
    assert b"".join(DATA[start:end] for start, end in spans) == DATA
    assert all(end - start <= most for start, end in spans)
    ranges = [(crc(DATA[start:end]), end - start) for start, end in spans]
    assert checksum.combine(ranges) == checksum.expected
    assert checksum.combine([(crc(DATA), len(DATA))]) != checksum.expected or part >= len(DATA)


def test_ranges_out_of_order_do_not_combine():
    checksum = Checksum(text("crc32", WHOLE["crc32"]))
    parts = [(zlib.crc32(p).to_bytes(4, "big"), len(p)) for p in (DATA[500:], DATA[:500])]
    assert checksum.combine(parts) != checksum.expected


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "crc32", "crc32c"])
def test_running_sums_are_those_of_the_standard(algorithm: str):
    wanted = WHOLE.get(algorithm) or hashlib.new(algorithm, DATA).digest()
    shown = f"md5:{wanted.hex()}" if algorithm == "md5" else text(algorithm, wanted)
    checksum = Checksum(shown)
    running = checksum.start()
    for start in range(0, len(DATA), 999):
        running.update(DATA[start : start + 999])
    assert running.digest() == checksum.expected == wanted


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "md5",
        "md5:abc",
        "crc32:AAA=",
        "crc64nvme:AAAAAAAAAAA=",
        "sha256:AAAA",
        "crc32:AAAAAA==@0",
        "crc32:AAAAAA==@-1",
        "crc32:AAAAAA==@x",
        "md5:" + "0" * 32 + "@5",
        "md5:" + "0" * 30,
    ],
)
def test_what_cannot_be_verified_is_refused(bad: str):
    with pytest.raises(ValueError):
        Checksum(bad)
