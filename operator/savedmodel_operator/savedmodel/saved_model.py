"""`saved_model.pb` → `ModelFacts`, through a `Source` of byte ranges. Pure.

The text form, `saved_model.pbtxt`, is `text_format`'s, which hands its reduced bytes back to here.

Two passes over each MetaGraph, because the graph stands before the signatures in the file: the
first reads everything but the graph, the second scans the graph for op names and for the nodes
that the signatures name. Memory stays below 64 MiB: two buffers of 2 MiB, op and function names
of 16 MiB, and the facts themselves, which `facts.MAX_STORED` bounds. Time stays below a second by
`wire.MAX_WORK`. What TensorFlow's own parser merges or lets the last one win (a field or a map
key given twice) is refused, so that the operator and the server cannot see different models.

Field numbers: SavedModel {1 schema version, 2 meta_graphs}, MetaGraphDef {1 meta_info_def,
2 graph_def, 5 signature_def, 6 asset_file_def, 7 object_graph_def}, MetaInfoDef
{2 stripped_op_list {1 op {1 name, 4 attr {1 name}}}, 4 tags, 5 tensorflow_version,
7 stripped_default_attrs}, AssetFileDef {2 filename}, SignatureDef {1 inputs, 2 outputs, 3 method_name,
4 defaults}, TensorInfo {1 name, 2 dtype, 3 tensor_shape, 4 coo_sparse, 5 composite_tensor},
CompositeTensor {2 components}, TensorShapeProto {2 dim {1 size}, 3 unknown_rank}.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from typing import TypeVar

from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.facts import (
    MAX_STORED,
    GraphFacts,
    ModelFacts,
    Signature,
    TensorSpec,
    stored_size,
)
from savedmodel_operator.savedmodel.graph import scan_graph
from savedmodel_operator.savedmodel.origin import GLOBAL_STEP, Root, name_origin, read_root
from savedmodel_operator.savedmodel.outputs import find_contradictions
from savedmodel_operator.savedmodel.wire import LEN, VARINT, Field, Source, Window, signed

FILE, TEXT_FILE = "saved_model.pb", "saved_model.pbtxt"

INTERNAL_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})
"""TensorFlow's own entries among the signatures; clients cannot call them."""

MAX_GRAPHS = 16
"""MetaGraphs of a file; exporters write one, two with a TPU graph."""

MAX_RANK = 254
"""TensorFlow's own limit (`TensorShape::MaxDimensions`)."""

MAX_DEPTH = 32
"""Composite tensors inside composite tensors. Each takes two messages of the hundred that
TensorFlow's parser allows in depth, behind five for the way to the first."""

_DIGESTED = 64 * 1024
"""Default values up to this size are compared by digest, larger ones by size."""

_PER_TENSOR, _PER_DIMENSION = 128, 22
"""JSON bytes of a tensor or signature beside its texts, of a number (an int64, a separator)."""

V = TypeVar("V")


def read_saved_model(source: Source) -> ModelFacts:
    """The facts of one file. Raises MalformedModel; what `source` raises passes through."""
    return _Reader(Window(source, FILE)).saved_model()


def read_saved_model_text(source: Source) -> ModelFacts:
    """The same of a `saved_model.pbtxt`. Raises MalformedModel."""
    from savedmodel_operator.savedmodel import text_format  # its patterns cost every start 5 ms

    return text_format.read_text(source)


def graph_file(listing: Container[str]) -> str | None:
    """The file of a version directory that holds the graph: binary wins over text, as at load."""
    return next((file for file in (FILE, TEXT_FILE) if file in listing), None)


def read_graph_file(file: str, source: Source) -> ModelFacts:
    """The facts of the file that `graph_file` named. Raises MalformedModel."""
    return read_saved_model_text(source) if file == TEXT_FILE else read_saved_model(source)


@dataclass
class _Draft:
    """One MetaGraph between the two passes."""

    graph: Field | None = None
    tags: list[str] = field(default_factory=list)
    tensorflow: str = ""
    signatures: dict[str, Signature] = field(default_factory=dict)
    assets: list[str] = field(default_factory=list)
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stripped_defaults: bool = False
    root: Root | None = None


