"""What NetworkPolicies let through, by the API's own semantics: for clusters that enforce none.

Kubernetes API reference, NetworkPolicySpec: a pod that no policy selects takes everything; one that
is selected takes what any of them allows. Both ends count: the target's ingress, the source's
egress. Nothing of the product is used here: what is tested must not check itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The API server itself puts it on every namespace."""


@dataclass(frozen=True)
class Pod:
    """One end of a connection. `ports`: its named ones."""

    namespace: str
    labels: Mapping[str, str]
    ip: str = "10.1.0.1"
    ports: Mapping[str, int] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, body: Json, namespace: str | None = None) -> Pod:
        """A pod as the cluster shows it, or the template of a Deployment in `namespace`."""
        meta, spec = body["metadata"], body["spec"]
        ports = {
            port["name"]: port["containerPort"]
            for container in spec["containers"]
            for port in container.get("ports", ())
            if "name" in port
        }
        ip = body.get("status", {}).get("podIP", "10.1.0.1")
        return cls(namespace or meta["namespace"], meta["labels"], ip, ports)


@dataclass(frozen=True)
class Outside:
    """An address that is no pod's."""

    ip: str = "198.51.100.7"


Peer = Pod | Outside


def may_connect(
    policies: Iterable[Json], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection from source to this port of target comes about."""
    known = list(policies)

    def passes(rules: list[tuple[Json, str]] | None, other: Peer) -> bool:
        return rules is None or any(
            _port_fits(rule.get("ports"), target, port, protocol) and _peer_fits(rule, home, other)
            for rule, home in rules
        )

    return passes(_rules(known, target, "Ingress"), source) and passes(
        _rules(known, source, "Egress"), target
    )


def _rules(policies: list[Json], end: Peer, direction: str) -> list[tuple[Json, str]] | None:
    """(rule, namespace) of all policies that select this end; None where none does."""
    if not isinstance(end, Pod):
        return None
    specs = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == end.namespace
        and selects(policy["spec"].get("podSelector") or {}, end.labels)
        and direction in _types(policy["spec"])
    ]
    rules = [(rule, end.namespace) for spec in specs for rule in spec.get(direction.lower()) or ()]
    return rules if specs else None


def _types(spec: Json) -> list[str]:
    """Ingress always where nothing is said, Egress where there is an egress part."""
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _port_fits(ports: list[Json] | None, target: Peer, port: int, protocol: str) -> bool:
    if not ports:
        return True
    named = target.ports if isinstance(target, Pod) else {}
    for entry in ports:
        first = entry.get("port")
        first = named.get(first, -1) if isinstance(first, str) else first
        if entry.get("protocol", "TCP") == protocol and (
            first is None or first <= port <= entry.get("endPort", first)
        ):
            return True
    return False


def _peer_fits(rule: Json, home: str, other: Peer) -> bool:
    peers = rule.get("from") or rule.get("to")
    return not peers or any(_is(peer, home, other) for peer in peers)


def _is(peer: Json, home: str, other: Peer) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.ip)
        block = peer["ipBlock"]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(
            address in ipaddress.ip_network(left_out) for left_out in block.get("except", ())
        )
    if not isinstance(other, Pod):
        return False
    if "namespaceSelector" in peer:
        labels = {NAMESPACE_LABEL: other.namespace, **other.namespace_labels}
        near = selects(peer["namespaceSelector"] or {}, labels)
    else:
        near = other.namespace == home
    return near and selects(peer.get("podSelector") or {}, other.labels)


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """A LabelSelector; the empty one selects everything."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(entry, labels) for entry in selector.get("matchExpressions") or ())


def _expression(entry: Json, labels: Mapping[str, str]) -> bool:
    key, operator, values = entry["key"], entry["operator"], entry.get("values", ())
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"no such operator: {operator}")
