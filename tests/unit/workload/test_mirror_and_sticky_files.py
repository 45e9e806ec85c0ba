"""Envoy's files with copies and with sticky clients: golden, and the same as ever without them.

SAVEDMODEL_REGENERATE=1 writes the golden files anew, as in `test_golden_manifests`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from savedmodel_operator.workload.envoy import Backend, Mirror, RoutePlan, build_files

GOLDEN = Path(__file__).parent / "golden"
STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"
PLAIN = RoutePlan(
    "flowers",
    "shop",
    "flowers",
    (Backend(STABLE, 7, 100), Backend(CANARY, 8, 0)),
    STABLE,
    CANARY,
)
MIRRORED = replace(PLAIN, mirror=Mirror(CANARY, 10))
STICKY = replace(PLAIN, sticky="x-user-id")


def parsed(route: RoutePlan) -> dict[str, Any]:
    return {name: json.loads(text)["resources"] for name, text in build_files(route).items()}


@pytest.mark.parametrize("name", ["cds.json", "rds.json"])
def test_the_files_of_both(name: str) -> None:
    text = build_files(replace(MIRRORED, sticky="x-user-id"))[name] + "\n"
    path = GOLDEN / f"mirror-{name}"
    if os.environ.get("SAVEDMODEL_REGENERATE"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs"


def test_only_the_parts_in_question_differ() -> None:
    """Listeners and the clusters of requests are the same objects to Envoy: nothing is drained."""
    plain, mirrored, sticky = parsed(PLAIN), parsed(MIRRORED), parsed(STICKY)
    assert mirrored["lds.json"] == sticky["lds.json"] == plain["lds.json"]
    assert sticky["cds.json"] == plain["cds.json"]
    assert mirrored["cds.json"][:4] == plain["cds.json"]
    assert [c["name"] for c in mirrored["cds.json"][4:]] == [
        f"{CANARY}~mirror/rest",
        f"{CANARY}~mirror/grpc",
    ]
    for found, key in ((mirrored, "request_mirror_policies"), (sticky, "hash_policy")):
        routes = found["rds.json"][0]["virtual_hosts"][0]["routes"]
        touched = [r for r in routes if key in r.get("route", {})]
        assert len(touched) == 5, "four gRPC methods and the verbs of REST"
        assert all("weighted_clusters" in r["route"] for r in touched)


@pytest.mark.parametrize(
    "mirror",
    [
        Mirror("flowers-v9-cccccccc", 10),
        Mirror(STABLE, 10),
        Mirror(CANARY, 0),
        Mirror(CANARY, 101),
    ],
    ids=["no backend", "one with requests", "nothing", "too much"],
)
def test_copies_that_make_no_sense_cannot_be_built(mirror: Mirror) -> None:
    with pytest.raises(ValueError, match="needs a backend without weight"):
        replace(PLAIN, mirror=mirror)
