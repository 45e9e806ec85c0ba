"""What the chart's roles allow and deny, asked of a real authorizer as the operator itself.

The tables are those of `chart_rights`, to which the unit level holds the chart and the page.
"""

import time

import pytest

from api_server import APPLY, MERGE
from chart_helm import Helm
from chart_rights import CONTENT, DENIED, LEASE, allowed
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

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SPECIAL = ("bind", "escalate", "impersonate", "approve", "sign")
UNSHOWN = (
    "/users",
    "/groups",
    "/uids",
    "/serviceaccounts",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/clusterroles",
    "certificates.k8s.io/signers",
)
"""What these verbs are about; most of it is in no discovery."""

EVERYBODY = {
    ("authorization.k8s.io/selfsubjectaccessreviews", "create"),
    ("authorization.k8s.io/selfsubjectrulesreviews", "create"),
    ("authentication.k8s.io/selfsubjectreviews", "create"),
}
"""What Kubernetes lets every authenticated identity do: ask about itself."""


class Rights:
    """The ServiceAccount of one rendered release, asking for itself."""

    def __init__(self, api, release, namespace):
        self._api = api
        self.user = f"system:serviceaccount:{namespace}:{release}-savedmodel-operator"
        self.lease = f"{release}-savedmodel-operator"

    def may(self, resource, verb, name, namespace):
        """What the authorizer says of "group/resource[/sub]"."""
        group, plural, *sub = resource.split("/")
        attributes = {
            "group": group,
            "resource": plural,
            "subresource": "".join(sub),
            "verb": verb,
            "name": self.lease if name == LEASE else name,
            "namespace": namespace,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._api.call("POST", path, body, user=self.user)
        return answer.accepted()["status"]["allowed"]

    def granted(self, rows, namespace):
        """Those of the rows that it may."""
        return {row for row in rows if self.may(*row[:3], namespace)}


@pytest.fixture
def install(api, namespace, tmp_path_factory):
    """install(values) puts the chart's roles into the cluster; afterwards they are taken away."""
    release = f"rights-{namespace[-6:]}"
    helm = Helm(build.binary("helm"), tmp_path_factory.mktemp("helm"))
    made = []

    def installed(values):
        for document in helm.documents(values, release=release, namespace=namespace):
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


def resources(api):
    """Every "group/plural[/sub]" that the API server has, in its preferred versions."""
    places = {"": "/api/v1"}
    for group in api.call("GET", "/apis").accepted()["groups"]:
        places[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    return {
        f"{group}/{entry['name']}"
        for group, path in places.items()
        for entry in api.call("GET", path).accepted()["resources"]
    }


def test_exactly_these_rights_of_all_that_there_are(api, crd, install, namespace):
    """Every verb on every resource that discovery shows, subresources included."""
    rights = install({})
    shown = {(resource, verb, "") for resource in resources(api) for verb in VERBS}
    assert len(shown) > 500
    special = {(resource, verb, "") for resource in UNSHOWN for verb in SPECIAL}
    everybody = {(resource, verb, "") for resource, verb in EVERYBODY}
    whole = {row for row in allowed() | allowed(home=True) if not row[2]}
    asked = shown | special | whole  # finalizers are a right, but no resource that is shown
    assert rights.granted(asked, namespace) == whole | everybody


@pytest.mark.parametrize("place", ["", "default", "its own"])
def test_cluster_wide(install, namespace, place):
    rights = install({})
    where = namespace if place == "its own" else place
    assert rights.granted(allowed(), where) == allowed()
    denied = [row for row in DENIED if (row[0], row[1]) not in EVERYBODY]
    assert len(denied) >= 30
    assert rights.granted(denied, where) == set()


def test_the_lease_in_its_own_namespace_only(install, namespace):
    rights = install({})
    mine = allowed(home=True)
    assert rights.granted(mine, namespace) == mine
    for place in ("kube-system", "default", ""):
        assert rights.granted(mine, place) == set()
    for verb in ("get", "update"):
        assert not rights.may("coordination.k8s.io/leases", verb, "kube-scheduler", namespace)


def test_namespaced(install, namespace):
    rights = install({"watchNamespaces": [namespace]})
    assert rights.granted(allowed(), namespace) == allowed()
    for place in ("default", ""):
        assert rights.granted([*allowed(), *DENIED], place) == set()


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_the_secrets_that_the_administrator_names_and_no_other(install, namespace, names):
    rights = install({"storageSecretNames": names})
    asked = ("a", "b", "savedmodel-storage", "")
    assert [n for n in asked if rights.may("/secrets", "get", n, namespace)] == names


def child_of(created):
    """A ConfigMap that the object owns, as the operator writes one."""
    owner = {
        "apiVersion": created["apiVersion"],
        "kind": created["kind"],
        "name": created["metadata"]["name"],
        "uid": created["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {"name": "child", "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


@pytest.fixture
def created(api, models):
    model = {
        "apiVersion": "savedmodel.dev/v1alpha1",
        "kind": "SavedModelDeployment",
        "metadata": {"name": "flowers"},
        "spec": {
            "source": {"uri": "s3://models/flowers", "anonymous": True},
            "serving": {"image": "tensorflow/serving:2.20.0"},
        },
    }
    return api.call("POST", models, model).accepted()


def test_the_life_of_a_child_needs_no_further_verb(api, install, created, namespace):
    user = install({}).user
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    query = {"fieldManager": "savedmodel-operator"}
    child = child_of(created)
    made = api.call("POST", path, child, query, user=user).accepted()
    child["metadata"] |= {key: made["metadata"][key] for key in ("resourceVersion", "uid")}
    child["data"] = {"a": "2"}
    force = {**query, "force": "true"}
    changed = api.call("PATCH", f"{path}/child", child, force, APPLY, user).accepted()
    assert changed["data"] == {"a": "2"}
    note = {"metadata": {"annotations": {"n": "1"}}}
    api.call("PATCH", f"{path}/child", note, query, MERGE, user).accepted()
    api.call("DELETE", f"{path}/child", user=user).accepted()


def test_of_an_object_the_status_alone_is_written(api, install, models, created):
    user = install({}).user
    query = {"fieldManager": "savedmodel-operator"}
    status = {**created, "status": {"observedGeneration": 1, "phase": "Pending"}}
    api.call("PUT", f"{models}/flowers/status", status, query, user=user).accepted()
    for method, body in (("DELETE", None), ("PUT", created)):
        assert api.call(method, f"{models}/flowers", body, user=user).code == 403
    patch = {"spec": {"suspend": True}}
    refused = api.call("PATCH", f"{models}/flowers", patch, query, MERGE, user)
    assert refused.code == 403
    assert CONTENT.partition("/")[2] in refused.message
