"""What the chart's roles allow and deny, asked of the real API server."""

import time

import pytest

from api_server import APPLY, MERGE
from chart_helm import Helm
from lab import build

pytestmark = pytest.mark.api

PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
PATIENCE = 30.0
"""Seconds for the authorizer's caches to hear of new roles."""

CHILDREN = (
    "/configmaps",
    "/services",
    "apps/controllerrevisions",
    "apps/deployments",
    "autoscaling/horizontalpodautoscalers",
    "policy/poddisruptionbudgets",
    "networking.k8s.io/networkpolicies",
)
HERE = [
    *(("savedmodel.dev/savedmodeldeployments", verb, "") for verb in ("get", "list", "watch")),
    ("savedmodel.dev/savedmodeldeployments/status", "update", ""),
    ("savedmodel.dev/savedmodeldeployments/finalizers", "update", ""),
    *((c, v, "") for c in CHILDREN for v in ("create", "delete", "get", "list", "patch", "watch")),
    *(("/pods", verb, "") for verb in ("delete", "get", "list", "patch", "watch")),
    ("events.k8s.io/events", "create", ""),
    ("/secrets", "get", "savedmodel-storage"),
]
NOWHERE = [
    ("savedmodel.dev/savedmodeldeployments/status", "patch", ""),
    ("events.k8s.io/events", "patch", ""),
    *(
        ("savedmodel.dev/savedmodeldeployments", v, "")
        for v in ("create", "delete", "patch", "update", "deletecollection")
    ),
    *(("/secrets", verb, "") for verb in ("list", "watch", "create", "patch", "delete")),
    ("/secrets", "get", "other"),
    ("/pods", "create", ""),
    ("/pods/exec", "create", ""),
    ("/pods/eviction", "create", ""),
    ("/pods/log", "get", ""),
    ("/serviceaccounts/token", "create", ""),
    ("/serviceaccounts", "impersonate", ""),
    ("/namespaces", "list", ""),
    ("/nodes", "list", ""),
    ("apiextensions.k8s.io/customresourcedefinitions", "get", ""),
    ("rbac.authorization.k8s.io/roles", "create", ""),
    ("rbac.authorization.k8s.io/roles", "escalate", ""),
    ("rbac.authorization.k8s.io/clusterroles", "bind", ""),
    ("admissionregistration.k8s.io/validatingwebhookconfigurations", "create", ""),
    *((c, "deletecollection", "") for c in CHILDREN),
    *((c, "update", "") for c in CHILDREN),
]


