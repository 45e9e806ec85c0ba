"""The shares in Envoy's files, read and changed as by hand.

Neighbours: the cases of group E. Text in and out; touches no cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def favour(text: str, revision: str, percent: int) -> str:
    """rds.json with this share for a revision and the rest for the other one."""
    found = json.loads(text)
    for clusters in _weighted(found):
        for cluster in clusters:
            own = cluster["name"].startswith(revision)
            cluster["weight"] = percent if own else 100 - percent
    return json.dumps(found)


def splits(text: str) -> list[list[int]]:
    """The weights of every split route of rds.json."""
    return [[c["weight"] for c in clusters] for clusters in _weighted(json.loads(text))]


def _weighted(part: Any) -> Iterator[list[dict[str, Any]]]:
    if isinstance(part, dict):
        if "weighted_clusters" in part:
            yield part["weighted_clusters"]["clusters"]
        for inner in part.values():
            yield from _weighted(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _weighted(inner)
