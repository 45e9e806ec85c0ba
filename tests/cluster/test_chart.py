"""The chart on the real cluster: installed, upgraded, uninstalled and installed again.

In an enforcing `restricted` namespace of its own, looking after that namespace only, so that it
works beside another operator. Helm is the real one. The CustomResourceDefinition is the cluster's:
it is taken over and kept, never deleted.
"""

import json
import os
import uuid
from pathlib import Path

import pytest
import yaml

from chart_helm import CHART
from lab import build, images
from lab.cluster import Cluster, until
from lab.command import run
from lab.errors import LabError
from lab.instance import current

pytestmark = pytest.mark.cluster

RELEASE = "savedmodel-operator"
WAIT = ("--wait", "--timeout", "120s")
# The API level applies the CRD too; whoever comes last owns its fields.
SHARED = ("--take-ownership", "--force-conflicts")
CRD = "crd/savedmodeldeployments.savedmodel.dev"
KINDS = "deployment,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget,secret"


@pytest.fixture(scope="module")
def cluster():
    return Cluster(current())


@pytest.fixture(scope="module")
def namespace(cluster):
    name = f"chart-{uuid.uuid4().hex[:8]}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": name, "labels": labels}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


class Release:
    """Our chart as a release in one namespace."""

    def __init__(self, cluster, namespace, values: Path):
        self.cluster = cluster
        self.namespace = namespace
        self._values = str(values)
        self._helm = str(build.binary("helm"))
        self._environment = {**os.environ, "KUBECONFIG": str(cluster.instance.kubeconfig)}

    def helm(self, verb, *words):
        """The stdout of a helm command. Raises LabError with what helm says."""
        argv = [self._helm, verb, RELEASE, *words, "--namespace", self.namespace]
        return run(argv, env=self._environment, timeout=150)

    def install(self):
        return self.helm("install", str(CHART), "--values", self._values, *SHARED, *WAIT)

    def upgrade(self, *words):
        where = (str(CHART), "--values", self._values, "--take-ownership", "--force-conflicts")
        return self.helm("upgrade", *where, *words, *WAIT)

    def kubectl(self, *words, feed=None):
        return self.cluster.kubectl("--namespace", self.namespace, *words, feed=feed)

    def get(self, what, *words):
        """An object, or a list's items."""
        found = json.loads(self.kubectl("get", what, *words, "-o", "json"))
        return found.get("items", found)

    def pods(self):
        """Names of the operator's pods that are not leaving; the model has pods here as well."""
        return {
            pod["metadata"]["name"]
            for pod in self.get("pods", "--selector", f"app.kubernetes.io/name={RELEASE}")
            if "deletionTimestamp" not in pod["metadata"]
        }

    def leader(self):
        """Name of the pod that holds the Lease; empty: nobody."""
        holder = ("-o", "jsonpath={.spec.holderIdentity}", "--ignore-not-found")
        return self.kubectl("get", f"lease/{RELEASE}", *holder)

    def conditions_of(self, name):
        """The model's conditions by type, as stored."""
        status = self.get(f"savedmodeldeployment/{name}").get("status", {})
        return {c["type"]: c for c in status.get("conditions", [])}


@pytest.fixture(scope="module")
def release(cluster, namespace, tmp_path_factory):
    """The release, not installed yet; the tests below take it through its life in order."""
    operator, router = (images.ensure(name).reference for name in ("savedmodel-operator", "envoy"))
    path = tmp_path_factory.mktemp("values") / "values.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "image": dict(zip(("repository", "tag"), operator.rsplit(":", 1), strict=True)),
                "router": {
                    "image": dict(zip(("repository", "tag"), router.rsplit(":", 1), strict=True))
                },
                "watchNamespaces": [namespace],
                "logLevel": "DEBUG",  # a line per cycle, even where another operator was quicker
            }
        )
    )
    made = Release(cluster, namespace, path)
    yield made
    try:
        made.helm("uninstall", "--ignore-not-found")
    finally:
        cluster.kubectl("--namespace", namespace, "delete", "smd", "--all", "--wait=false")


def test_the_namespace_really_refuses_what_is_not_restricted(release):
    with pytest.raises(LabError, match="violates PodSecurity"):
        release.kubectl("run", "root", "--image=localhost/any", "--restart=Never")


def test_install(release):
    notes = release.install()
    assert len(release.pods()) == 1
    assert release.get(f"deployment/{RELEASE}")["status"]["readyReplicas"] == 1
    assert until(lambda: release.leader() in release.pods()), "nobody leads"
    manifest = notes.partition("<<'EOF'\n")[2].partition("\nEOF\n")[0]
    assert "created" in release.kubectl("apply", "--validate=strict", "-f", "-", feed=manifest)


def test_the_model_of_the_notes_is_looked_at_and_says_what_is_missing(release):
    def said():
        condition = release.conditions_of("flowers").get("SourceReady", {})
        return (
            condition.get("reason") == "SecretMissing"
            and "savedmodel-storage" in condition["message"]
        )

    assert until(said), release.conditions_of("flowers")
    assert until(lambda: "name=flowers" in release.kubectl("logs", f"deployment/{RELEASE}"))


def test_upgrade_to_two_replicas_hands_the_lease_over(release):
    before = release.pods()
    release.upgrade("--set", "replicas=2,logFormat=json")
    assert until(lambda: len(release.pods()) == 2 and not release.pods() & before)
    assert until(lambda: release.leader() in release.pods()), "nobody leads after the upgrade"
    budget = release.get(f"poddisruptionbudget/{RELEASE}")
    assert budget["spec"]["maxUnavailable"] == 1
    lines = release.kubectl("logs", release.leader()).splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_an_upgrade_upgrades_the_crd(release):
    def columns():
        version = release.get(CRD)["spec"]["versions"][0]
        return [column["name"] for column in version["additionalPrinterColumns"]]

    there = columns()
    last = f"/spec/versions/0/additionalPrinterColumns/{len(there) - 1}"
    release.kubectl("patch", CRD, "--type=json", "-p", json.dumps([{"op": "remove", "path": last}]))
    assert columns() == there[:-1]
    release.upgrade()
    assert columns() == there


def test_a_wrong_value_changes_nothing(release):
    before = release.get(f"deployment/{RELEASE}")["metadata"]["generation"]
    with pytest.raises(LabError, match="meet the specifications of the schema"):
        release.upgrade("--set", "workers=1000")
    assert release.get(f"deployment/{RELEASE}")["metadata"]["generation"] == before


def test_uninstall_leaves_the_crd_and_the_models(release):
    release.helm("uninstall", *WAIT)
    left = [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in release.get(KINDS)
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "Helm"
    ]
    assert left == []
    assert until(lambda: release.pods() == set())
    assert release.get(CRD)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert (
        release.get("savedmodeldeployment/flowers")["spec"]["source"]["uri"]
        == "s3://models/flowers"
    )


def test_installed_again_it_takes_the_crd_and_the_models_over(release):
    release.install()
    assert len(release.pods()) == 1
    assert until(lambda: release.leader() in release.pods())
    assert until(lambda: "name=flowers" in release.kubectl("logs", f"deployment/{RELEASE}"))
