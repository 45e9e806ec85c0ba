"""Envoy's clusters (CDS): two per revision, one for each protocol. Pure; called by `envoy`.

Choice (2026-11): hosts come from DNS (STRICT_DNS on the headless Service), asked every second,
and their health from active TCP checks.
- A host that leaves DNS leaves at once, healthy or not (`ignore_health_on_host_removal`): a pod
  in its preStop sleep is healthy and would else keep its traffic until it is killed. Requests in
  flight go on, pools are drained.
- TCP connects, not HTTP: pods come into DNS by their readiness probe, which asks the model server
  itself; what is left to find within 3 s is a host that is gone. An overloaded server answers a
  connect from the kernel's backlog, so that load alone never empties a cluster. And TF Serving
  would count an HTTP check as a request.
- No merge window: by default a host's health reaches the worker threads up to a second after the
  membership listing shows it (seen live: 503 from a router that listed its host as healthy), and
  weights move on the word of that listing.
- What was sent to a host that falls silent fails after half a minute, whatever becomes of the host.
- No panic routing: it would send a share to hosts that are known to be dead.
- No outlier ejection: a candidate with one pod would vanish by it, and its errors are evidence.
"""

from __future__ import annotations

from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.workload.route import Backend, RoutePlan

REST, GRPC = "rest", "grpc"

DNS_REFRESH = "1s"
CLUSTER_DOMAIN = "cluster.local"

HEALTH_INTERVAL, HEALTH_TIMEOUT, UNHEALTHY_AFTER = "0.5s", "0.7s", 2
"""A host that falls silent is out after at most 2 × (0.5 + 0.7) s = 2.4 s; budget: 3 s."""

SILENCE = 30_000
"""Milliseconds after which a connection ends on which bytes of ours are not acknowledged, or not taken
(TCP_USER_TIMEOUT). A request that was sent into silence before the host was ejected has no other end
for minutes: keep-alive probes are held back while bytes are on their way. A server that only thinks
is not meant, its kernel answers; and TF Serving gives up a REST call of its own after 30 s."""

_TCP, _TCP_USER_TIMEOUT = 6, 18

REST_IDLE = "20s"
"""Pooled HTTP/1.1 connections are closed by us first: libevent, which TF Serving's REST server is
built on, closes idle ones after 50 s, and a request that meets a closing connection fails."""

NO_LIMIT = 1_000_000
"""Circuit breakers count to 1024 by default and then answer 503 themselves; the servers' own
queues and memory are the limit."""

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/"


def cluster_name(revision: str, protocol: str) -> str:
    """The name in routes, statistics and the membership listing."""
    return f"{revision}/{protocol}"


def parse_cluster_name(name: str) -> tuple[str, str] | None:
    """(revision, protocol) of a cluster of ours; None for any other, such as the admin one."""
    revision, slash, protocol = name.rpartition("/")
    return (revision, protocol) if slash and protocol in (REST, GRPC) else None


def build_clusters(route: RoutePlan) -> list[dict[str, Any]]:
    """All clusters, backends without weight included."""
    return [
        build_cluster(route, backend, protocol, cluster_name(backend.revision, protocol))
        for backend in route.ordered
        for protocol in (REST, GRPC)
    ]


def build_cluster(route: RoutePlan, backend: Backend, protocol: str, name: str) -> dict[str, Any]:
    """The pods of one revision as hosts for one protocol."""
    return {
        "@type": _TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        "cluster_type": _strict_dns(),
        "connect_timeout": "1s",
        "wait_for_warm_on_init": False,
        "ignore_health_on_host_removal": True,
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "health_checks": [_health_check()],
        "circuit_breakers": _circuit_breakers(),
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 5}
        },
        "upstream_bind_config": {"socket_options": [_silence()]},
        "typed_extension_protocol_options": {OPTIONS: _protocol(protocol)},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": _endpoints(route, backend, protocol)}],
        },
    }


def _strict_dns() -> dict[str, Any]:
    """Every address of the name is a host; answers are not kept beyond the refresh."""
    return {
        "name": "envoy.clusters.dns",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster",
            "dns_lookup_family": "V4_PREFERRED",
            "dns_refresh_rate": DNS_REFRESH,
            "dns_failure_refresh_rate": {"base_interval": "0.5s", "max_interval": "2s"},
        },
    }


def _endpoints(route: RoutePlan, backend: Backend, protocol: str) -> list[dict[str, Any]]:
    port = names.PORT_REST if protocol == REST else names.PORT_GRPC
    domain = f"{backend.revision}.{route.namespace}.svc.{CLUSTER_DOMAIN}"
    return [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
        for address in backend.addresses or (domain,)
    ]


def _health_check() -> dict[str, Any]:
    """The same pace with and without traffic: a candidate without weight must be known too."""
    return {
        "timeout": HEALTH_TIMEOUT,
        "interval": HEALTH_INTERVAL,
        "no_traffic_interval": HEALTH_INTERVAL,
        "interval_jitter_percent": 10,
        "unhealthy_threshold": UNHEALTHY_AFTER,
        "healthy_threshold": 1,
        "tcp_health_check": {},
    }


def _circuit_breakers() -> dict[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(limits, NO_LIMIT)]}


def _silence() -> dict[str, Any]:
    """For connections to pods only; clients' networks may well be silent for a while."""
    return {
        "description": "TCP_USER_TIMEOUT",
        "level": _TCP,
        "name": _TCP_USER_TIMEOUT,
        "int_value": SILENCE,
        "state": "STATE_PREBIND",
    }


def _protocol(protocol: str) -> dict[str, Any]:
    """HTTP/1.1 for REST, HTTP/2 with prior knowledge for gRPC.

    No HTTP/2 keep-alive pings: gRPC servers cut clients that ping more than every 5 minutes.
    """
    base: dict[str, Any] = {"@type": _TYPE + OPTIONS}
    if protocol == GRPC:
        return {**base, "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        **base,
        "common_http_protocol_options": {"idle_timeout": REST_IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
    }
