"""What `inspect` says to programs. Keys are stable: new ones may be added, none changes its meaning.

Neighbours: `inspect` prints it, `inspect_view` is the same for people. Must not judge.
"""

from __future__ import annotations

from typing import Any

from savedmodel_operator.cli.target import Version
from savedmodel_operator.savedmodel import BundleIndex


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
