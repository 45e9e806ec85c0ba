"""Protobuf's own parser with TensorFlow's own messages: is what our readers saw what they see?

For `fuzz` alone. What both accept must mean the same; what only protobuf accepts is a refusal that
is ours to make, what only we accept fails at load with TensorFlow's own message. The generated
messages are imported from the installed TensorFlow without running TensorFlow itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import message, text_format

from lab.fuzz_finding import FindingError
from savedmodel_operator.savedmodel import GraphFacts, ModelFacts, TensorSpec
from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.graph import PYTHON_OPS
from savedmodel_operator.savedmodel.saved_model import INTERNAL_SIGNATURES


def load_messages() -> Any:
    """`saved_model_pb2`; the package around it is a bare folder, so nothing of 500 MB starts."""
    found = importlib.util.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        raise RuntimeError("the development environment has no TensorFlow")
    bare = types.ModuleType("tensorflow")
    bare.__path__ = [str(Path(place)) for place in found.submodule_search_locations]
    sys.modules["tensorflow"] = bare
    return importlib.import_module("tensorflow.core.protobuf.saved_model_pb2")


class Protobuf:
    """The oracle that `fuzz_targets` takes."""

    def __init__(self) -> None:
        self._messages = load_messages()

    @property
    def empty(self) -> Any:
        """A SavedModel message to fill."""
        return self._messages.SavedModel()

    def __call__(self, form: str, data: bytes, facts: ModelFacts) -> None:
        """Raises FindingError where protobuf reads the same bytes otherwise."""
        saved = self.empty
        try:
            if form == "text":
                text_format.Parse(data.decode(), saved)
            else:
                saved.ParseFromString(data)
        except (message.DecodeError, text_format.ParseError, ValueError, RecursionError):
            return
        expected = [_graph(meta) for meta in saved.meta_graphs]
        seen = [_ours(graph) for graph in facts.graphs]
        if len(seen) != len(expected) or facts.schema != saved.saved_model_schema_version:
            raise FindingError("another number of graphs or schema than protobuf's")
        for mine, theirs in zip(seen, expected, strict=True):
            for key, value in theirs.items():
                if mine[key] != value:
                    raise FindingError(f"{key}: read {mine[key]!r}, protobuf has {value!r}")


def _graph(meta: Any) -> dict[str, Any]:
    library = meta.graph_def.library.function
    functions = {f.signature.name for f in library}
    ops = Counter(n.op for n in meta.graph_def.node)
    ops.update(n.op for f in library for n in f.node_def)
    declared = {
        o.name: tuple(a.name for a in o.attr) for o in meta.meta_info_def.stripped_op_list.op
    }
    return {
        "tags": sorted(meta.meta_info_def.tags),
        "tensorflow": meta.meta_info_def.tensorflow_version,
        "producer": meta.graph_def.versions.producer,
        "min_consumer": meta.graph_def.versions.min_consumer,
        "bad_consumers": list(meta.graph_def.versions.bad_consumers),
        "nodes": len(meta.graph_def.node),
        "functions": len(functions),
        "ops": {o: n for o, n in ops.items() if o not in functions or o in PYTHON_OPS},
        "assets": [a.filename for a in meta.asset_file_def],
        "init_op": "__saved_model_init_op" in meta.signature_def,
        "object_graph": meta.HasField("object_graph_def"),
        "declared": declared,
        "stripped_defaults": meta.meta_info_def.stripped_default_attrs,
        "signatures": {
            key: (
                s.method_name,
                {k: (*_tensor(t), k in s.defaults) for k, t in s.inputs.items()},
                {k: (*_tensor(t), False) for k, t in s.outputs.items()},
            )
            for key, s in meta.signature_def.items()
            if key not in INTERNAL_SIGNATURES
        },
    }


def _tensor(info: Any) -> tuple[Any, ...]:
    encoding = info.WhichOneof("encoding")
    sparse, parts = info.coo_sparse, tuple[str, ...]()
    if encoding == "coo_sparse":
        names = (sparse.values_tensor_name, sparse.indices_tensor_name)
        parts = tuple(filter(None, (*names, sparse.dense_shape_tensor_name)))
    elif encoding == "composite_tensor":
        parts = tuple(_components(info.composite_tensor))
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(d.size for d in shape.dim)
    kind = {"coo_sparse": "Sparse", "composite_tensor": "Composite"}.get(encoding, "Dense")
    return proto_name(info.dtype), sizes, info.name, kind, parts


def _components(composite: Any) -> Iterator[str]:
    for part in composite.components:
        if part.WhichOneof("encoding") == "name":
            yield part.name
        elif part.WhichOneof("encoding") == "composite_tensor":
            yield from _components(part.composite_tensor)


def _ours(graph: GraphFacts) -> dict[str, Any]:
    def view(tensor: TensorSpec) -> tuple[Any, ...]:
        parts = tuple(filter(None, tensor.parts)) if tensor.kind == "Sparse" else tensor.parts
        return tensor.dtype, tensor.shape, tensor.name, tensor.kind, parts, tensor.has_default

    return {
        "tags": list(graph.tags),
        "tensorflow": graph.tensorflow,
        "producer": graph.producer,
        "min_consumer": graph.min_consumer,
        "bad_consumers": list(graph.bad_consumers),
        "nodes": graph.nodes,
        "functions": graph.functions,
        "ops": dict(graph.ops),
        "assets": list(graph.assets),
        "init_op": graph.init_op,
        "object_graph": graph.object_graph,
        "declared": dict(graph.declared),
        "stripped_defaults": graph.stripped_defaults,
        "signatures": {
            key: (
                s.method,
                {k: view(t) for k, t in s.inputs.items()},
                {k: view(t) for k, t in s.outputs.items()},
            )
            for key, s in graph.signatures.items()
        },
    }
