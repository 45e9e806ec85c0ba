"""`saved_model.pbtxt` → the same bytes as a binary file, without what the reader skips. Pure.

The text is turned into the wire format of the few fields that `saved_model` reads, and that
reader does the rest: bounds, checks and facts are those of the binary form by construction, and
digests of default values agree. Nodes keep name and op, a few their attributes (`_KEPT`), nodes of
functions only the op.

Why not protobuf's own parser: its Python package would be a runtime dependency of 12 MB with
generated classes for every message of TensorFlow, and `text_format.Parse` builds all of them in
memory, about 4 bytes for each byte of text (a 200 MB file takes most of a gigabyte). Here a file
of any size takes below 64 MiB: two reads of 1 MiB, and `MAX_OUTPUT` of 10 MiB at most three times
(a message, the message around it, and what the binary reader is given), 34 MiB in all.

Unknown field names are skipped, as the binary reader skips unknown numbers; TensorFlow refuses
such a file. A field given twice is refused here as there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from savedmodel_operator.savedmodel.dtypes import proto_number
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.savedmodel.outputs import TYPES_OF
from savedmodel_operator.savedmodel.saved_model import TEXT_FILE, read_saved_model
from savedmodel_operator.savedmodel.text_tokens import Tokens, balanced
from savedmodel_operator.savedmodel.wire import MAX_TEXT, BytesSource, MalformedModel, Source

MAX_OUTPUT = 10 * 1024 * 1024
"""Bytes of the reduced binary form: a node of the graph with name and op takes 60 or so; nodes
of functions, the bulk of what TensorFlow 2 writes, take 15."""

MAX_DEPTH = 100
"""Messages inside messages that are read, protobuf's own limit for the binary form."""

MAX_DEFAULT = 1024 * 1024
"""Bytes of one string or tensor content in a default value."""

_NODE_WORK, _MESSAGE_WORK, _SCALAR_WORK, _ESCAPE_WORK = 24, 60, 6, 4
_KEPT = frozenset(TYPES_OF) - {b"Identity"}
"""Ops of the graph whose attributes go to the binary reader too. Identity is not among them: TF1
graphs have thousands, and a node that is not taken as a whole costs ten times as much."""

_LEVELS = 8
"""Braces inside a node: attr, value, list, func, attr, value, tensor, tensor_shape."""


@dataclass(frozen=True)
class _Field:
    """One field of a message: its number, and what its value is."""

    number: int
    kind: str = "message"
    message: Mapping[str, _Field] = field(default_factory=dict)
    repeated: bool = False
    nodes: bytes = b""
    first: bool = False


def read_text(source: Source) -> ModelFacts:
    """The facts of one text file. Raises MalformedModel; what `source` raises passes through."""
    tokens = Tokens(source, TEXT_FILE)
    binary = _Transcoder(tokens).message(_Field(0, message=_SAVED_MODEL), 0)
    try:
        return replace(read_saved_model(BytesSource(bytes(binary))), file=TEXT_FILE)
    except MalformedModel as error:
        problem = f"{error.problem} (counted in the binary form)"
        raise MalformedModel(error.offset, problem, TEXT_FILE) from None


def _texts(number: int, *, repeated: bool = False) -> _Field:
    return _Field(number, "text", repeated=repeated)


def _map_of(number: int, value: _Field) -> _Field:
    entry = {"key": _texts(1), "value": replace(value, number=2)}
    return _Field(number, message=entry, repeated=True)


