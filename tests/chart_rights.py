"""What the operator's ServiceAccount may do and may not, as tables: the chart is held to them.

The unit level compares them with the rendered roles and with docs/permissions.md, the API level
with the answers of a real authorizer. Resources are written "group/plural[/subresource]".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[str, str, str]
"""(resource, verb, name); name "" stands for any."""

ALL = ("create", "delete", "get", "list", "patch", "watch")
READ = ("get", "list", "watch")
CONTENT = "savedmodel.dev/savedmodeldeployments"
LEASE = "r-savedmodel-operator"
"""Both the Lease and the ServiceAccount of a release `r`."""


@dataclass(frozen=True)
class Right:
    """Some verbs on a resource, on `names` where that is not all; `home`: not where models are."""

    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()
    home: bool = False

    def rows(self) -> list[Row]:
        """One row per verb and name."""
        return [(self.resource, verb, name) for verb in self.verbs for name in self.names or ("",)]


RIGHTS = (
    Right(CONTENT, READ, "the spec is read and never written"),
    Right(f"{CONTENT}/status", ("update",), "what was found and done"),
    Right(
        f"{CONTENT}/finalizers",
        ("update",),
        "children name their owner with `blockOwnerDeletion`, which takes this right where "
        "OwnerReferencesPermissionEnforcement is on (OpenShift)",
    ),
    Right("/configmaps", ALL, "locks, routers' files; golden requests and CA bundles are read"),
    Right("/services", ALL, "one per revision, and the clients' own"),
    Right("apps/controllerrevisions", ALL, "the frozen record of a revision"),
    Right("apps/deployments", ALL, "model pods and routers"),
    Right("autoscaling/horizontalpodautoscalers", ALL, "`spec.serving.autoscaling`"),
    Right("policy/poddisruptionbudgets", ALL, "one pod away at a time"),
    Right(
        "networking.k8s.io/networkpolicies",
        ("create", "get", "list", "patch", "watch"),
        "who may call models and routers; they go with their object",
    ),
    Right(
        "/pods",
        ("delete", "list", "patch", "watch"),
        "readiness; routers are nudged by an annotation, one that cannot be verified is deleted",
    ),
    Right("events.k8s.io/events", ("create",), "one per transition"),
    Right("/secrets", ("get",), "bucket credentials", ("savedmodel-storage",)),
    Right("coordination.k8s.io/leases", ("create",), "one replica acts at a time", home=True),
    Right("coordination.k8s.io/leases", ("get", "update"), "the same", (LEASE,), home=True),
)

MADE = tuple(right.resource for right in RIGHTS if "create" in right.verbs and not right.home)

DENIED: tuple[tuple[str, str, str, str], ...] = (
    ("/secrets", "list", "", "a list shows contents"),
    ("/secrets", "watch", "", "so does a watch"),
    ("/secrets", "get", "", "only the named one is readable"),
    ("/secrets", "get", "other", "only the named one is readable"),
    ("/secrets", "get", "savedmodel-storage-2", "a name is not a prefix"),
    ("/secrets", "create", "", "credentials are the users' to write"),
    ("/secrets", "update", "savedmodel-storage", "credentials are the users' to write"),
    ("/secrets", "patch", "savedmodel-storage", "credentials are the users' to write"),
    ("/secrets", "delete", "savedmodel-storage", "credentials are the users' to write"),
    ("/pods/exec", "create", "", "nobody enters a pod through the operator"),
    ("/pods/attach", "create", "", "nobody enters a pod through the operator"),
    ("/pods/portforward", "create", "", "nobody enters a pod through the operator"),
    ("/pods/proxy", "get", "", "nobody enters a pod through the operator"),
    ("/pods/log", "get", "", "logs are their namespace's"),
    ("/pods/ephemeralcontainers", "patch", "", "nothing is put into a running pod"),
    ("/pods/eviction", "create", "", "drains are the administrator's"),
    ("/pods/binding", "create", "", "scheduling is the scheduler's"),
    ("/pods/status", "patch", "", "the kubelet alone says what runs"),
    ("/pods", "create", "", "pods come from Deployments, which quotas and admission see"),
    ("/services/proxy", "create", "", "no request goes through the API server"),
    ("/services/status", "patch", "", "addresses are not the operator's to give"),
    ("/serviceaccounts", "get", "", "no identity but its own"),
    ("/serviceaccounts", "impersonate", "", "no identity but its own"),
    ("/serviceaccounts/token", "create", "", "no identity but its own"),
    ("/users", "impersonate", "", "no identity but its own"),
    ("/groups", "impersonate", "system:masters", "no identity but its own"),
    ("rbac.authorization.k8s.io/roles", "create", "", "no right is made or widened"),
    ("rbac.authorization.k8s.io/roles", "escalate", "", "no right is made or widened"),
    ("rbac.authorization.k8s.io/rolebindings", "create", "", "no right is made or widened"),
    ("rbac.authorization.k8s.io/clusterroles", "bind", "", "no right is made or widened"),
    ("rbac.authorization.k8s.io/clusterroles", "escalate", "", "no right is made or widened"),
    ("rbac.authorization.k8s.io/clusterrolebindings", "create", "", "no right is made or widened"),
    ("certificates.k8s.io/certificatesigningrequests", "create", "", "no identity is made"),
    ("/nodes", "list", "", "nodes are the cluster's"),
    ("/nodes/proxy", "get", "", "a node's proxy reaches every pod of it"),
    ("/namespaces", "list", "", "namespaces are the cluster's"),
    ("/namespaces", "delete", "", "namespaces are the cluster's"),
    ("/persistentvolumes", "create", "", "volumes of hosts are not mounted"),
    ("/persistentvolumeclaims", "delete", "", "data of others is not touched"),
    ("/events", "patch", "", "Events are added, never changed"),
    ("/endpoints", "patch", "", "addresses are not the operator's to give"),
    ("discovery.k8s.io/endpointslices", "patch", "", "addresses are not the operator's to give"),
    ("networking.k8s.io/networkpolicies", "delete", "", "no protection is taken away"),
    ("networking.k8s.io/ingresses", "create", "", "nothing is shown to the outside"),
    ("apps/daemonsets", "create", "", "no pod on every node"),
    ("apps/statefulsets", "create", "", "nothing but Deployments"),
    ("apps/deployments/scale", "update", "", "replicas are applied with the rest"),
    ("batch/jobs", "create", "", "nothing but Deployments"),
    ("apiextensions.k8s.io/customresourcedefinitions", "get", "", "its kind is Helm's to install"),
    (
        "admissionregistration.k8s.io/mutatingwebhookconfigurations",
        "create",
        "",
        "no webhook is ever made",
    ),
    (
        "admissionregistration.k8s.io/validatingwebhookconfigurations",
        "create",
        "",
        "no webhook is ever made",
    ),
    ("coordination.k8s.io/leases", "list", "", "one Lease, by name"),
    ("coordination.k8s.io/leases", "update", "kube-scheduler", "one Lease, by name"),
    ("coordination.k8s.io/leases", "delete", LEASE, "it ends by running out"),
    (CONTENT, "create", "", "objects are the users'"),
    (CONTENT, "update", "", "objects are the users'"),
    (CONTENT, "patch", "", "objects are the users'"),
    (CONTENT, "delete", "", "objects are the users'"),
    (f"{CONTENT}/status", "patch", "", "a status is written whole, with its resourceVersion"),
    (f"{CONTENT}/scale", "update", "", "replicas are the users' or the autoscaler's"),
    *(
        (resource, "deletecollection", "", "one object at a time, by name and UID")
        for resource in (CONTENT, "/pods", *MADE)
        if resource != "events.k8s.io/events"
    ),
)


def allowed(*, home: bool = False, lease: str = LEASE) -> set[Row]:
    """Every allowed row where models are, or in the operator's own namespace for its Lease."""
    rows = (row for right in RIGHTS if right.home is home for row in right.rows())
    return {(resource, verb, lease if name == LEASE else name) for resource, verb, name in rows}