class Rights:
    """The ServiceAccount of one rendered release."""

    def __init__(self, api, release, namespace):
        self._api = api
        self.user = f"system:serviceaccount:{namespace}:{release}-savedmodel-operator"
        self._groups = ["system:authenticated", "system:serviceaccounts"]
        self.lease = f"{release}-savedmodel-operator"

    def may(self, resource, verb, name, namespace):
        """What the authorizer says of "group/resource[/sub]"."""
        group, plural, *sub = resource.split("/")
        attributes = {
            "group": group,
            "resource": plural,
            "subresource": "".join(sub),
            "verb": verb,
            "name": name,
            "namespace": namespace,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": self.user,
                "groups": self._groups,
                "resourceAttributes": attributes,
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return self._api.call("POST", path, body).accepted()["status"]["allowed"]


@pytest.fixture
def install(api, namespace, tmp_path_factory):
    """install(values) puts the chart's roles into the cluster; afterwards they are taken away."""
    release = f"rights-{namespace[-6:]}"
    helm = Helm(build.binary("helm"), tmp_path_factory.mktemp("helm"))
    made = []

    def installed(values):
        documents = helm.documents(values, release=release, namespace=namespace)
        for document in documents:
            if document["kind"] in PATHS:
                place = document["metadata"].get("namespace", namespace)
                path = PATHS[document["kind"]].format(place)
                api.apply(document, path).accepted()
                made.append(f"{path}/{document['metadata']['name']}")
        rights = Rights(api, release, namespace)
        wait_until(lambda: rights.may("coordination.k8s.io/leases", "create", "", namespace))
        wait_until(lambda: rights.may("/pods", "list", "", namespace))
        return rights

    yield installed
    for path in made:
        api.call("DELETE", path)


def wait_until(done):
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def asked(rights, table, namespace):
    return {row: rights.may(*row, namespace) for row in table}


def test_cluster_wide(install, namespace):
    rights = install({})
    for place in (namespace, "default"):
        assert [row for row, may in asked(rights, HERE, place).items() if not may] == []
        assert [row for row, may in asked(rights, NOWHERE, place).items() if may] == []
    assert rights.may("savedmodel.dev/savedmodeldeployments", "list", "", "")


def test_the_lease_in_its_own_namespace_only(install, namespace):
    rights = install({})
    leases = "coordination.k8s.io/leases"
    for verb in ("get", "update"):
        assert rights.may(leases, verb, rights.lease, namespace)
        assert not rights.may(leases, verb, "kube-scheduler", namespace)
        assert not rights.may(leases, verb, rights.lease, "kube-system")
    assert not rights.may(leases, "create", "", "kube-system")
    assert not rights.may(leases, "list", "", namespace)


def test_namespaced(install, namespace):
    rights = install({"watchNamespaces": [namespace]})
    assert [row for row, may in asked(rights, HERE, namespace).items() if not may] == []
    for place in ("default", ""):
        assert [row for row, may in asked(rights, [*HERE, *NOWHERE], place).items() if may] == []


def test_other_secret_names(install, namespace):
    rights = install({"storageSecretNames": ["a", "b"]})
    seen = {
        n: rights.may("/secrets", "get", n, namespace) for n in ("a", "b", "savedmodel-storage", "")
    }
    assert seen == {"a": True, "b": True, "savedmodel-storage": False, "": False}


def test_no_secret_names_no_secrets(install, namespace):
    rights = install({"storageSecretNames": []})
    assert not rights.may("/secrets", "get", "", namespace)
    assert not rights.may("/secrets", "get", "savedmodel-storage", namespace)


def test_the_life_of_a_child_needs_no_further_verb(api, install, models, namespace):
    rights = install({})
    model = {
        "apiVersion": "savedmodel.dev/v1alpha1",
        "kind": "SavedModelDeployment",
        "metadata": {"name": "flowers"},
        "spec": {
            "source": {"uri": "s3://models/flowers", "anonymous": True},
            "serving": {"image": "tensorflow/serving:2.20.0"},
        },
    }
    created = api.call("POST", models, model).accepted()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = {
        "apiVersion": created["apiVersion"],
        "kind": created["kind"],
        "name": "flowers",
        "uid": created["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "child", "ownerReferences": [owner]},
        "data": {"a": "1"},
    }
    query = {"fieldManager": "savedmodel-operator"}
    made = api.call("POST", path, child, query, user=rights.user).accepted()
    seen = {"resourceVersion": made["metadata"]["resourceVersion"], "uid": made["metadata"]["uid"]}
    child["metadata"] |= seen
    child["data"] = {"a": "2"}
    force = {**query, "force": "true"}
    changed = api.call("PATCH", f"{path}/child", child, force, APPLY, rights.user).accepted()
    assert changed["data"] == {"a": "2"}
    note = {"metadata": {"annotations": {"n": "1"}}}
    api.call("PATCH", f"{path}/child", note, query, MERGE, rights.user).accepted()
    status = {**created, "status": {"observedGeneration": 1, "phase": "Pending"}}
    api.call("PUT", f"{models}/flowers/status", status, query, user=rights.user).accepted()
    api.call("DELETE", f"{path}/child", user=rights.user).accepted()
    refused = api.call("DELETE", f"{models}/flowers", user=rights.user)
    assert refused.code == 403