_SHAPE = {
    "dim": _Field(2, message={"size": _Field(1, "int64")}, repeated=True),
    "unknown_rank": _Field(3, "bool"),
}
_COMPOSITE: dict[str, _Field] = {}
_INFO = {
    "name": _texts(1),
    "dtype": _Field(2, "enum"),
    "tensor_shape": _Field(3, message=_SHAPE),
    "coo_sparse": _Field(
        4,
        message={
            "values_tensor_name": _texts(1),
            "indices_tensor_name": _texts(2),
            "dense_shape_tensor_name": _texts(3),
        },
    ),
    "composite_tensor": _Field(5, message=_COMPOSITE),
}
_COMPOSITE["components"] = _Field(2, message=_INFO, repeated=True)
_TENSOR = {
    "dtype": _Field(1, "enum"),
    "tensor_shape": _Field(2, message=_SHAPE),
    "version_number": _Field(3, "int32"),
    "tensor_content": _Field(4, "bytes"),
    "float_val": _Field(5, "float", repeated=True),
    "double_val": _Field(6, "double", repeated=True),
    "int_val": _Field(7, "int32", repeated=True),
    "string_val": _Field(8, "bytes", repeated=True),
    "scomplex_val": _Field(9, "float", repeated=True),
    "int64_val": _Field(10, "int64", repeated=True),
    "bool_val": _Field(11, "bool", repeated=True),
    "dcomplex_val": _Field(12, "double", repeated=True),
    "half_val": _Field(13, "int32", repeated=True),
    "resource_handle_val": _Field(14, "refused", repeated=True),
    "variant_val": _Field(15, "refused", repeated=True),
    "uint32_val": _Field(16, "uint32", repeated=True),
    "uint64_val": _Field(17, "uint64", repeated=True),
    "float8_val": _Field(18, "bytes"),
}
_SIGNATURE = {
    "inputs": _map_of(1, _Field(0, message=_INFO)),
    "outputs": _map_of(2, _Field(0, message=_INFO)),
    "method_name": _texts(3),
    "defaults": _map_of(4, _Field(0, message=_TENSOR)),
}
_FUNCTION = {
    "signature": _Field(1, message={"name": _texts(1)}),
    "node_def": _Field(3, message={"op": _texts(2)}, repeated=True),
}
_VALUE = {
    "list": _Field(1, message={"type": _Field(6, "enum", repeated=True)}),
    "type": _Field(6, "enum"),
    "shape": _Field(7, message=_SHAPE),
}
_NODE = {"name": _texts(1), "op": _texts(2), "attr": _map_of(5, _Field(0, message=_VALUE))}
_GRAPH = {
    "node": _Field(1, message=_NODE, repeated=True),
    "library": _Field(
        2, message={"function": _Field(1, message=_FUNCTION, repeated=True, nodes=b"node_def")}
    ),
    "versions": _Field(
        4,
        message={
            "producer": _Field(1, "int32"),
            "min_consumer": _Field(2, "int32"),
            "bad_consumers": _Field(3, "int32", repeated=True),
        },
    ),
}
_OP = {
    "name": _texts(1),
    "attr": _Field(4, message={"name": _texts(1)}, repeated=True),
}
_META_INFO = {
    "stripped_op_list": _Field(2, message={"op": _Field(1, message=_OP, repeated=True)}),
    "tags": _texts(4, repeated=True),
    "tensorflow_version": _texts(5),
    "stripped_default_attrs": _Field(7, "bool"),
}
_OBJECT = {
    "children": _Field(1, message={"local_name": _texts(2)}, repeated=True),
    "user_object": _Field(4, message={"identifier": _texts(1)}),
}
_META_GRAPH = {
    "meta_info_def": _Field(1, message=_META_INFO),
    "graph_def": _Field(2, message=_GRAPH, nodes=b"node"),
    "signature_def": _map_of(5, _Field(0, message=_SIGNATURE)),
    "asset_file_def": _Field(6, message={"filename": _texts(2)}, repeated=True),
    "object_graph_def": _Field(
        7, message={"nodes": _Field(1, message=_OBJECT, repeated=True, first=True)}
    ),
}
_SAVED_MODEL = {
    "saved_model_schema_version": _Field(1, "int64"),
    "meta_graphs": _Field(2, message=_META_GRAPH, repeated=True),
}

