"""What is fuzzed: one function of bytes per reader, and what each must never do.

Here are the readers of models; what else the operator reads and builds is in `fuzz_operator`.
`fuzz_child` calls them under atheris, `fuzz` under hypothesis, a unit test with the kept corpus.
A reader may refuse (MalformedModel, ValueError for stored facts); anything else it raises is a
finding, and so is more than `SECONDS` or `BYTES` for one input, an offset outside the file, and
facts that do not survive their stored form. Whether what it read is true is `fuzz_oracle`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from lab.fuzz_finding import FindingError
from lab.fuzz_operator import OPERATOR_TARGETS
from savedmodel_operator.savedmodel import (
    BytesSource,
    MalformedModel,
    ModelFacts,
    read_bundle_index,
    read_saved_model,
    read_saved_model_text,
)
from savedmodel_operator.savedmodel.extras import read_fingerprint, read_warmup
from savedmodel_operator.savedmodel.facts import MAX_STORED

SECONDS = 1.0
BYTES = 64 * 1024 * 1024

Oracle = Callable[[str, bytes, ModelFacts], None]


@dataclass
class Cost:
    """The most that one input took so far: CPU seconds, bytes of memory."""

    runs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    memory: int = 0


def wire(data: bytes, oracle: Oracle | None = None) -> bool:
    """A whole saved_model.pb."""
    return _facts("binary", data, read_saved_model, oracle)


def graph(data: bytes, oracle: Oracle | None = None) -> bool:
    """The bytes as the GraphDef of a small model whose signature names nodes of it."""
    info = _message(2, _message(1, b"x:0"), b"\x10\x01")
    entry = _message(1, _message(1, b"x"), info)
    signature = _message(5, _message(1, b"s"), _message(2, entry))
    whole = _message(2, _message(1, _message(4, b"serve")), _message(2, data), signature)
    return _facts("binary", whole, read_saved_model, oracle)


def text(data: bytes, oracle: Oracle | None = None) -> bool:
    """A whole saved_model.pbtxt."""
    return _facts("text", data, read_saved_model_text, oracle)


def bundle(data: bytes, oracle: Oracle | None = None) -> bool:  # noqa: ARG001  (one shape for all)
    """A variables.index; after a first byte of 1, the content of a table with right checksums."""
    if data[:1] == b"\1":
        data = _table(data[1:])
    try:
        index = read_bundle_index(data)
    except MalformedModel as error:
        return _refused(error, len(data))
    if len(index.shards) != len(index.shard_sizes):
        raise FindingError("two shards have one name")
    return True


def warmup(data: bytes, oracle: Oracle | None = None) -> bool:  # noqa: ARG001  (one shape for all)
    """A warm-up file; after a first byte of 1, the data of one record with right checksums."""
    if data[:1] == b"\1":
        length = len(data[1:]).to_bytes(8, "little")
        data = length + _masked(length) + data[1:] + _masked(data[1:])
    found = read_warmup(BytesSource(data))
    if sum(row.count for row in found.requests if row.kind != "MultiInference") > found.count + 1:
        raise FindingError("more requests than records")
    return not found.problem


def fingerprint(data: bytes, oracle: Oracle | None = None) -> bool:  # noqa: ARG001  (as above)
    """A fingerprint.pb."""
    try:
        read_fingerprint(data)
    except MalformedModel as error:
        return _refused(error, len(data))
    return True


def facts(data: bytes, oracle: Oracle | None = None) -> bool:  # noqa: ARG001  (one shape for all)
    """Facts as a ControllerRevision stores them."""
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError):
        return False
    try:
        read = ModelFacts.from_dict(stored)
    except ValueError:
        return False
    if ModelFacts.from_dict(json.loads(json.dumps(read.to_dict()))) != read:
        raise FindingError("facts change when they are stored again")
    return True


TARGETS: dict[str, Callable[..., bool]] = {
    "wire": wire,
    "graph": graph,
    "text": text,
    "bundle": bundle,
    "warmup": warmup,
    "fingerprint": fingerprint,
    "facts": facts,
    **OPERATOR_TARGETS,
}


def measured(target: str, data: bytes, cost: Cost, oracle: Oracle | None = None) -> None:
    """Runs a target on one input. Raises FindingError; what the reader raises passes through."""
    accepted, seconds, memory = cost_of(lambda: TARGETS[target](data))
    cost.runs += 1
    cost.accepted += accepted
    cost.seconds = max(cost.seconds, seconds)
    cost.memory = max(cost.memory, memory)
    if seconds > SECONDS:
        raise FindingError(f"{seconds:.2f} s for {len(data)} bytes")
    if memory > BYTES:
        raise FindingError(f"{memory >> 20} MiB for {len(data)} bytes")
    if accepted and oracle:
        TARGETS[target](data, oracle)


def cost_of(run: Callable[[], bool]) -> tuple[bool, float, int]:
    """What it returns, its CPU seconds, and the bytes of memory that it needed more than before."""
    before = _reset_peak()
    start = time.process_time()
    accepted = run()
    return accepted, time.process_time() - start, _peak() - before


def _facts(
    form: str,
    data: bytes,
    reader: Callable[[BytesSource], ModelFacts],
    oracle: Oracle | None,
) -> bool:
    try:
        read = reader(BytesSource(data))
    except MalformedModel as error:
        return _refused(error, len(data))
    stored = json.dumps(read.to_dict())
    if len(stored) > MAX_STORED:
        raise FindingError(f"the stored form takes {len(stored)} bytes")
    if ModelFacts.from_dict(json.loads(stored)) != read:
        raise FindingError("the stored form does not bring back the facts")
    if oracle:
        oracle(form, data, read)
    return True


def _refused(error: MalformedModel, size: int) -> bool:
    if not 0 <= error.offset <= size and "counted in the binary form" not in error.problem:
        raise FindingError(f"byte {error.offset} of {size}: {error}")
    return False


def _reset_peak() -> int:
    """Resident bytes now, from which the peak counts afresh."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS:")


def _peak() -> int:
    return _status("VmHWM:")


def _status(key: str) -> int:
    found = Path("/proc/self/status").read_text().split(key)[1].split(None, 1)
    return int(found[0]) * 1024


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _message(number: int, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _masked(data: bytes) -> bytes:
    crc: int = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _table(content: bytes) -> bytes:
    """An index file around one data block with that content."""

    def block(body: bytes) -> bytes:
        return body + b"\0" + _masked(body + b"\0")

    data, restarts = block(content), (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    handle = _varint(0) + _varint(len(content))
    meta = block(restarts)
    pointer = block(bytes([0, 1, len(handle)]) + b"~" + handle + restarts)
    footer = _varint(len(data)) + _varint(len(meta) - 5)
    footer += _varint(len(data) + len(meta)) + _varint(len(pointer) - 5)
    return data + meta + pointer + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
