"""The kinds that the operator touches, with their URLs. Pure data.

Fixed here instead of discovered: the operator needs no discovery call, no cache file on its
read-only disk, and RBAC and code can be compared kind by kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from savedmodel_operator.api import types


@dataclass(frozen=True)
class Kind:
    """One kind of the API."""

    kind: str
    api_version: str
    plural: str

    @property
    def resource(self) -> str:
        """As RBAC messages name it: "deployments.apps", "pods"."""
        group, slash, _ = self.api_version.partition("/")
        return f"{self.plural}.{group}" if slash else self.plural

    def path(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """The URL path; without namespace: all namespaces."""
        base = (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )
        parts = [base]
        if namespace is not None:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts.extend(p for p in (name, sub) if p is not None)
        return "/".join(parts)


MODEL = Kind(types.KIND, types.API_VERSION, types.PLURAL)
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
SERVICE = Kind("Service", "v1", "services")
POD = Kind("Pod", "v1", "pods")
SECRET = Kind("Secret", "v1", "secrets")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
CONTROLLER_REVISION = Kind("ControllerRevision", "apps/v1", "controllerrevisions")
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
EVENT = Kind("Event", "events.k8s.io/v1", "events")

CHILDREN = (
    CONFIG_MAP,
    SERVICE,
    POD,
    DEPLOYMENT,
    CONTROLLER_REVISION,
    DISRUPTION_BUDGET,
    AUTOSCALER,
    NETWORK_POLICY,
)
"""What is watched by label and belongs to a SavedModelDeployment."""

BY_NAME = {k.kind: k for k in (*CHILDREN, MODEL, SECRET, LEASE, EVENT)}
