"""What the operator knows about a SavedModel: frozen data, with a bounded JSON form. Pure.

`saved_model` makes these, `gate` compares them, the operator stores them in a ControllerRevision.
Stands alone: everybody may import it, it imports no other room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_STORED = 768 * 1024
"""Bytes of the JSON form. A ControllerRevision is one request of at most 1.5 MiB to etcd, and the
other half is for manifests. Usual facts take 2 KB; 5,000 inputs of 120 bytes take 600 KB."""

FORM = 2
"""The JSON form's number. Form 1 lacks `origin`, `declared`, `undeclared`, `strippedDefaults` and
`file` and is still read, because ControllerRevisions outlive releases; another number is refused,
the facts are then read from the file."""

READABLE = (1, FORM)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a signature.

    `shape` has -1 for any size; None is unknown rank, () a scalar. `kind` is Dense, Sparse or
    Composite: only Dense has a `name`, `parts` are the tensor names of the others. `default` is a
    digest of the value that omitting callers get, None where the caller must give one.
    """

    dtype: str
    shape: tuple[int, ...] | None
    name: str
    kind: str = "Dense"
    parts: tuple[str, ...] = ()
    default: str | None = None

    @property
    def has_default(self) -> bool:
        """Whether a caller may leave it out."""
        return self.default is not None

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the graph's tensors that carry it."""
        return self.parts if self.kind != "Dense" else (self.name,)

    def __str__(self) -> str:
        shape = "unknown rank" if self.shape is None else "[" + ",".join(map(str, self.shape)) + "]"
        return f"{self.dtype} {shape}" if self.kind == "Dense" else f"{self.dtype} {self.kind}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What clients call: `method` as in the file, for example tensorflow/serving/predict."""

    method: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """One MetaGraph.

    `ops` counts op names in graph and function library, calls of library functions left out.
    `init_op` and training ops are no `signatures`. `absent` are tensors that signatures name and
    the graph has no node for, `contradicted` says which ones have another dtype or shape there than the
    signature says. `object_graph` is there in every save by TensorFlow 2.
    `origin` names what wrote it, for people ("Keras 3 export"). `declared` is the producer's own
    list of the ops it used, with the attributes that each had there (`stripped_op_list`);
    `undeclared` are ops of graph and library that the list leaves out. `stripped_defaults`:
    attributes that have the producer's default value are not written on the nodes.
    """

    tags: tuple[str, ...]
    signatures: Mapping[str, Signature]
    ops: Mapping[str, int]
    tensorflow: str = ""
    producer: int = 0
    min_consumer: int = 0
    bad_consumers: tuple[int, ...] = ()
    nodes: int = 0
    functions: int = 0
    assets: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    init_op: bool = False
    object_graph: bool = False
    origin: str = ""
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    undeclared: tuple[str, ...] = ()
    stripped_defaults: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One saved_model.pb, or the same as text: what the gate may know without loading anything.

    `file` is the key below the version directory that was read.
    """

    schema: int
    graphs: tuple[GraphFacts, ...]
    file: str = "saved_model.pb"

    def graph(self, tags: Iterable[str]) -> GraphFacts | None:
        """The MetaGraph with exactly these tags, as TensorFlow looks it up."""
        wanted = set(tags)
        return next((g for g in self.graphs if set(g.tags) == wanted), None)

    def to_dict(self, tags: Sequence[str] | None = None) -> dict[str, Any]:
        """JSON-able form, at most `MAX_STORED` bytes; with `tags` only that MetaGraph."""
        chosen = [g for g in self.graphs if tags is None or set(g.tags) == set(tags)]
        return {
            "form": FORM,
            "file": self.file,
            "schema": self.schema,
            "graphs": [_graph_out(g) for g in chosen],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelFacts:
        """The reverse of `to_dict`. Raises ValueError for anything else, such as another form."""
        try:
            if data["form"] not in READABLE:
                raise ValueError(f"facts of form {data['form']!r}, this release reads {FORM}")
            graphs = tuple(_graph_in(g) for g in data["graphs"])
            return cls(int(data["schema"]), graphs, str(data.get("file", "saved_model.pb")))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not the facts of a SavedModel: {error!r}") from None


def stored_size(text: str) -> int:
    """An upper bound of what a text takes as a JSON string, with quotes and separators.

    >>> import json
    >>> texts = ("serving_x:0", '"', "\\x01", "ß", "\\U0001f600")
    >>> all(len(json.dumps(text)) <= stored_size(text) for text in texts)
    True
    """
    if text.isascii() and text.isprintable():
        return len(text) + text.count('"') + text.count("\\") + 4
    return 12 * len(text) + 4  # \uXXXX, twice where one character takes a surrogate pair


def _graph_out(graph: GraphFacts) -> dict[str, Any]:
    return {
        "tags": list(graph.tags),
        "origin": graph.origin,
        "tensorflow": graph.tensorflow,
        "producer": graph.producer,
        "minConsumer": graph.min_consumer,
        "badConsumers": list(graph.bad_consumers),
        "nodes": graph.nodes,
        "functions": graph.functions,
        "ops": dict(graph.ops),
        "declared": {op: list(attributes) for op, attributes in graph.declared.items()},
        "undeclared": list(graph.undeclared),
        "strippedDefaults": graph.stripped_defaults,
        "assets": list(graph.assets),
        "absent": list(graph.absent),
        "contradicted": list(graph.contradicted),
        "initOp": graph.init_op,
        "objectGraph": graph.object_graph,
        "signatures": {
            key: {
                "method": s.method,
                "inputs": {k: _tensor_out(t) for k, t in s.inputs.items()},
                "outputs": {k: _tensor_out(t) for k, t in s.outputs.items()},
            }
            for key, s in graph.signatures.items()
        },
    }


def _tensor_out(tensor: TensorSpec) -> dict[str, Any]:
    out: dict[str, Any] = {
        "dtype": tensor.dtype,
        "shape": None if tensor.shape is None else list(tensor.shape),
        "name": tensor.name,
    }
    if tensor.kind != "Dense":
        out |= {"kind": tensor.kind, "parts": list(tensor.parts)}
    if tensor.default is not None:
        out["default"] = tensor.default
    return out


def _graph_in(data: Mapping[str, Any]) -> GraphFacts:
    return GraphFacts(
        tags=tuple(map(str, data["tags"])),
        signatures={
            str(key): Signature(
                str(s["method"]),
                {str(k): _tensor_in(t) for k, t in s["inputs"].items()},
                {str(k): _tensor_in(t) for k, t in s["outputs"].items()},
            )
            for key, s in data["signatures"].items()
        },
        ops={str(k): int(n) for k, n in data["ops"].items()},
        tensorflow=str(data["tensorflow"]),
        producer=int(data["producer"]),
        min_consumer=int(data["minConsumer"]),
        bad_consumers=tuple(map(int, data["badConsumers"])),
        nodes=int(data["nodes"]),
        functions=int(data["functions"]),
        assets=tuple(map(str, data["assets"])),
        absent=tuple(map(str, data["absent"])),
        contradicted=tuple(map(str, data.get("contradicted", ()))),
        init_op=bool(data["initOp"]),
        object_graph=bool(data["objectGraph"]),
        origin=str(data.get("origin", "")),
        declared={str(k): tuple(map(str, a)) for k, a in data.get("declared", {}).items()},
        undeclared=tuple(map(str, data.get("undeclared", ()))),
        stripped_defaults=bool(data.get("strippedDefaults", False)),
    )


def _tensor_in(data: Mapping[str, Any]) -> TensorSpec:
    shape, kind = data["shape"], data.get("kind", "Dense")
    if kind not in ("Dense", "Sparse", "Composite"):
        raise ValueError(f"a tensor of kind {kind!r}")
    return TensorSpec(
        dtype=str(data["dtype"]),
        shape=None if shape is None else tuple(map(int, shape)),
        name=str(data["name"]),
        kind=str(kind),
        parts=() if kind == "Dense" else tuple(map(str, data.get("parts", ()))),
        default=None if data.get("default") is None else str(data["default"]),
    )
