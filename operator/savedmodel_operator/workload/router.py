"""The router of one object: Envoy Deployment, its files, Service, budget, network policies. Pure.

The Service NAME is what clients know for ever; it points at the router pods from the first
version on. Envoy's files change at every step and its pods read them in place; the Deployment
changes only with the image, the resources or a new operator release.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from savedmodel_operator.api import names
from savedmodel_operator.api.types import Resources, Spec
from savedmodel_operator.workload import pod
from savedmodel_operator.workload.envoy import Place, build_files, config_hash
from savedmodel_operator.workload.envoy_listeners import PRE_STOP, build_args, build_bootstrap
from savedmodel_operator.workload.model import build_budget, service_ports
from savedmodel_operator.workload.owner import Owner, Platform
from savedmodel_operator.workload.quantity import parse_quantity
from savedmodel_operator.workload.route import RoutePlan

KEPT = 128
"""Objects whose fixed manifests are kept built; nobody changes a manifest."""

CONTAINER = "envoy"
VOLUME = "config"
AFTER_PRE_STOP = 10
SETTLE = 2
"""Seconds before the first readiness probe: Envoy listens before its first DNS answer and health
check are in (one slow name must not close all listeners), which takes some 50 ms."""

OPERATOR_PODS = {"app.kubernetes.io/name": "savedmodel-operator"}
"""Of the labels that the chart gives the operator's pods the one that no value of it changes."""

DEFAULT_WORKERS = 2
MAX_WORKERS = 16


@lru_cache(maxsize=KEPT)
def build_service(owner: Owner) -> dict[str, Any]:
    """Service NAME, the clients' address."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(owner.name, names.COMPONENT_ROUTER),
        "spec": {
            "type": "ClusterIP",
            "selector": owner.selector(names.COMPONENT_ROUTER),
            "ports": service_ports(),
        },
    }


def build_configmap(owner: Owner, route: RoutePlan, now: float) -> dict[str, Any]:
    """Envoy's files; `now` is Unix seconds, noted so that convergence can be timed."""
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    annotations = {
        names.ANNOTATION_CONFIG: config_hash(route),
        names.ANNOTATION_WRITTEN_AT: stamp.replace("+00:00", "Z"),
    }
    name = names.router_name(owner.name)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(name, names.COMPONENT_ROUTER, annotations=annotations),
        "data": build_files(route),
    }


def build_deployment(owner: Owner, spec: Spec, settings: Platform) -> dict[str, Any]:
    """The Envoy Deployment: one pod more before one pod less."""
    asked = (owner, msgspec.json.encode(spec.traffic.router), settings)
    if asked not in _DEPLOYMENTS:
        if len(_DEPLOYMENTS) >= KEPT:
            _DEPLOYMENTS.clear()
        _DEPLOYMENTS[asked] = _build_deployment(owner, spec, settings)
    return _DEPLOYMENTS[asked]


_DEPLOYMENTS: dict[tuple[Owner, bytes, Platform], dict[str, Any]] = {}


def _build_deployment(owner: Owner, spec: Spec, settings: Platform) -> dict[str, Any]:
    router = spec.traffic.router
    name = names.router_name(owner.name)
    selector = owner.selector(names.COMPONENT_ROUTER)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(name, names.COMPONENT_ROUTER),
        "spec": {
            "replicas": router.replicas,
            "selector": {"matchLabels": selector},
            "revisionHistoryLimit": 2,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {"labels": owner.labels(component=names.COMPONENT_ROUTER)},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": PRE_STOP + AFTER_PRE_STOP,
                    "securityContext": pod.pod_security(),
                    "containers": [_envoy(owner, spec, settings)],
                    "volumes": [{"name": VOLUME, "configMap": {"name": name}}],
                    "topologySpreadConstraints": pod.spread(selector),
                    **pod.pick(imagePullSecrets=[{"name": s} for s in settings.image_pull_secrets]),
                },
            },
        },
    }


@lru_cache(maxsize=KEPT)
def build_pdb(owner: Owner) -> dict[str, Any]:
    """At most one router away at a time; one replica alone may be drained (see model.build_pdb)."""
    metadata = owner.metadata(names.router_name(owner.name), names.COMPONENT_ROUTER)
    return build_budget(metadata, owner.selector(names.COMPONENT_ROUTER))


@lru_cache(maxsize=KEPT)
def build_network_policies(owner: Owner, settings: Platform) -> tuple[dict[str, Any], ...]:
    """Who may call router pods and model pods; what they may call is left to the namespace.

    Model pods take their routers (traffic) and the operator (live checks). Routers take anybody on
    the two client ports; only the operator reads their statistics. Policies add up: a Prometheus
    needs one more policy, written by its owner.
    """
    operator = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}
        },
        "podSelector": {"matchLabels": OPERATOR_PODS},
    }
    routers = {"podSelector": {"matchLabels": owner.selector(names.COMPONENT_ROUTER)}}
    clients = _ports(names.PORT_REST, names.PORT_GRPC)
    return (
        _policy(
            owner,
            names.COMPONENT_ROUTER,
            [{"ports": clients}, {"from": [operator], "ports": _ports(names.PORT_STATS)}],
        ),
        _policy(owner, names.COMPONENT_MODEL, [{"from": [routers, operator], "ports": clients}]),
    )


def _policy(owner: Owner, component: str, ingress: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owner.metadata(f"{owner.name}-{component}", component),
        "spec": {
            "podSelector": {"matchLabels": owner.selector(component)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"port": number, "protocol": "TCP"} for number in numbers]


def _envoy(owner: Owner, spec: Spec, settings: Platform) -> dict[str, Any]:
    router, place = spec.traffic.router, Place()
    bootstrap = build_bootstrap(place, f"{owner.namespace}/{owner.name}")
    return {
        "name": CONTAINER,
        "image": router.image or settings.router_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["envoy"],
        "args": build_args(bootstrap, _workers(router.resources)),
        "ports": [
            {"name": "rest", "containerPort": names.PORT_REST, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.PORT_GRPC, "protocol": "TCP"},
            {"name": "stats", "containerPort": names.PORT_STATS, "protocol": "TCP"},
        ],
        "resources": _resources(router.resources),
        "securityContext": pod.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "startupProbe": _ready(period=1, failures=60),
        "readinessProbe": _ready(period=2, failures=3, initialDelaySeconds=SETTLE),
        "livenessProbe": _ready(period=10, failures=6),
        "volumeMounts": [{"name": VOLUME, "mountPath": place.directory, "readOnly": True}],
    }


def _ready(period: int, failures: int, **more: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/ready", "port": names.PORT_STATS},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
        **more,
    }


def _workers(resources: Resources) -> int:
    """One worker thread per CPU of the limit; Envoy's default is one per CPU of the node."""
    limit = parse_quantity(resources.limits.get("cpu"))
    return DEFAULT_WORKERS if limit is None else max(1, min(MAX_WORKERS, math.ceil(limit)))


def _resources(asked: Resources) -> dict[str, Any]:
    """As asked; without a word on it, what an idle router needs, and no limit on bodies."""
    requests = {"cpu": "50m", "memory": "64Mi"} | dict(asked.limits) | dict(asked.requests)
    return {"requests": requests, **pod.pick(limits=dict(asked.limits))}