_VARINTS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_BOOLS = {b"true": 1, b"True": 1, b"t": 1, b"1": 1, b"false": 0, b"False": 0, b"f": 0, b"0": 0}
_INTEGER = re.compile(rb"-?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")
_REAL = re.compile(
    rb"-?(?:(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?[fF]?|(?i:nan|inf(?:inity)?))"
)
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.)|$)",
    re.DOTALL,
)
_SIMPLE = dict(zip(b"abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))


@cache
def _whole_node(field_name: bytes) -> re.Pattern[bytes]:
    """A node as every writer prints it, name and op first, whole in the buffer."""
    text = rb'"([^"\\\n]{0,4096}+)"'
    head = field_name + rb"[ ]?\{\s*+name:[ ]?" + text + rb"\s*+op:[ ]?" + text
    return re.compile(head + rb"(" + balanced(_LEVELS) + rb")\}\s*+", re.DOTALL)


class _Transcoder:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._output = 0

    def message(self, kind: _Field, depth: int) -> bytearray:
        """The fields up to the closing brace, at depth 0 up to the end of the file."""
        tokens = self._tokens
        if depth > MAX_DEPTH:
            raise tokens.malformed(f"messages nested deeper than {MAX_DEPTH}")
        tokens.spend(_MESSAGE_WORK)
        out, packed = dict[int, bytearray](), set[int]()
        while True:
            if kind.nodes:
                self._nodes(kind, out)
            if not tokens.peek() if not depth else tokens.took(b"}"):
                break
            self._field(tokens.word("a field's name"), kind, out, packed, depth)
            if not tokens.took(b","):
                tokens.took(b";")
        return _joined(out, packed)

    def _field(
        self, name: str, kind: _Field, out: dict[int, bytearray], packed: set[int], depth: int
    ) -> None:
        tokens, known = self._tokens, kind.message.get(name)
        colon = tokens.took(b":")
        if known is None or (known.first and known.number in out):
            self._skip_value()
            return
        if known.kind == "refused":
            raise tokens.malformed(f"a default value of field {name} has no plain value")
        if not known.repeated and known.number in out:
            raise tokens.malformed(f"field {name} is there twice")
        into = out.setdefault(known.number, bytearray())
        if known.repeated and known.kind not in ("message", "text", "bytes"):
            packed.add(known.number)
        if known.kind != "message" and not colon:
            raise tokens.malformed(f"':' expected after {name}, {tokens.shown()} found")
        if not tokens.took(b"["):
            self._value(known, into, depth)
            return
        if not known.repeated:
            raise tokens.malformed(f"field {name} is no list")
        while not tokens.took(b"]"):
            self._value(known, into, depth)
            if not tokens.took(b","):
                tokens.expect(b"]")
                return

    def _value(self, known: _Field, into: bytearray, depth: int) -> None:
        tokens = self._tokens
        if known.kind == "message":
            tokens.expect(b"{")
            payload: bytes | bytearray = self.message(known, depth + 1)
        elif known.kind in ("text", "bytes"):
            payload = self._string(MAX_TEXT if known.kind == "text" else MAX_DEFAULT)
            if not payload and not known.repeated:
                return
        else:
            tokens.spend(_SCALAR_WORK)
            scalar = self._scalar(known.kind, tokens.take())
            if known.repeated:
                self._emit(into, scalar)
            elif scalar.strip(b"\0"):  # proto3 does not write a zero
                self._emit(into, _varint(known.number << 3) + scalar)
            return
        self._emit(into, _varint(known.number << 3 | 2) + _varint(len(payload)))
        self._emit(into, payload)

    def _emit(self, into: bytearray, data: bytes | bytearray) -> None:
        into += data
        self._output += len(data)
        if len(into) > MAX_OUTPUT or self._output > _LEVELS * MAX_OUTPUT:
            raise self._tokens.malformed(
                f"its graph and signatures take more than {MAX_OUTPUT} bytes: export it in binary form"
            )

    def _nodes(self, kind: _Field, out: dict[int, bytearray]) -> None:
        """The nodes that follow each other whole in the buffer."""
        tokens, pattern = self._tokens, _whole_node(kind.nodes)
        known = kind.message[kind.nodes.decode()]
        named = "name" in known.message
        into = out.setdefault(known.number, bytearray())
        tokens.settle()
        while found := pattern.match(tokens.buffer, tokens.index):
            name, op = found[1], found[2]
            if named and op in _KEPT:
                return
            marks = sum(tokens.buffer.count(mark, *found.span(3)) for mark in (b'"', b"{", b"\\"))
            tokens.spend(_NODE_WORK + marks // 3)
            node = (b"\x0a" + _varint(len(name)) + name) if named and name else b""
            node += b"\x12" + _varint(len(op)) + op
            self._emit(into, _varint(known.number << 3 | 2) + _varint(len(node)) + node)
            tokens.jump(found.end())
            tokens.ahead()

    def _skip_value(self) -> None:
        tokens = self._tokens
        if tokens.took(b"{") or tokens.took(b"["):
            tokens.skip_braces()
        elif tokens.peek() in (b'"', b"'"):
            while tokens.peek() in (b'"', b"'"):
                tokens.skip_string()
        else:
            tokens.word("a value")

    def _string(self, limit: int) -> bytes:
        """Strings that stand side by side are one."""
        tokens, text = self._tokens, b""
        if tokens.peek() not in (b'"', b"'"):
            raise tokens.malformed(f"a string expected, {tokens.shown()} found")
        while tokens.peek() in (b'"', b"'"):
            raw = tokens.string(4 * limit)
            tokens.spend(raw.count(b"\\") * _ESCAPE_WORK)
            text += _ESCAPE.sub(self._escape, raw) if b"\\" in raw else raw
            if len(text) > limit:
                raise tokens.malformed(f"a string is longer than {limit} bytes")
        return text

    def _escape(self, found: re.Match[bytes]) -> bytes:
        octal, hexa, short, long, simple = found.groups()
        if octal:
            return bytes([int(octal, 8) & 0xFF])
        if hexa:
            return bytes([int(hexa, 16)])
        if short or long:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._tokens.malformed("an escape is no character")
            return chr(code).encode()
        if not simple or simple[0] not in _SIMPLE:
            raise self._tokens.malformed("an unknown escape in a string")
        return bytes([_SIMPLE[simple[0]]])

    def _scalar(self, kind: str, token: bytes) -> bytes:
        """The bytes of a number, flag or enum behind its tag."""
        problem = f"{token[:40].decode('latin-1')!a} is no {kind}"
        if kind in ("float", "double"):
            return self._real(kind, token, problem)
        if kind == "bool" and token in _BOOLS:
            return _varint(_BOOLS[token])
        if kind == "enum" and token.startswith(b"DT_"):
            number = proto_number(token.decode())
            if number is None:
                raise self._tokens.malformed(problem)
            return _varint(number)
        low, high = _VARINTS.get("int32" if kind == "enum" else kind, (1, 0))
        if not _INTEGER.fullmatch(token):
            raise self._tokens.malformed(problem)
        digits = token.lstrip(b"-")
        octal = len(digits) > 1 and digits.startswith(b"0") and digits[1:].isdigit()
        try:
            value = int(token, 8) if octal else int(token, 0)
        except ValueError:  # an 8 or 9 in an octal number
            raise self._tokens.malformed(problem) from None
        if not low <= value <= high:
            raise self._tokens.malformed(problem)
        return _varint(value & ((1 << 64) - 1))

    def _real(self, kind: str, token: bytes, problem: str) -> bytes:
        if not _REAL.fullmatch(token):
            raise self._tokens.malformed(problem)
        text = token.decode().lower()
        value = float(text if text.endswith("inf") else text.rstrip("f"))
        try:
            return struct.pack("<f" if kind == "float" else "<d", value)
        except OverflowError:  # beyond float32, as C++ rounds it
            return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def _joined(out: Mapping[int, bytearray], packed: set[int]) -> bytearray:
    """The fields in the order of their numbers, as every writer of the binary form has them."""
    whole = bytearray()
    for number in sorted(out):
        if number in packed and out[number]:
            whole += _varint(number << 3 | 2) + _varint(len(out[number]))
        whole += out[number]
        out[number].clear()
    return whole


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
