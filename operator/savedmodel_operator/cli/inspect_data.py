"""What `inspect` says to programs. Keys are stable: new ones may be added, none changes its meaning.

Neighbours: `inspect` prints it, `inspect_view` is the same for people. Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.target import Version
from savedmodel_operator.savedmodel import BundleIndex, GraphFacts, MalformedModel, TensorSpec
from savedmodel_operator.savedmodel.extras import Extras, Fingerprint, Warmup
from savedmodel_operator.savedmodel.origin import in_folder

if TYPE_CHECKING:
    from savedmodel_operator.savedmodel.functions import Function


@dataclass(frozen=True)
class Detail:
    """What is wanted beyond the usual: long lists, and looks that cost more reading."""

    list_ops: bool = False
    variables: bool = False
    functions: bool = False
    files: bool = False
    deep: bool = False


def as_dict(version: Version, detail: Detail = Detail()) -> dict[str, Any]:
    """Everything that was read. `damaged` is null unless the bytes were compared (`deep`),
    `functions` unless they were asked for; other lists are always there."""
    facts = version.facts.to_dict() if version.facts else {"schema": None, "graphs": []}
    for graph in facts["graphs"]:
        graph["origin"] = in_folder(graph["origin"], version.listing)
    return {
        "path": version.name,
        "complete": version.layout.complete,
        "reason": version.layout.reason.value,
        "message": version.layout.message,
        "problems": list(version.layout.problems),
        "damaged": list(version.damaged) if detail.deep else None,
        "files": dict(version.listing),
        "bytes": sum(version.listing.values()),
        "graphFile": facts.get("file"),
        "schemaVersion": facts["schema"],
        "metaGraphs": facts["graphs"],
        "functions": _functions(version) if detail.functions else None,
        "variables": _variables(version.bundle) if version.bundle else None,
        "extras": _extras(version.extras),
        "bytesRead": version.bytes_read,
        "reads": version.reads,
    }


def tensor_sizes(bundle: BundleIndex) -> dict[str, int]:
    """Bytes of each tensor by name; a partitioned one has those of its slices."""
    sizes: dict[str, int] = {}
    for entry in bundle.entries:
        name = entry.part_of or entry.name
        sizes[name] = sizes.get(name, 0) + entry.size
    return sizes


def functions_of(version: Version) -> Iterator[tuple[GraphFacts, tuple[Function, ...]]]:
    """The functions of each MetaGraph that was selected; none for saved_model.pbtxt, whose object
    graph is not read. Raises NotReadableError for an object graph that is malformed."""
    from savedmodel_operator.savedmodel.functions import FILE, read_functions

    if version.facts is None or version.facts.file != FILE:
        return
    try:
        found = read_functions(version.open(FILE))
    except MalformedModel as error:
        raise NotReadableError(str(error)) from error
    selected = {frozenset(graph.tags): graph for graph in version.facts.graphs}
    for tags, functions in found:
        if tags in selected:
            yield selected[tags], functions


def _functions(version: Version) -> list[dict[str, Any]]:
    return [
        {
            "tags": list(graph.tags),
            "functions": [
                {
                    "name": function.name,
                    "traces": [
                        {
                            "arguments": [_value(a) for a in trace.arguments],
                            "keywords": _value(dict(trace.keywords)),
                        }
                        for trace in function.traces
                    ],
                }
                for function in functions
            ],
        }
        for graph, functions in functions_of(version)
    ]


def _value(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        shape = None if value.shape is None else list(value.shape)
        return {"tensor": value.name, "dtype": value.dtype, "shape": shape}
    if isinstance(value, dict):
        return {"dict": {key: _value(inner) for key, inner in value.items()}}
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return value if value is None or isinstance(value, _PLAIN) else {"kind": str(value)}


_PLAIN = (bool, int, float, str)


def _variables(bundle: BundleIndex) -> dict[str, Any]:
    sizes = tensor_sizes(bundle)
    return {
        "shards": bundle.shards,
        "tensors": [
            {
                "name": entry.name,
                "dtype": entry.dtype,
                "shape": None if entry.shape is None else list(entry.shape),
                "shard": entry.shard,
                "bytes": sizes[entry.name],
            }
            for entry in bundle.entries
            if not entry.part_of
        ],
    }


def _extras(extras: Extras) -> dict[str, Any]:
    return {
        "fingerprint": _fingerprint(extras.fingerprint) if extras.fingerprint else None,
        "warmup": _warmup(extras.warmup) if extras.warmup else None,
        "kerasMetadata": extras.keras_metadata,
        "tflite": extras.tflite,
        "extraAssets": list(extras.extra_assets),
        "problems": list(extras.problems),
    }


def _fingerprint(found: Fingerprint) -> dict[str, Any]:
    """Hashes as text: they are uint64, which many JSON readers would round."""
    return {
        "savedModelChecksum": str(found.saved_model_checksum),
        "graphDefProgramHash": str(found.graph_def_program_hash),
        "signatureDefHash": str(found.signature_def_hash),
        "savedObjectGraphHash": str(found.saved_object_graph_hash),
        "checkpointHash": str(found.checkpoint_hash),
        "version": found.version,
        "uuid": found.uuid,
    }


def _warmup(found: Warmup) -> dict[str, Any]:
    requests = [
        {"kind": r.kind, "model": r.model, "signature": r.signature, "count": r.count}
        for r in found.requests
    ]
    return {"count": found.count, "requests": requests, "problem": found.problem or None}
