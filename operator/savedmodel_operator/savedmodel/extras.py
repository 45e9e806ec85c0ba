"""What may lie beside a SavedModel's graph and weights: fingerprint, warm-up, other formats. Pure.

None of it is needed to serve, but a warm-up file decides whether a version ever gets ready:
TensorFlow Serving replays it at load and fails the load at the first record that is damaged or
refused (tensorflow/serving#1562, #1602), at a SessionRun record and at more than 1,000 records
(its `servables/tensorflow/saved_model_warmup_util.cc` and the tests `TooManyWarmupRecords`,
`UnsupportedLogType`). `inspect` shows what is found here; nothing is judged.

TFRecord: little-endian uint64 length, masked CRC-32C of those 8 bytes, data, masked CRC-32C of the
data. Fields: PredictionLog {2 classify_log, 3 regress_log, 4 multi_inference_log,
5 session_run_log, 6 predict_log, 7 predict_streamed_log}, each {1 request}, each request
{1 model_spec} but MultiInferenceRequest {1 tasks {1 model_spec}}; ModelSpec {1 name,
3 signature_name}; FingerprintDef {1 … 5 hashes, 6 version {1 producer}, 7 uuid}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import google_crc32c

from savedmodel_operator.savedmodel.bundle import unmask
from savedmodel_operator.savedmodel.wire import (
    LEN,
    VARINT,
    BytesSource,
    Field,
    MalformedModel,
    Source,
    Window,
)

FINGERPRINT = "fingerprint.pb"
WARMUP = "assets.extra/tf_serving_warmup_requests"
KERAS_METADATA = "keras_metadata.pb"
TFLITE = "model.tflite"

MAX_FINGERPRINT = 64 * 1024
"""Bytes; TensorFlow writes 86 to 99."""

MAX_RECORDS = 1000
"""TensorFlow Serving's own limit (`WarmupConsts::kMaxNumRecords`)."""

MAX_WARMUP = 256 * 1024 * 1024
"""Bytes of a warm-up file that are read: a quarter of a megabyte for each of 1,000 requests, two
images or so. The checksums need every byte; a quarter of a second from disk, 3 s from a store."""

MAX_ROWS = 100
"""Different (kind, model, signature); names of `wire.MAX_TEXT`, so 100 × 2 × 16 KiB = 3 MiB."""

_CHUNK = 1024 * 1024
_KINDS = {
    2: "Classify",
    3: "Regress",
    4: "MultiInference",
    5: "SessionRun",
    6: "Predict",
    7: "PredictStreamed",
}
_HASHES = 5


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`fingerprint.pb`: TensorFlow's own hashes (uint64) of the parts of a save."""

    saved_model_checksum: int = 0
    graph_def_program_hash: int = 0
    signature_def_hash: int = 0
    saved_object_graph_hash: int = 0
    checkpoint_hash: int = 0
    version: int = 0
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class WarmupRequests:
    """How often one kind of request is made of one model name and signature.

    kind: Classify, Regress, MultiInference, SessionRun, Predict, PredictStreamed, or Unknown for a
      record without a request. An empty signature name means serving_default, as in Serving.
    """

    kind: str
    model: str
    signature: str
    count: int


