"""Envoy's copies of requests for a candidate without weight. Pure; called by `envoy` and its routes.

Envoy sends a copy beside the request itself and drops the answer. Three things about it would reach
the client, so copies have clusters of their own (all seen live on Envoy 1.40):
- A body that the candidate does not take makes Envoy stop reading it from the client: with a
  candidate that accepts and never reads, every upload of 20 MiB hung. So these clusters may hold a
  whole body (`BUFFER`).
- A copy has the route's timeout, which is none: what a hanging candidate never answers would be
  kept for ever. So it is cut off (`LONGEST`), and no more than `AT_ONCE` per port are under way;
  what comes beyond that is not copied.
- Only the request's own answer goes through the filter that counts gRPC codes. Envoy's figures for
  each host tell failed gRPC calls apart, so they are listed.
A copy is sent once: it is never retried, and a retried request is copied with its first try only.
"""

from __future__ import annotations

from typing import Any

from savedmodel_operator.workload.envoy_clusters import (
    GRPC,
    OPTIONS,
    REST,
    build_cluster,
    cluster_name,
)
from savedmodel_operator.workload.route import Mirror, RoutePlan

BUFFER = 65 * 1024 * 1024
"""Bytes of one body: more than the 64 MiB beyond which a request is refused anyway."""

AT_ONCE = 32
"""Copies under way in one router, for each port: what a hanging candidate costs in memory."""

LONGEST = "60s"
"""TensorFlow Serving gives up a REST call of its own after 30 s."""

CONNECT = "0.25s"
"""A lost copy costs nothing; a body that waits for a connection does."""

Json = dict[str, Any]


def mirror_name(revision: str) -> str:
    """What stands for the revision in the names of its mirror clusters. No Kubernetes name has a
    `~`, so it is no revision's."""
    return f"{revision}~mirror"


def revision_behind(name: str) -> str:
    """Whose pods a cluster's name is about, a mirror's or not.

    >>> revision_behind("flowers-v8-bbbbbbbb~mirror"), revision_behind("flowers-v8-bbbbbbbb")
    ('flowers-v8-bbbbbbbb', 'flowers-v8-bbbbbbbb')
    """
    return name.partition("~")[0]


def build_policy(mirror: Mirror, protocol: str) -> Json:
    """For a route whose requests are copied."""
    share = {"numerator": mirror.percent, "denominator": "HUNDRED"}
    return {
        "cluster": cluster_name(mirror_name(mirror.revision), protocol),
        "runtime_fraction": {"default_value": share},
    }


def build_mirror_clusters(route: RoutePlan) -> list[Json]:
    """One for each protocol while there is a mirror."""
    if route.mirror is None:
        return []
    return [_cluster(route, route.mirror, protocol) for protocol in (REST, GRPC)]


def _cluster(route: RoutePlan, mirror: Mirror, protocol: str) -> Json:
    backend = route.find(mirror.revision)
    assert backend is not None  # RoutePlan sees to it
    name = cluster_name(mirror_name(mirror.revision), protocol)
    cluster = build_cluster(route, backend, protocol, name)
    options = cluster["typed_extension_protocol_options"][OPTIONS]
    common = {**options.get("common_http_protocol_options", {}), "max_stream_duration": LONGEST}
    options["common_http_protocol_options"] = common
    if protocol == GRPC:
        windows = ("initial_stream_window_size", "initial_connection_window_size")
        options["explicit_http_config"]["http2_protocol_options"] = dict.fromkeys(windows, BUFFER)
        cluster["track_cluster_stats"] = {"per_endpoint_stats": True}
    limits = {**cluster["circuit_breakers"]["thresholds"][0], "max_requests": AT_ONCE}
    cluster["circuit_breakers"] = {"thresholds": [limits]}
    cluster["per_connection_buffer_limit_bytes"] = BUFFER
    cluster["connect_timeout"] = CONNECT
    return cluster
