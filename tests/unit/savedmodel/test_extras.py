"""Warm-up files and fingerprints: what is counted, what is named, what is called damaged."""

from __future__ import annotations

import google_crc32c
import pytest

from savedmodel_operator.savedmodel import BytesSource, MalformedModel
from savedmodel_operator.savedmodel.extras import (
    MAX_RECORDS,
    MAX_ROWS,
    WARMUP,
    Fingerprint,
    WarmupRequests,
    read_extras,
    read_fingerprint,
    read_warmup,
)
from unit.savedmodel.wire_builder import message, number, text


def masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def record(data: bytes) -> bytes:
    length = len(data).to_bytes(8, "little")
    return length + masked(length) + data + masked(data)


def spec(model: str, signature: str = "") -> bytes:
    return message(1, text(1, model), *([text(3, signature)] if signature else []))


PREDICT = record(message(6, message(1, spec("m", "s"), message(2, b"\0" * 50))))
CLASSIFY = record(message(2, message(1, spec("m"))))
MULTI = record(message(4, message(1, message(1, spec("m", "a")), message(1, spec("m", "b")))))


def warmup(data: bytes):
    return read_warmup(BytesSource(data))


def test_requests_are_counted_by_kind_model_and_signature():
    found = warmup(PREDICT * 3 + CLASSIFY + MULTI)
    assert (found.count, found.problem) == (5, "")
    assert found.requests == (
        WarmupRequests("Classify", "m", "serving_default", 1),
        WarmupRequests("MultiInference", "m", "a", 1),
        WarmupRequests("MultiInference", "m", "b", 1),
        WarmupRequests("Predict", "m", "s", 3),
    )


BROKEN = {
    "truncated": (PREDICT * 2 + PREDICT[:-1], 2, "record 3, byte 160: the file ends inside"),
    "a header cut short": (PREDICT + b"\0" * 9, 1, "ends inside a record"),
    "a flipped bit in the data": (PREDICT[:30] + b"\x01" + PREDICT[31:], 0, "its data"),
    "a flipped bit in the length": (b"\xff" + PREDICT[1:], 0, "its length"),
    "no TFRecord": (b"{'instances': [1.0, 2.0]} is no record", 0, "no TFRecord?"),
    "no PredictionLog": (PREDICT + record(b"malformed_record"), 1, "record 2"),
    "a session's run": (PREDICT + record(message(5, message(1, spec("m")))), 2, "UNIMPLEMENTED"),
    "one record too many": (CLASSIFY * (MAX_RECORDS + 1), MAX_RECORDS, "more than 1000 records"),
    "too many signatures": (
        b"".join(record(message(6, message(1, spec("m", str(i))))) for i in range(MAX_ROWS + 1)),
        MAX_ROWS,
        "different signatures",
    ),
    "too many tasks": (
        record(message(4, message(1, *(message(1, spec(str(i))) for i in range(30_000))))),
        0,
        "different signatures",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_and_what_came_before_is_counted(case):
    data, count, problem = BROKEN[case]
    found = warmup(data)
    assert found.count == count
    assert problem in found.problem


def test_as_many_records_as_serving_takes_are_fine():
    assert warmup(CLASSIFY * MAX_RECORDS).problem == ""


def test_a_record_without_request_and_an_empty_file():
    assert warmup(record(b"")).requests == (WarmupRequests("Unknown", "", "", 1),)
    assert warmup(b"").count == 0


def test_fingerprint():
    data = b"".join(number(i, i * 2**60) for i in range(1, 6))
    data += message(6, number(1, 3)) + text(7, "u-u")
    assert read_fingerprint(data) == Fingerprint(*(i * 2**60 for i in range(1, 6)), 3, "u-u")
    assert read_fingerprint(b"") == Fingerprint()
    for wrong in (text(1, "x"), number(7, 1), b"\x0b", b"\0" * 100_000):
        with pytest.raises(MalformedModel):
            read_fingerprint(wrong)


def test_extras_of_a_listing():
    files = {"fingerprint.pb": b"\x0b", WARMUP: PREDICT + b"x", "model.tflite": b"TFL3"}
    listing = {k: len(v) for k, v in files.items()} | {"assets.extra/notes.txt": 3}
    found = read_extras(listing, lambda key: BytesSource(files[key]))
    assert (found.tflite, found.keras_metadata, found.fingerprint) == (True, False, None)
    assert found.extra_assets == ("assets.extra/notes.txt",)
    assert found.warmup is not None
    assert found.warmup.count == 1
    assert [p.split(",")[0] for p in found.problems] == [
        "fingerprint.pb",
        f"{WARMUP}: record 2",
    ]