class _Reader:
    def __init__(self, window: Window) -> None:
        self._window = window
        self._stored = 0

    def saved_model(self) -> ModelFacts:
        window = self._window
        schema, graphs = 0, list[GraphFacts]()
        for part in window.fields(0, window.size):
            if part.number == 1:
                schema = signed(window.expect(part, VARINT, "saved_model_schema_version").value)
            elif part.number == 2:
                graphs.append(self._meta_graph(window.expect(part, LEN, "meta_graphs")))
                if len(graphs) > MAX_GRAPHS:
                    raise window.malformed(part.start, f"more than {MAX_GRAPHS} MetaGraphs")
        if not graphs:
            raise window.malformed(window.size, "there is no MetaGraph in it")
        return ModelFacts(schema, tuple(graphs))

    def _meta_graph(self, meta: Field) -> GraphFacts:
        window, draft, once = self._window, _Draft(), set[int]()
        for part in window.fields(meta.start, meta.end):
            if part.number in (1, 2, 5, 6, 7):
                window.expect(part, LEN, f"field {part.number} of a MetaGraph")
            if part.number in (1, 2, 7):
                self._only_once(part, once, "MetaGraph")
            if part.number == 1:
                self._meta_info(part, draft)
            elif part.number == 2:
                draft.graph = part
            elif part.number == 5:
                self._entry(part, draft.signatures, "signature", self._signature)
            elif part.number == 6:
                draft.assets.append(self._asset(part))
            elif part.number == 7:
                draft.root = read_root(window, part)
        return self._finish(draft, meta)

    def _finish(self, draft: _Draft, meta: Field) -> GraphFacts:
        names = {
            name: name.split(":")[0].encode()
            for key, signature in draft.signatures.items()
            if key not in INTERNAL_SIGNATURES
            for tensor in (*signature.inputs.values(), *signature.outputs.values())
            for name in tensor.tensors
        }
        graph = draft.graph or Field(2, LEN, 0, meta.end, meta.end)
        scan = scan_graph(self._window, graph, {GLOBAL_STEP, *names.values()})
        ops = scan.op_counts()
        absent = tuple(sorted(name for name, node in names.items() if node not in scan.found))
        undeclared = tuple(op for op in ops if op not in draft.declared) if draft.declared else ()
        signatures = {k: s for k, s in draft.signatures.items() if k not in INTERNAL_SIGNATURES}
        contradicted = tuple(find_contradictions(signatures, scan.made, scan.producer))
        for text in (*ops, *absent, *contradicted, *undeclared):
            self._store(stored_size(text) + _PER_DIMENSION, graph.start)
        self._store(_PER_DIMENSION * (30 + len(scan.bad_consumers)), graph.start)
        return GraphFacts(
            tags=tuple(sorted(draft.tags)),
            signatures=signatures,
            ops=ops,
            tensorflow=draft.tensorflow,
            producer=scan.producer,
            min_consumer=scan.min_consumer,
            bad_consumers=tuple(scan.bad_consumers),
            nodes=scan.nodes,
            functions=len(scan.functions),
            assets=tuple(draft.assets),
            absent=absent,
            contradicted=contradicted,
            init_op="__saved_model_init_op" in draft.signatures,
            object_graph=draft.root is not None,
            origin=name_origin(draft.root, signatures, scan.found, draft.tensorflow),
            declared=draft.declared,
            undeclared=undeclared,
            stripped_defaults=draft.stripped_defaults,
        )

    def _meta_info(self, info: Field, draft: _Draft) -> None:
        window, once = self._window, set[int]()
        for part in window.fields(info.start, info.end):
            if part.number in (2, 5, 7):
                self._only_once(part, once, "meta_info_def")
            if part.number == 2:
                self._op_list(window.expect(part, LEN, "stripped_op_list"), draft.declared)
            elif part.number == 4:
                draft.tags.append(self._text(part, "a tag"))
            elif part.number == 5:
                draft.tensorflow = self._text(part, "tensorflow_version")
            elif part.number == 7:
                draft.stripped_defaults = bool(window.expect(part, VARINT, "a flag").value)

    def _op_list(self, ops: Field, into: dict[str, tuple[str, ...]]) -> None:
        """The ops that the producer used, with the attributes it knew of each."""
        window = self._window
        for op in window.fields(ops.start, ops.end):
            if op.number != 1:
                continue
            window.expect(op, LEN, "an op definition")
            name, attributes = "", list[str]()
            for part in window.fields(op.start, op.end):
                if part.number == 1:
                    name = self._text(part, "the name of an op")
                elif part.number == 4:
                    attributes.append(self._attribute(window.expect(part, LEN, "an attribute")))
            self._store(_PER_DIMENSION, op.start)
            into[name] = tuple(attributes)

    def _attribute(self, attribute: Field) -> str:
        """Its name, which every writer puts first."""
        for part in self._window.fields(attribute.start, attribute.end):
            if part.number == 1:
                return self._text(part, "the name of an attribute")
        return ""

    def _asset(self, asset: Field) -> str:
        name = ""
        for part in self._window.fields(asset.start, asset.end):
            if part.number == 2:
                if name:
                    raise self._window.malformed(part.start, "an asset has two file names")
                name = self._text(part, "the file name of an asset")
        steps = name.split("/")
        if "\0" in name or "\\" in name or not all(s not in ("", ".", "..") for s in steps):
            raise self._window.malformed(
                asset.start, f"asset {name!r} is no plain path below the folder assets/"
            )
        return name

    def _signature(self, signature: Field) -> Signature:
        window, once = self._window, set[int]()
        inputs: dict[str, TensorSpec] = {}
        outputs: dict[str, TensorSpec] = {}
        defaults: dict[str, str] = {}
        method = ""
        self._store(_PER_TENSOR, signature.start)
        for part in window.fields(signature.start, signature.end):
            if part.number == 1:
                self._entry(part, inputs, "input", self._tensor)
            elif part.number == 2:
                self._entry(part, outputs, "output", self._tensor)
            elif part.number == 3:
                self._only_once(part, once, "signature")
                method = self._text(part, "method_name")
            elif part.number == 4:
                self._entry(part, defaults, "default", self._default)
        for key, digest in defaults.items():
            if key in inputs:
                inputs[key] = replace(inputs[key], default=digest)
        return Signature(method, inputs, outputs)

    def _entry(
        self, entry: Field, into: dict[str, V], what: str, read: Callable[[Field], V]
    ) -> None:
        """One entry {1 key, 2 value} of a map, refused if the map has the key."""
        window, key, value = self._window, "", None
        window.expect(entry, LEN, what)
        once = set[int]()
        for part in window.fields(entry.start, entry.end):
            if part.number not in (1, 2):  # protobuf's parsers differ in what becomes of the entry
                raise window.malformed(part.start, f"the map entry of {what} has a third field")
            self._only_once(part, once, f"the map entry of {what}")
            if part.number == 1:
                key = self._text(part, f"the key of {what}")
            elif part.number == 2:
                value = window.expect(part, LEN, what)
        if key in into:
            raise window.malformed(entry.start, f"{what} {key!r} is there twice")
        into[key] = read(value or Field(2, LEN, 0, entry.end, entry.end))

    def _default(self, value: Field) -> str:
        size = value.end - value.start
        self._store(_PER_TENSOR, value.start)
        if size > _DIGESTED:
            return f"{size} bytes"
        import hashlib  # only models with defaults pay for it at start

        return hashlib.sha256(self._window.bytes(value.start, value.end)).hexdigest()[:16]

    def _tensor(self, tensor: Field) -> TensorSpec:
        window, once = self._window, set[int]()
        self._store(_PER_TENSOR, tensor.start)
        dtype, name, kind = 0, "", "Dense"
        shape: tuple[int, ...] | None = ()
        parts: list[str] = []
        for part in window.fields(tensor.start, tensor.end):
            # 1, 4 and 5 are alternatives of one encoding
            self._only_once(part, once, "tensor", 1 if part.number in (4, 5) else part.number)
            if part.number == 1:
                name = self._text(part, "the name of a tensor")
            elif part.number == 2:
                dtype = window.expect(part, VARINT, "dtype").value
            elif part.number == 3:
                shape = self._shape(window.expect(part, LEN, "tensor_shape"))
            elif part.number == 4:
                kind = "Sparse"
                self._coo(window.expect(part, LEN, "coo_sparse"), parts)
            elif part.number == 5:
                kind = "Composite"
                self._components(window.expect(part, LEN, "composite_tensor"), parts, 1)
        return TensorSpec(proto_name(dtype), shape, name, kind, tuple(parts))

    def _coo(self, sparse: Field, into: list[str]) -> None:
        """Tensor names of values, indices and dense shape."""
        for part in self._window.fields(sparse.start, sparse.end):
            if part.number in (1, 2, 3):
                into.append(self._text(part, "the name of a tensor"))

    def _components(self, composite: Field, into: list[str], depth: int) -> None:
        window = self._window
        if depth > MAX_DEPTH:
            raise window.malformed(composite.start, f"tensors nested deeper than {MAX_DEPTH}")
        for component in window.fields(composite.start, composite.end):
            if component.number != 2:
                continue
            window.expect(component, LEN, "components")
            once = set[int]()
            for part in window.fields(component.start, component.end):
                if part.number in (1, 4, 5):
                    self._only_once(part, once, "component", 1)
                if part.number == 1:
                    into.append(self._text(part, "the name of a tensor"))
                elif part.number == 5:
                    self._components(window.expect(part, LEN, "composite"), into, depth + 1)

    def _shape(self, shape: Field) -> tuple[int, ...] | None:
        window, sizes, unknown = self._window, list[int](), False
        for part in window.fields(shape.start, shape.end):
            if part.number == 2:
                self._store(_PER_DIMENSION, part.start)
                sizes.append(self._dimension(window.expect(part, LEN, "dim")))
            elif part.number == 3:
                unknown = bool(window.expect(part, VARINT, "unknown_rank").value)
        if len(sizes) > MAX_RANK:
            raise window.malformed(shape.start, f"a shape has more than {MAX_RANK} dimensions")
        return None if unknown else tuple(sizes)

    def _dimension(self, dim: Field) -> int:
        size = 0
        for part in self._window.fields(dim.start, dim.end):
            if part.number == 1:
                size = signed(self._window.expect(part, VARINT, "a dimension's size").value)
        if size < -1:
            raise self._window.malformed(dim.start, f"a dimension has size {size}")
        return size

    def _text(self, part: Field, what: str) -> str:
        text = self._window.text(self._window.expect(part, LEN, what), what)
        self._store(stored_size(text), part.start)
        return text

    def _store(self, size: int, position: int) -> None:
        self._stored += size
        if self._stored > MAX_STORED:
            raise self._window.malformed(
                position, f"signatures, tags, assets and op names take more than {MAX_STORED} bytes"
            )

    def _only_once(self, part: Field, seen: set[int], where: str, number: int = 0) -> None:
        number = number or part.number
        if number in seen:
            raise self._window.malformed(part.start, f"{where} has field {part.number} twice")
        seen.add(number)
