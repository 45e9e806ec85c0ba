"""Warm-up: replaying recorded requests on a version before it becomes available.

File, limits, iterations and failures of servables/tensorflow/saved_model_warmup_util.cc and
saved_model_warmup.cc. Any request that fails fails the load. TFRecord framing is that of
tsl/lib/io/record_reader.cc.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tensorflow_serving_compatible.errors import Code, StatusError, invalid_argument
from tensorflow_serving_compatible.inference import Inference, Target
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.model import Model
from tensorflow_serving_compatible.protos import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

log = logging.getLogger(__name__)

FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000
_FORMAT_HINT = ". Please verify your warmup data is in TFRecord format."


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and offset as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _checked(file: BinaryIO, length: int, offset: int) -> bytes | None:
    """`length` bytes and their checksum; None at the clean end of the file."""
    data = file.read(length + 4)
    if not data:
        return None
    if len(data) < length + 4:
        raise _damaged("truncated", offset)
    content = data[:length]
    if masked_crc(content) != struct.unpack("<I", data[length:])[0]:
        raise _damaged("corrupted", offset)
    return content


def _damaged(how: str, offset: int) -> StatusError:
    hint = "" if offset else " (Is this even a TFRecord file?)"
    return StatusError(Code.DATA_LOSS, f"{how} record at {offset}{hint}")


def records(file: BinaryIO) -> Iterator[bytes]:
    """The records of a TFRecord file. Raises StatusError(DATA_LOSS)."""
    while True:
        offset = file.tell()
        header = _checked(file, 8, offset)
        if header is None:
            return
        (length,) = struct.unpack("<Q", header)
        content = _checked(file, length, offset + 12)
        if content is None:
            raise _damaged("truncated", offset)
        yield content


class WarmUp:
    def __init__(self, inference: Inference, metrics: Metrics, iterations: int) -> None:
        self._inference, self._metrics = inference, metrics
        self._iterations = iterations if iterations > 0 else 1

    def run(self, path: str, model: Model) -> None:
        """Replays a version's records, if it has any. Raises StatusError."""
        file = Path(path) / FILE
        if not file.exists():
            log.info("No warmup data file found at %s", file)
            return
        start, count = time.monotonic_ns(), 0
        status = "OK"
        try:
            with file.open("rb") as opened:
                for record in records(opened):
                    self._replay(record, str(file), model)
                    count += 1
                    if count > MAX_RECORDS:
                        raise invalid_argument(
                            f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) "
                            f"at {file}"
                        )
        except StatusError as error:
            if error.code is not Code.DATA_LOSS:
                raise  # returned before the metrics, as in the C++ code
            status = str(error)
        elapsed = (time.monotonic_ns() - start) // 1000
        self._metrics.warmup_latency.add(elapsed, path, status)
        self._metrics.warmup_records.add(count, path, status)
        if status != "OK":
            message = status.removeprefix(f"{Code.DATA_LOSS.name}: ")
            raise StatusError(Code.DATA_LOSS, message + _FORMAT_HINT)
        log.info("Finished reading warmup data for model at %s. Number of warmup records read: "
                 "%d. Elapsed time (microseconds): %d.", file, count, elapsed)  # fmt: skip

    def _replay(self, record: bytes, file: str, model: Model) -> None:
        entry = prediction_log_pb2.PredictionLog()
        try:
            entry.ParseFromString(record)
        except Exception as error:
            raise invalid_argument(
                f"Failed to parse warmup record: {record!r} from {file}"
            ) from error
        for _ in range(self._iterations):
            self._run(entry, Target(model, None))

    def _run(self, entry: Any, target: Target) -> None:
        kind = entry.WhichOneof("log_type")
        run = self._inference
        if kind == "predict_log":
            run.fill_predict(target, entry.predict_log.request, predict_pb2.PredictResponse())
        elif kind == "classify_log":
            run.fill_examples(target, "Classify", entry.classify_log.request,
                              classification_pb2.ClassificationResponse())  # fmt: skip
        elif kind == "regress_log":
            run.fill_examples(target, "Regress", entry.regress_log.request,
                              regression_pb2.RegressionResponse())  # fmt: skip
        elif kind == "multi_inference_log":
            run.fill_multi(target, entry.multi_inference_log.request,
                           inference_pb2.MultiInferenceResponse())  # fmt: skip
        elif kind is not None:
            number = entry.DESCRIPTOR.fields_by_name[kind].number
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
