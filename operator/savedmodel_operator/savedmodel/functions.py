"""Which functions a Python program can call on a loaded SavedModel, from its object graph. Pure.

TensorFlow Serving and its clients never see these; `inspect --functions` shows what
`saved_model_cli show --all` shows under "Concrete Functions", without loading the model. They are
the children of the root object that are functions, each with one signature for every way in which
it was traced. `saved_model` reads all else; nothing of this is stored or compared.

Field numbers (`core/protobuf/saved_object_graph.proto`, `struct.proto`): SavedObjectGraph {1 nodes,
2 concrete_functions {1 key, 2 value}}; SavedObject {1 children {1 node_id, 2 local_name},
6 function {1 concrete_functions}, 8 bare_concrete_function {1 concrete_function_name}};
SavedConcreteFunction {3 canonicalized_input_signature}; StructuredValue {1 none, 11 double,
12 sint64, 13 string, 14 bool, 31 shape, 32 dtype, 33 tensor_spec, 34 type_spec, 35 bounded_spec,
51 list, 52 tuple, 53 dict, 54 named_tuple}; TensorSpecProto {1 name, 2 shape, 3 dtype};
NamedTupleValue {2 values {1 key, 2 value}}; TypeSpecProto {3 type_spec_class_name}.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.facts import TensorSpec
from savedmodel_operator.savedmodel.wire import LEN, VARINT, Field, Source, Window, signed

FILE = "saved_model.pb"

MAX_FUNCTIONS = 10_000
"""Functions and their traces of one MetaGraph; Keras writes a few for each layer."""

MAX_DEPTH = 32
"""Lists inside lists; Python programs write two or three."""

MAX_RANK = 254
"""TensorFlow's own limit (`TensorShape::MaxDimensions`)."""