def rows_of(rules: Iterable[dict]) -> set[Row]:
    """The rules of a role as rows; a wildcard would be a row that no table has."""
    return {
        (f"{group}/{resource}", verb, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", ("",))
    }


def page_of_allowed() -> str:
    """The table of docs/permissions.md."""
    lines = ["| Resource | Verbs | Only | Why |", "|---|---|---|---|"]
    for right in RIGHTS:
        only = ", ".join("the release's" if name == LEASE else name for name in right.names)
        place = "the operator's namespace" if right.home else ""
        where = "; ".join(filter(None, (only, place)))
        lines.append(
            f"| {_shown(right.resource)} | {', '.join(right.verbs)} | {where} | {right.why} |"
        )
    return "\n".join(lines) + "\n"


def page_of_denied() -> str:
    """The second table: rows of one resource and reason together."""
    lines = ["| Resource | Verb | Why not |", "|---|---|---|"]
    for resource, verb, name, why in DENIED:
        what = "the release's" if name == LEASE else name
        lines.append(f"| {_shown(resource)}{f' {what}' if what else ''} | {verb} | {why} |")
    return "\n".join(lines) + "\n"


def _shown(resource: str) -> str:
    group, _, rest = resource.partition("/")
    return f"`{rest}`" if not group else f"`{rest}` ({group})"
