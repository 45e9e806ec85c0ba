"""What `inspect` says to programs. Keys are stable: new ones may be added, none changes its meaning.

Neighbours: `inspect` prints it, `inspect_view` is the same for people. Must not judge.
"""

from __future__ import annotations

from typing import Any

from savedmodel_operator.cli.target import Version
from savedmodel_operator.savedmodel import BundleIndex
from savedmodel_operator.savedmodel.extras import Extras, Fingerprint, Warmup


def as_dict(version: Version, *, deep: bool = False) -> dict[str, Any]:
    """Everything that was read. `damaged` is null unless the bytes were compared (`deep`)."""
    facts = version.facts.to_dict() if version.facts else {"schema": None, "graphs": []}
    return {
        "path": version.name,
        "complete": version.layout.complete,
        "reason": version.layout.reason.value,
        "message": version.layout.message,
        "problems": list(version.layout.problems),
        "damaged": list(version.damaged) if deep else None,
        "files": dict(version.listing),
        "bytes": sum(version.listing.values()),
        "graphFile": facts.get("file"),
        "schemaVersion": facts["schema"],
        "metaGraphs": facts["graphs"],
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