@dataclass(frozen=True, slots=True)
class Warmup:
    """The warm-up file: whole records up to the first problem, "" where all are whole.

    A MultiInference record counts once in `count` and once in the row of each of its tasks.
    """

    count: int
    requests: tuple[WarmupRequests, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Extras:
    """What there is beside graph and weights; None for a file that is not there.

    `extra_assets` are the other keys below assets.extra/.
    """

    fingerprint: Fingerprint | None = None
    warmup: Warmup | None = None
    keras_metadata: bool = False
    tflite: bool = False
    extra_assets: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_extras(listing: Mapping[str, int], opened: Callable[[str], Source]) -> Extras:
    """What a version directory has beside its graph. What `opened` raises passes through."""
    fingerprint, problems = None, list[str]()
    if FINGERPRINT in listing:
        source = opened(FINGERPRINT)
        try:
            fingerprint = read_fingerprint(source.read(0, min(source.size, MAX_FINGERPRINT + 1)))
        except MalformedModel as error:
            problems.append(str(error))
    warmup = read_warmup(opened(WARMUP)) if WARMUP in listing else None
    if warmup and warmup.problem:
        problems.append(f"{WARMUP}: {warmup.problem}")
    others = (k for k in listing if k.startswith("assets.extra/") and k != WARMUP and k[-1] != "/")
    return Extras(
        fingerprint=fingerprint,
        warmup=warmup,
        keras_metadata=KERAS_METADATA in listing,
        tflite=TFLITE in listing,
        extra_assets=tuple(sorted(others)),
        problems=tuple(problems),
    )


def read_fingerprint(data: bytes) -> Fingerprint:
    """The hashes of one save. Raises MalformedModel; a load does not care (facts, §1)."""
    window = Window(BytesSource(data), FINGERPRINT)
    if len(data) > MAX_FINGERPRINT:
        raise window.malformed(MAX_FINGERPRINT, f"longer than {MAX_FINGERPRINT} bytes")
    hashes, version, uuid = [0] * _HASHES, 0, ""
    for part in window.fields(0, len(data)):
        if 1 <= part.number <= _HASHES:
            hashes[part.number - 1] = window.expect(part, VARINT, "a hash").value
        elif part.number == 6:
            window.expect(part, LEN, "version")
            inner = window.fields(part.start, part.end)
            version = next((f.value for f in inner if f.number == 1 and f.kind == VARINT), 0)
        elif part.number == 7:
            uuid = window.text(window.expect(part, LEN, "uuid"), "uuid")
    return Fingerprint(hashes[0], hashes[1], hashes[2], hashes[3], hashes[4], version, uuid)


def read_warmup(source: Source) -> Warmup:
    """Counts and decodes the records; what is wrong becomes `problem`, never an exception."""
    window = Window(source, WARMUP)
    count, rows = 0, dict[tuple[str, str, str], int]()
    try:
        if source.size > MAX_WARMUP:
            raise window.malformed(MAX_WARMUP, f"longer than {MAX_WARMUP} bytes, not read")
        for record in _records(window):
            if count == MAX_RECORDS:
                raise window.malformed(
                    record.start, f"more than {MAX_RECORDS} records, TensorFlow Serving's limit"
                )
            found = set[tuple[str, str, str]]()
            for row in _requests(window, record):
                found.add(row)
                if len(found) > MAX_ROWS:
                    break
            for row in found:
                rows[row] = rows.get(row, 0) + 1
            if len(rows) > MAX_ROWS:
                raise window.malformed(record.start, f"more than {MAX_ROWS} different signatures")
            count += 1
    except MalformedModel as error:
        where = f"record {count + 1}, byte {error.offset}: "
        return Warmup(count, _sorted(rows), where + error.problem)
    sessions = sum(n for (kind, _, _), n in rows.items() if kind == "SessionRun")
    refused = f"{sessions} SessionRun records, which TensorFlow Serving refuses (UNIMPLEMENTED)"
    return Warmup(count, _sorted(rows), refused if sessions else "")


def _sorted(rows: Mapping[tuple[str, str, str], int]) -> tuple[WarmupRequests, ...]:
    return tuple(WarmupRequests(*row, rows[row]) for row in sorted(rows))


def _records(window: Window) -> Iterator[Field]:
    """The data of every record, checksums compared."""
    position = 0
    while position < window.size:
        if window.size - position < 16:
            raise window.malformed(position, "the file ends inside a record: truncated?")
        header = window.bytes(position, position + 12)
        _compare(window, position, google_crc32c.value(header[:8]), header[8:], "length")
        start = position + 12
        end = start + int.from_bytes(header[:8], "little")
        if end + 4 > window.size:
            raise window.malformed(position, "the file ends inside a record: truncated?")
        crc = 0
        for chunk in range(start, end, _CHUNK):
            crc = google_crc32c.extend(crc, window.bytes(chunk, min(chunk + _CHUNK, end)))
        _compare(window, position, crc, window.bytes(end, end + 4), "data")
        yield Field(0, LEN, 0, start, end)
        position = end + 4


def _compare(window: Window, position: int, crc: int, stored: bytes, what: str) -> None:
    if unmask(int.from_bytes(stored, "little")) != crc:
        raise window.malformed(
            position, f"its {what} does not have the checksum that was stored (no TFRecord?)"
        )


def _requests(window: Window, record: Field) -> Iterator[tuple[str, str, str]]:
    """Kind, model and signature of a record's request, of each task of a MultiInference."""
    log: Field | None = None
    for part in window.fields(record.start, record.end):
        if part.number in _KINDS:
            log = window.expect(part, LEN, "a log")  # a oneof: the last one wins, as in protobuf
    if log is None:
        yield "Unknown", "", ""
        return
    kind, tasks = _KINDS[log.number], list(_children(window, log, 1))
    if kind == "MultiInference":
        tasks = [task for request in tasks for task in _children(window, request, 1)]
    for request in tasks or [Field(1, LEN, 0, log.end, log.end)]:
        model = signature = ""
        for spec in _children(window, request, 1):
            for part in window.fields(spec.start, spec.end):
                if part.number == 1:
                    model = window.text(window.expect(part, LEN, "a name"), "a model's name")
                elif part.number == 3:
                    window.expect(part, LEN, "a name")
                    signature = window.text(part, "a signature's name")
        yield kind, model, signature or "serving_default"


def _children(window: Window, message: Field, number: int) -> Iterator[Field]:
    for part in window.fields(message.start, message.end):
        if part.number == number:
            yield window.expect(part, LEN, "a message")
