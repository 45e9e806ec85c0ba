"""From a RoutePlan to Envoy's files and their hash. Pure; called by `router` and `plan`.

`version_info` of each file is a hash of its own content, so that Envoy's statistics tell which
one it runs. The hash over all of them is what /_revision answers and what the planner waits for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from savedmodel_operator.workload.envoy_clusters import build_clusters
from savedmodel_operator.workload.envoy_listeners import CDS, LDS, RDS, Place, build_listeners
from savedmodel_operator.workload.envoy_mirror import build_mirror_clusters
from savedmodel_operator.workload.envoy_routes import build_routes
from savedmodel_operator.workload.route import Backend, Mirror, RoutePlan

__all__ = ["Backend", "Mirror", "Place", "RoutePlan", "build_files", "config_hash"]

_POD = Place()

ROUTES = 128
"""Routes kept built: an idle cycle asks for the same one again, and building costs some 10 ms. A
file set takes about 40 KB, so at most 5 MB."""


@lru_cache(maxsize=ROUTES)
def config_hash(route: RoutePlan, place: Place = _POD) -> str:
    """16 hex characters over everything that the routers are told."""
    return _digest([_resources(route, place, revision="")])


def build_files(route: RoutePlan, place: Place = _POD) -> dict[str, str]:
    """File name → text of the ConfigMap's `data`. Deterministic."""
    return dict(_files(route, place))


@lru_cache(maxsize=ROUTES)
def _files(route: RoutePlan, place: Place) -> Mapping[str, str]:
    resources = _resources(route, place, config_hash(route, place))
    return {file: _response(found) for file, found in resources.items()}


def _resources(route: RoutePlan, place: Place, revision: str) -> dict[str, list[dict[str, Any]]]:
    return {
        CDS: [*build_clusters(route), *build_mirror_clusters(route)],
        LDS: build_listeners(place),
        RDS: [build_routes(route, revision)],
    }


def _response(resources: list[dict[str, Any]]) -> str:
    """A DiscoveryResponse as Envoy reads it from a file."""
    body = {"version_info": _digest(resources), "resources": resources}
    return msgspec.json.format(msgspec.json.encode(body), indent=1).decode()


def _digest(content: list[Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
