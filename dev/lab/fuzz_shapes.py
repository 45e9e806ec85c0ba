"""Whole messages for the fuzzer: built by their descriptors, printed, damaged. For `fuzz` alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab import fuzz_targets, fuzz_written
from lab.fuzz_oracle import Protobuf
from savedmodel_operator.savedmodel import BytesSource, MalformedModel, read_saved_model

_NAMES = (
    "",
    "x",
    "y",
    "serve",
    "serving_default",
    "PyFunc",
    "NoOp",
    "x:0",
    "__saved_model_init_op",
)
_NUMBERS = (-1, 0, 1, 2, 3, 127, 128, (1 << 31) - 1, -(1 << 31))
_DEEPEST = 9
_BATCH = 50
"""Examples of one round; the time is looked at between rounds."""


@cache
def oracle() -> Protobuf:
    """One for the process."""
    return Protobuf()


def explore(target: str, seconds: float, cost: fuzz_targets.Cost) -> tuple[bytes | None, str]:
    """Tries inputs for that long; the smallest that fails and why, or None and ""."""
    failing: list[bytes] = []
    failed = ""

    @settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def one(data: bytes) -> None:
        try:
            fuzz_targets.measured(target, data, cost, oracle())
        except Exception:
            failing[:] = [data]
            raise

    end = time.monotonic() + seconds
    while time.monotonic() < end and not failed:
        try:
            one()
        except Exception as error:  # whatever a reader raises is the finding
            failed = f"{type(error).__name__}: {error}"[:300]
    return (failing[-1] if failing else None), failed


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Bytes for a target: whole ones, damaged ones, and any."""
    whole = {
        "wire": models().map(lambda m: bytes(m.SerializeToString())),
        "graph": models().map(lambda m: bytes(m.meta_graphs[0].graph_def.SerializeToString())),
        "text": st.builds(_printed, models(), st.booleans(), st.booleans(), st.booleans()),
        "facts": models().map(_stored),
        "bundle": st.lists(st.tuples(_keys(), _entries()), max_size=6).map(_content),
        "lock": fuzz_written.locks(),
        "spec": fuzz_written.specs(),
        "action": fuzz_written.actions(),
        "stored": fuzz_written.statuses(),
        "envoy": fuzz_written.routes(),
    }.get(target, st.binary(max_size=600).map(lambda data: b"\1" + data))
    return st.one_of(whole, st.builds(_damaged, whole, st.lists(_damages(), max_size=4)))


def _keys() -> st.SearchStrategy[bytes]:
    return st.sampled_from([b"v", b"w/x", b"\0w\0\1\3"]) | st.binary(min_size=1, max_size=6)


@st.composite
def _entries(draw: st.DrawFn) -> bytes:
    """A BundleEntryProto by hand: numbers under the tags of its fields, a shape, a checksum."""
    numbers = [bytes([field << 3, draw(st.integers(0, 127))]) for field in (1, 3, 4, 5)]
    shape = bytes([0x12, 4, 0x12, 2, 8, draw(st.integers(0, 127))])
    return b"".join(numbers) + shape + b"\x35" + draw(st.binary(min_size=4, max_size=4))


def _content(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A data block with the header in front, keys in order and prefixes shared."""
    out, last = bytearray(), b""
    for key, value in [(b"", b"\x08\x01"), *sorted(dict(entries).items())]:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        out += bytes([shared, len(key) - shared, len(value)]) + key[shared:] + value
        last = key
    return b"\1" + bytes(out) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def _damages() -> st.SearchStrategy[tuple[int, str, int]]:
    kinds = st.sampled_from(["flip", "cut", "double", "drop"])
    return st.tuples(st.integers(0, 1 << 16), kinds, st.integers(1, 64))


def _damaged(data: bytes, damages: list[tuple[int, str, int]]) -> bytes:
    out = bytearray(data)
    for place, kind, amount in damages:
        at = place % len(out) if out else 0
        if kind == "flip" and out:
            out[at] ^= 1 << amount % 8
        elif kind == "cut":
            del out[at:]
        elif kind == "double":
            out[at:at] = out[at : at + amount]
        else:
            del out[at : at + amount]
    return bytes(out)


def _printed(model: Any, one_line: bool, short: bool, utf8: bool) -> bytes:
    said: str = text_format.MessageToString(
        model, as_one_line=one_line, use_short_repeated_primitives=short, as_utf8=utf8
    )
    return said.encode()


def _stored(model: Any) -> bytes:
    try:
        facts = read_saved_model(BytesSource(model.SerializeToString()))
    except MalformedModel:
        return b"{}"
    return json.dumps(facts.to_dict()).encode()


@st.composite
def models(draw: st.DrawFn) -> Any:
    """A SavedModel with at least one MetaGraph, its fields by their descriptors."""
    model = oracle().empty
    _fill(draw, model, 0)
    if not model.meta_graphs:
        _fill(draw, model.meta_graphs.add(), 1)
    return model


def _fill(draw: st.DrawFn, message: Any, depth: int) -> None:
    fields = [f for f in message.DESCRIPTOR.fields if depth < _DEEPEST or not f.message_type]
    for field in fields:
        if not draw(st.integers(0, 2)):
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            _fill_map(draw, getattr(message, field.name), field, depth)
        elif field.message_type:
            times = draw(st.integers(1, 2)) if field.is_repeated else 1
            for _ in range(times):
                child = getattr(message, field.name)
                child = child.add() if field.is_repeated else child
                child.SetInParent() if not field.is_repeated else None
                _fill(draw, child, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_scalar(field), max_size=3)))
        else:
            setattr(message, field.name, draw(_scalar(field)))


def _fill_map(draw: st.DrawFn, into: Any, field: FieldDescriptor, depth: int) -> None:
    assert field.message_type is not None
    entry = field.message_type.fields_by_name
    for key in draw(st.lists(_scalar(entry["key"]), max_size=2)):
        if entry["value"].message_type:
            _fill(draw, into[key], depth + 1)
        else:
            into[key] = draw(_scalar(entry["value"]))


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    named: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
        FieldDescriptor.CPPTYPE_STRING: lambda: _strings(field),
        FieldDescriptor.CPPTYPE_BOOL: st.booleans,
        FieldDescriptor.CPPTYPE_FLOAT: lambda: st.floats(width=32),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats,
        FieldDescriptor.CPPTYPE_INT32: lambda: st.sampled_from(_NUMBERS),
        FieldDescriptor.CPPTYPE_INT64: lambda: st.sampled_from((*_NUMBERS, 1 << 40, -(1 << 63))),
        FieldDescriptor.CPPTYPE_UINT32: lambda: st.integers(0, (1 << 32) - 1),
        FieldDescriptor.CPPTYPE_UINT64: lambda: st.integers(0, (1 << 64) - 1),
        FieldDescriptor.CPPTYPE_ENUM: lambda: st.sampled_from(
            [value.number for value in (field.enum_type.values if field.enum_type else ())]
        ),
    }
    return named[kind]()


def _strings(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    return st.sampled_from(_NAMES) | st.text(max_size=6)
