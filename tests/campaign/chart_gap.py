"""The chart's ServiceAccount and Roles on a control plane of one's own, whole or with a rule missing.

Neighbours: `chart_helm` renders. Nothing of the product is used here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_server import ApiServer
from chart_helm import Helm
from lab import build

_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
RELEASE = "rights"


class Rights:
    """Of an operator in `namespace` that watches this namespace alone."""

    def __init__(self, admin: ApiServer, folder: Path, namespace: str) -> None:
        self._admin = admin
        self._namespace = namespace
        self._helm = Helm(build.binary("helm"), folder)
        self._made: list[str] = []
        self.lease = f"{RELEASE}-savedmodel-operator"

    def apply(self, without: tuple[str, str] | None = None) -> None:
        """All rules, or all but a verb of a resource."""
        values = {"watchNamespaces": [self._namespace]}
        documents = self._helm.documents(values, release=RELEASE, namespace=self._namespace)
        for document in documents:
            if document["kind"] not in _PATHS:
                continue
            place = document["metadata"].get("namespace", self._namespace)
            path = _PATHS[document["kind"]].format(place)
            self._admin.apply(_without(document, without), path).accepted()
            self._made.append(f"{path}/{document['metadata']['name']}")

    def token(self) -> str:
        """As the kubelet would ask for it."""
        path = _PATHS["ServiceAccount"].format(self._namespace)
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        made = self._admin.call("POST", f"{path}/{self.lease}/token", body).accepted()
        return str(made["status"]["token"])

    def remove(self) -> None:
        """Takes all of it away."""
        for path in dict.fromkeys(self._made):
            self._admin.call("DELETE", path)


def _without(document: dict[str, Any], wanted: tuple[str, str] | None) -> dict[str, Any]:
    if wanted is None or "rules" not in document:
        return document
    verb, resource = wanted
    rules: list[dict[str, Any]] = []
    for rule in document["rules"]:
        others = [r for r in rule["resources"] if r != resource]
        rules += [{**rule, "resources": others}] if others else []
        if resource in rule["resources"]:
            verbs = [v for v in rule["verbs"] if v != verb]
            rules.append({**rule, "resources": [resource], "verbs": verbs})
    return {**document, "rules": rules}