Value = Any
"""TensorSpec, None, bool, int, float, str, a list or tuple of values, a dict of values, or
Opaque."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of which only the kind is known, such as RaggedTensorSpec."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Trace:
    """One way to call it: positional arguments in order, keyword arguments by name."""

    arguments: tuple[Value, ...]
    keywords: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Function:
    """A child of the root object."""

    name: str
    traces: tuple[Trace, ...]


def read_functions(source: Source) -> tuple[tuple[frozenset[str], tuple[Function, ...]], ...]:
    """For each MetaGraph, in the file's order, its tags and its functions sorted by name.

    Raises MalformedModel; what `source` raises passes through.
    """
    window = Window(source, FILE)
    return tuple(
        (_MetaGraph(window).tags(part), _MetaGraph(window).functions(part))
        for part in window.fields(0, window.size)
        if part.number == 2 and window.expect(part, LEN, "meta_graphs")
    )


class _MetaGraph:
    def __init__(self, window: Window) -> None:
        self._window = window

    def tags(self, meta: Field) -> frozenset[str]:
        """MetaGraphDef {1 meta_info_def {4 tags}}."""
        infos = (f for f in self._window.fields(meta.start, meta.end) if f.number == 1)
        return frozenset(
            self._window.text(self._window.expect(f, LEN, "a tag"), "a tag")
            for info in infos
            for f in self._inside(info, "meta_info_def")
            if f.number == 4
        )

    def functions(self, meta: Field) -> tuple[Function, ...]:
        objects = [f for f in self._window.fields(meta.start, meta.end) if f.number == 7]
        names: list[tuple[str, tuple[str, ...]]] = []
        signatures: dict[str, Field] = {}
        for graph in objects:
            self._window.expect(graph, LEN, "object_graph_def")
            names += self._children(graph)
            wanted = {concrete for _, concretes in names for concrete in concretes}
            signatures |= self._signatures(graph, wanted)
        return tuple(
            Function(name, tuple(self._trace(signatures.get(c)) for c in sorted(concretes)))
            for name, concretes in sorted(names)
        )

    def _children(self, graph: Field) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Name and concrete functions of the root's children that are functions."""
        window, children = self._window, dict[int, str]()
        found = 0
        nodes = (f for f in window.fields(graph.start, graph.end) if f.number == 1)
        for number, node in enumerate(nodes):
            window.expect(node, LEN, "an object")
            if number == 0:
                children = dict(self._references(node))
            elif number in children:
                concretes = self._concretes(node)
                if concretes is None:
                    continue
                found += 1 + len(concretes)
                if found > MAX_FUNCTIONS:
                    raise window.malformed(node.start, f"more than {MAX_FUNCTIONS} functions")
                yield children[number], concretes

    def _references(self, node: Field) -> Iterator[tuple[int, str]]:
        for part in self._window.fields(node.start, node.end):
            if part.number == 1:
                inner = self._inside(part, "children")
                number = next((f.value for f in inner if f.number == 1 and f.kind == VARINT), 0)
                yield number, self._text(inner, 2, "a child's name")

    def _concretes(self, node: Field) -> tuple[str, ...] | None:
        for part in self._window.fields(node.start, node.end):
            if part.number == 6:
                inner = self._inside(part, "function")
                return tuple(self._window.text(f, "a name") for f in inner if f.number == 1)
            if part.number == 8:
                return (self._text(self._inside(part, "bare_concrete_function"), 1, "a name"),)
        return None

    def _signatures(self, graph: Field, wanted: set[str]) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for part in self._window.fields(graph.start, graph.end):
            if part.number != 2:
                continue
            entry = self._inside(part, "concrete_functions")
            name = self._text(entry, 1, "a name")
            value = next((f for f in entry if f.number == 2), None)
            if name in wanted and value is not None:
                for inner in self._inside(value, "a concrete function"):
                    if inner.number == 3:
                        found[name] = inner
        return found

    def _trace(self, signature: Field | None) -> Trace:
        """The canonical signature is a pair: tuple of arguments, dict of keywords."""
        value = self._value(signature) if signature else None
        if isinstance(value, tuple) and len(value) == 2:
            arguments, keywords = value
            if isinstance(arguments, tuple | list) and isinstance(keywords, dict):
                return Trace(tuple(arguments), keywords)
        return Trace((), {})

    def _inside(self, field: Field, what: str) -> list[Field]:
        self._window.expect(field, LEN, what)
        return list(self._window.fields(field.start, field.end))

    def _text(self, fields: list[Field], number: int, what: str) -> str:
        found = next((f for f in fields if f.number == number), None)
        return self._window.text(self._window.expect(found, LEN, what), what) if found else ""

    def _value(self, field: Field, depth: int = 0) -> Value:
        if depth > MAX_DEPTH:
            raise self._window.malformed(field.start, f"values nested more than {MAX_DEPTH} deep")
        for part in self._inside(field, "a value"):
            if part.number in (51, 52, 53, 54):
                return self._several(part, depth + 1)
            return self._single(part)
        return None

    def _several(self, part: Field, depth: int) -> Value:
        inner = self._inside(part, "a list of values")
        if part.number == 51:
            return [self._value(f, depth) for f in inner if f.number == 1]
        if part.number == 52:
            return tuple(self._value(f, depth) for f in inner if f.number == 1)
        wanted = 1 if part.number == 53 else 2
        pairs: dict[str, Value] = {}
        for entry in (self._inside(f, "an entry") for f in inner if f.number == wanted):
            value = next((f for f in entry if f.number == 2), None)
            pairs[self._text(entry, 1, "a key")] = self._value(value, depth) if value else None
        return pairs

    def _single(self, part: Field) -> Value:
        window = self._window
        match part.number:
            case 11:
                return struct.unpack("<d", part.value.to_bytes(8, "little"))[0]
            case 12:
                return (part.value >> 1) ^ -(part.value & 1)
            case 13:
                return window.text(window.expect(part, LEN, "a string"), "a string")
            case 14:
                return bool(part.value)
            case 32:
                return Opaque(proto_name(part.value))
            case 33 | 35:
                return self._tensor(part)
            case 34:
                return Opaque(self._text(self._inside(part, "a type"), 3, "a type's name"))
            case 1:
                return None
        return Opaque({31: "TensorShape", 55: "Tensor", 56: "ndarray"}.get(part.number, "unknown"))

    def _tensor(self, part: Field) -> TensorSpec:
        inner = self._inside(part, "a tensor")
        dtype = next((f.value for f in inner if f.number == 3), 0)
        shape = next((f for f in inner if f.number == 2), None)
        name = self._text(inner, 1, "a tensor's name")
        return TensorSpec(proto_name(dtype), self._shape(shape), name)

    def _shape(self, shape: Field | None) -> tuple[int, ...] | None:
        if shape is None:
            return ()
        sizes: list[int] = []
        for part in self._inside(shape, "a shape"):
            if part.number == 3 and part.value:
                return None
            if part.number == 2:
                inner = self._inside(part, "a dimension")
                sizes.append(next((signed(f.value) for f in inner if f.number == 1), 0))
        if len(sizes) > MAX_RANK:
            raise self._window.malformed(shape.start, f"more than {MAX_RANK} dimensions")
        return tuple(sizes)
