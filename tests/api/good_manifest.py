"""A manifest that is accepted, and how a table says what is changed in it. Neighbours: `bad_*`."""

from __future__ import annotations

import copy
from typing import Any

GONE = object()

GOOD: dict[str, Any] = {
    "apiVersion": "savedmodel.dev/v1alpha1",
    "kind": "SavedModelDeployment",
    "metadata": {"name": "flowers"},
    "spec": {
        "source": {"uri": "s3://models/flowers", "secretRef": {"name": "savedmodel-storage"}},
        "serving": {"image": "tensorflow/serving:2.20.0"},
    },
}

STEP = {"weight": 5, "hold": "1m"}
GOLDEN = {"name": "iris", "configMap": {"name": "golden", "key": "iris.json"}}
DURATION = "must be a duration in ms, s, m or h, for example 30s or 1h30m"

Case = tuple[dict[str, Any], tuple[str, ...]]
"""(path and value pairs laid over GOOD, the texts that the answer must hold)."""


def manifest(changes: dict[str, Any]) -> dict[str, Any]:
    """GOOD with `changes` laid over it."""
    whole = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = whole
        for name in parents:
            node = node.setdefault(name, {})
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return whole
