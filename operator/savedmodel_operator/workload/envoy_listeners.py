"""Envoy's listeners (LDS) and its bootstrap. Pure; called by `envoy` and `router`.

Listeners never depend on backends or weights: a listener that changes is drained, and that would
cost connections at every step of a rollout. The bootstrap is part of the pod template, because a
running Envoy cannot change it.

Leaving without a failed request: Envoy cannot be told to drain without its admin port, and the
image may have no shell. So every connection is asked to leave after MAX_CONNECTION (HTTP/1.1: the
next answer says `Connection: close`; HTTP/2: GOAWAY, then DRAIN for what is on its way). A pod
that is no longer an endpoint thus loses its clients to the others during its preStop sleep.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.workload.envoy_routes import NAME as ROUTES

MAX_CONNECTION = 10
"""Seconds a client connection lives. A new one every 10 s costs next to nothing in a cluster, and
the shorter it is, the sooner a leaving router has no traffic."""

DRAIN = 5
"""Seconds between the first and the final GOAWAY."""

LINGER = 15
"""Further seconds for requests that began before their connection was asked to leave."""

PRE_STOP = MAX_CONNECTION + DRAIN + LINGER

CONFIG_DIRECTORY = "/etc/savedmodel-router"
LDS, CDS, RDS = "lds.json", "cds.json", "rds.json"
ADMIN_CLUSTER = "admin"
READ_ONLY_PATHS = ("/ready", "/clusters", "/stats", "/stats/prometheus")

FLUSH = "1s"
"""How often Envoy merges its histograms, from which `traffic.router_stats` reads latencies."""

NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}
"""An empty list would mean Envoy's default, which trusts every private address."""

Json = dict[str, Any]
_TYPE = "type.googleapis.com/"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_GRPC_STATS = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"


@dataclass(frozen=True)
class Place:
    """Where an Envoy finds its files and listens. The defaults are those of a router pod.

    `admin` is the address of its admin interface: an abstract Unix socket, which only the pod's
    own network namespace can reach.
    """

    directory: str = CONFIG_DIRECTORY
    address: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known when this is written
    admin: str = "@savedmodel-router-admin"


def build_bootstrap(place: Place, node: str) -> Json:
    """What `envoy --config-yaml` gets. `node` names the object, for logs and statistics."""
    return {
        "node": {"id": node, "cluster": node},
        "admin": {"address": {"pipe": {"path": place.admin}}},
        "dynamic_resources": {
            "lds_config": _watched(place, LDS),
            "cds_config": _watched(place, CDS),
        },
        "typed_dns_resolver_config": _resolver(),
        "stats_flush_interval": FLUSH,
        "static_resources": {"clusters": [_admin_cluster(place)]},
    }


def build_args(bootstrap: Json, workers: int) -> list[str]:
    """Envoy's command line; it takes a flag and its value only as two words."""
    return [
        "--disable-hot-restart",
        *("--concurrency", str(workers)),
        *("--log-level", "warning"),
        *("--config-yaml", json.dumps(bootstrap, separators=(",", ":"))),
    ]


def _resolver() -> Json:
    """Ask for the full name only, give up on a dead DNS server soon, and change ports often.

    Hosts are kept while DNS is silent. A UDP flow that still leads to a DNS pod that is gone is
    left with its port.
    """
    return {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": _TYPE + _CARES,
            "dns_resolver_options": {"no_default_search_domain": True},
            "udp_max_queries": 32,
            "query_timeout_seconds": 1,
            "query_tries": 2,
        },
    }


def _watched(place: Place, file: str) -> Json:
    """A file that is read again whenever anything in its directory is renamed.

    The kubelet replaces a ConfigMap by renaming one symlink, so the file itself never changes.
    """
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{place.directory}/{file}",
            "watched_directory": {"path": place.directory},
        },
    }


def _admin_cluster(place: Place) -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": place.admin}}}}
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": ADMIN_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def build_listeners(place: Place) -> list[Json]:
    """REST, gRPC and the read-only statistics."""
    return [
        _listener(place, "rest", names.PORT_REST, _traffic(place)),
        _listener(place, "grpc", names.PORT_GRPC, _traffic(place)),
        _listener(place, "stats", names.PORT_STATS, _statistics()),
    ]


def _listener(place: Place, name: str, port: int, manager: Json) -> Json:
    return {
        "@type": _TYPE + "envoy.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": place.address, "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {"@type": _TYPE + _HCM, "stat_prefix": name, **manager},
                    }
                ]
            }
        ],
    }


def _traffic(place: Place) -> Json:
    """HTTP/1.1 and HTTP/2 with prior knowledge on the same port.

    `use_remote_address` with nobody internal: x-envoy-* headers of clients, which could change
    retries and timeouts, are dropped.
    """
    return {
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES, "config_source": _watched(place, RDS)},
        "common_http_protocol_options": {"max_connection_duration": f"{MAX_CONNECTION}s"},
        "http1_safe_max_connection_duration": True,
        "drain_timeout": f"{DRAIN}s",
        "request_headers_timeout": "30s",
        "stream_idle_timeout": "300s",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": True,
        "skip_xff_append": True,
        "internal_address_config": {"cidr_ranges": [NOBODY]},
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": _local_replies(),
        "http_filters": [_grpc_stats_filter(), _router_filter()],
    }


def _local_replies() -> Json:
    """The router's own refusals in the server's form: {"error": "…"}; gRPC keeps its status."""
    not_grpc = {
        "header_filter": {
            "header": {
                "name": "content-type",
                "string_match": {"prefix": "application/grpc"},
                "invert_match": True,
                "treat_missing_header_as_empty": True,
            }
        }
    }
    failed = {
        "status_code_filter": {
            "comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "unused"}}
        }
    }
    return {
        "mappers": [
            {
                "filter": {"and_filter": {"filters": [failed, not_grpc]}},
                "body_format_override": {
                    "json_format": {"error": "%LOCAL_REPLY_BODY%"},
                    "content_type": "application/json",
                },
            }
        ]
    }


def _statistics() -> Json:
    """GET on the few admin paths that only read, and nothing else."""
    only_get = [{"name": ":method", "string_match": {"exact": "GET"}}]
    routes: list[Json] = [
        {
            "match": {"path": path, "headers": only_get},
            "route": {"cluster": ADMIN_CLUSTER, "timeout": "5s"},
        }
        for path in READ_ONLY_PATHS
    ]
    refused = {"status": 403, "body": {"inline_string": "only GET of a few statistics\n"}}
    routes.append({"match": {"prefix": "/"}, "direct_response": refused})
    host = {"name": "stats", "domains": ["*"], "routes": routes}
    return {
        "codec_type": "AUTO",
        "route_config": {"name": "stats", "virtual_hosts": [host]},
        "http_filters": [_router_filter()],
    }


def _grpc_stats_filter() -> Json:
    """Counts gRPC status codes by cluster: for HTTP every gRPC answer is a 200."""
    config = {"@type": _TYPE + _GRPC_STATS, "emit_filter_state": False}
    return {"name": "envoy.filters.http.grpc_stats", "typed_config": config}


def _router_filter() -> Json:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": _TYPE + _ROUTER, "suppress_envoy_headers": True},
    }
