"""The chart, rendered by the real helm over a table of values."""

import msgspec
import pytest
import yaml

from chart_helm import CHART, Refused
from savedmodel_operator import settings
from savedmodel_operator.api import types

OPERATOR = "Deployment/r-savedmodel-operator"
DIGEST = "sha256:" + "ab" * 32


def container(objects):
    return objects[OPERATOR]["spec"]["template"]["spec"]["containers"][0]


def environment(objects):
    return {e["name"]: e.get("value", "from-the-pod") for e in container(objects)["env"]}


def pod(objects):
    return objects[OPERATOR]["spec"]["template"]["spec"]


def rules(objects, name):
    """{(group/resource, verb): resourceNames or None} of a role."""
    return {
        (f"{group}/{resource}", verb): rule.get("resourceNames")
        for rule in objects[name]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_lint(helm):
    assert "1 chart(s) linted, 0 chart(s) failed" in helm.run("lint", str(CHART))


def test_what_is_made_by_default(render):
    assert set(render({})) == {
        "CustomResourceDefinition/savedmodeldeployments.savedmodel.dev",
        "ServiceAccount/r-savedmodel-operator",
        "ClusterRole/r-savedmodel-operator",
        "ClusterRoleBinding/r-savedmodel-operator",
        "Role/r-savedmodel-operator-lease",
        "RoleBinding/r-savedmodel-operator-lease",
        "NetworkPolicy/r-savedmodel-operator",
        OPERATOR,
    }


def test_without_an_image_it_says_which_value_to_set(render):
    with pytest.raises(Refused, match=r"image\.repository is needed: where you pushed"):
        render({"image": {"repository": ""}})


IMAGES = {
    "tag of the chart": ({}, "example/operator:0.1.0"),
    "own tag": ({"tag": "dev"}, "example/operator:dev"),
    "digest wins": ({"tag": "dev", "digest": DIGEST}, f"example/operator@{DIGEST}"),
    "port": ({"repository": "h:5000/o", "tag": "1"}, "h:5000/o:1"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_fetcher_is_the_operators_own_image(render, name):
    image, expected = IMAGES[name]
    objects = render({"image": {"repository": "example/operator", **image}})
    assert container(objects)["image"] == expected
    assert environment(objects)["OPERATOR_IMAGE"] == expected


SETTINGS = {
    "defaults": ({}, {"namespaces": (), "storage_secret_names": ("savedmodel-storage",)}),
    "namespaces": ({"watchNamespaces": ["a", "b"]}, {"namespaces": ("a", "b")}),
    "router": (
        {"router": {"image": {"repository": "e/envoy", "digest": DIGEST}}},
        {"router_image": f"e/envoy@{DIGEST}"},
    ),
    "pull secrets": (
        {"global": {"imagePullSecrets": [{"name": "one"}, {"name": "two"}]}},
        {"image_pull_secrets": ("one", "two")},
    ),
    "endpoints": (
        {"storage": {"allowedEndpoints": ["minio.store:9000", "*.lan"]}},
        {"allowed_endpoints": ("minio.store:9000", "*.lan")},
    ),
    "prometheus": (
        {"prometheus": {"allowedAddresses": ["prometheus.monitoring:9090"]}},
        {"allowed_prometheus": ("prometheus.monitoring:9090",)},
    ),
    "secrets": ({"storageSecretNames": ["s1", "s2"]}, {"storage_secret_names": ("s1", "s2")}),
    "logs": (
        {"logFormat": "json", "logLevel": "DEBUG"},
        {"log_format": "json", "log_level": "DEBUG"},
    ),
    "numbers": ({"workers": 9, "storageThreads": 3}, {"workers": 9, "storage_threads": 3}),
    "pull policy": (
        {"image": {"repository": "o", "pullPolicy": "Never"}},
        {"image_pull_policy": "Never"},
    ),
    "names": ({"fullnameOverride": "other"}, {"lease_name": "other", "port": 8080}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_operator_reads_what_the_chart_writes(render, name):
    values, expected = SETTINGS[name]
    objects = render(values)
    deployment = next(d for key, d in objects.items() if key.startswith("Deployment/"))
    written = {
        e["name"]: e.get("value", "from-the-pod")
        for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    read = settings.parse(written)
    assert {key: getattr(read, key) for key in expected} == expected
    assert read.version == "0.1.0"


class Reads(dict):
    """An environment that knows what was asked of it."""

    def __init__(self, variables):
        super().__init__(variables)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def test_the_chart_writes_no_variable_that_the_operator_does_not_read(render):
    full = {k: v for values, _ in SETTINGS.values() for k, v in values.items()}
    full["fullnameOverride"] = "r-savedmodel-operator"
    written = Reads(environment(render(full)))
    settings.parse(written)
    assert set(written) - written.asked == set()
    # What is not written has a default that fits a pod.
    assert written.asked - set(written) == {"HOST", "PORT", "KUBECONFIG"}


SCHEDULING = {
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
}


def test_scheduling_goes_to_the_pod(render):
    assert {k: pod(render(SCHEDULING))[k] for k in SCHEDULING} == SCHEDULING


def test_metadata_and_extras_go_to_the_pod(render):
    objects = render(
        {
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "ml"},
            "serviceAccount": {"annotations": {"role": "x"}},
            "extraArgs": ["--x"],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "p"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
            "global": {"imagePullSecrets": [{"name": "pull"}]},
            "resources": {"limits": {"memory": "1Gi"}},
        }
    )
    metadata = objects[OPERATOR]["spec"]["template"]["metadata"]
    assert metadata["annotations"] == {"a": "b"}
    assert metadata["labels"]["team"] == "ml"
    assert objects["ServiceAccount/r-savedmodel-operator"]["metadata"]["annotations"] == {
        "role": "x"
    }
    assert container(objects)["args"] == ["--x"]
    assert container(objects)["resources"]["limits"]["memory"] == "1Gi"
    assert environment(objects)["HTTPS_PROXY"] == "p"
    assert {"name": "ca", "mountPath": "/ca"} in container(objects)["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in pod(objects)["volumes"]
    assert pod(objects)["imagePullSecrets"] == [{"name": "pull"}]


def test_selectors_find_the_pods(render):
    objects = render({"podLabels": {"team": "ml"}, "replicas": 2})
    labels = objects[OPERATOR]["spec"]["template"]["metadata"]["labels"].items()
    name = "r-savedmodel-operator"
    for selector in (
        objects[OPERATOR]["spec"]["selector"]["matchLabels"],
        objects[f"PodDisruptionBudget/{name}"]["spec"]["selector"]["matchLabels"],
        objects[f"NetworkPolicy/{name}"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels


def test_pods_satisfy_the_restricted_standard(render):
    assert pod(render({}))["securityContext"]["runAsNonRoot"] is True
    assert pod(render({}))["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(render({}))["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_probes(render):
    main = container(render({}))
    assert main["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert main["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert main["ports"] == [{"name": "http", "containerPort": 8080}]


def test_without_secret_names_there_is_no_right_on_secrets_at_all(render):
    role = rules(render({"storageSecretNames": []}), "ClusterRole/r-savedmodel-operator")
    assert [key for key in role if key[0] == "/secrets"] == []


def test_watched_namespaces_get_roles_and_nothing_is_cluster_wide(render):
    objects = render({"watchNamespaces": ["a", "b"]})
    assert not [key for key in objects if key.startswith("ClusterRole")]
    whole = rules(render({}), "ClusterRole/r-savedmodel-operator")
    for namespace in ("a", "b"):
        assert rules(objects, f"Role/{namespace}/r-savedmodel-operator") == whole
        binding = objects[f"RoleBinding/{namespace}/r-savedmodel-operator"]
        assert binding["subjects"][0]["namespace"] == "system"
        assert binding["roleRef"]["kind"] == "Role"


def test_rights_can_be_left_to_the_administrator(render):
    objects = render(
        {"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}}
    )
    assert not [key for key in objects if "Role" in key or key.startswith("ServiceAccount")]
    assert pod(objects)["serviceAccountName"] == "mine"


def test_the_crd_is_the_generated_one(render):
    rendered = render({"crds": {"annotations": {"a": "b"}}})
    crd = rendered["CustomResourceDefinition/savedmodeldeployments.savedmodel.dev"]
    generated = yaml.safe_load((CHART.parents[1] / "crds/savedmodeldeployments.yaml").read_text())
    assert crd["spec"] == generated["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep", "a": "b"}


def test_the_crd_can_be_let_go_or_left_out(render):
    name = "CustomResourceDefinition/savedmodeldeployments.savedmodel.dev"
    assert "annotations" not in render({"crds": {"keep": False}})[name]["metadata"]
    assert name not in render({"crds": {"enabled": False}})


@pytest.mark.parametrize(("replicas", "made"), [(1, False), (2, True)])
def test_a_disruption_budget_where_it_cannot_block_a_drain(render, replicas, made):
    assert ("PodDisruptionBudget/r-savedmodel-operator" in render({"replicas": replicas})) is made


def test_network_policy(render):
    name = "NetworkPolicy/r-savedmodel-operator"
    assert render({})[name]["spec"]["policyTypes"] == ["Ingress"]
    assert render({})[name]["spec"]["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    peers = {"from": [{"podSelector": {}}], "egress": [{"ports": [{"port": 443}]}]}
    spec = render({"networkPolicy": peers})[name]["spec"]
    assert spec["ingress"][0]["from"] == peers["from"]
    assert spec["egress"] == peers["egress"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert name not in render({"networkPolicy": {"enabled": False}})


BAD_VALUES = {
    "misspelt": ({"watchNamespace": ["a"]}, "watchNamespace"),
    "misspelt inside": ({"crds": {"kep": True}}, "kep"),
    "tag in the repository": ({"image": {"repository": "a/b:1"}}, "repository"),
    "digest": ({"image": {"repository": "a", "digest": "abc"}}, "digest"),
    "level": ({"logLevel": "info"}, "logLevel"),
    "workers": ({"workers": 0}, "workers"),
    "endpoint with scheme": ({"storage": {"allowedEndpoints": ["http://x"]}}, "allowedEndpoints"),
    "address with scheme": (
        {"prometheus": {"allowedAddresses": ["http://x:9090"]}},
        "allowedAddresses",
    ),
    "namespace": ({"watchNamespaces": ["A_b"]}, "watchNamespaces"),
    "any secret": ({"storageSecretNames": ["*"]}, "storageSecretNames"),
    "selector label": ({"podLabels": {"app.kubernetes.io/name": "x"}}, r"app\.kubernetes\.io/name"),
    "pull secrets as texts": ({"global": {"imagePullSecrets": ["x"]}}, "imagePullSecrets"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_the_schema_refuses(render, name):
    values, word = BAD_VALUES[name]
    with pytest.raises(Refused, match=word):
        render(values)


def leaves(node, path=""):
    for key, value in node.items():
        here = f"{path}.{key}" if path else key
        yield here
        if isinstance(value, dict) and value:
            yield from leaves(value, here)


def test_schema_and_defaults_name_the_same_values():
    schema = msgspec.json.decode((CHART / "values.schema.json").read_bytes())
    named = set()

    def collect(node, path):
        for key, inner in node.get("properties", {}).items():
            here = f"{path}.{key}" if path else key
            named.add(here)
            collect(inner, here)

    collect(schema, "")
    defaults = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    open_ended = {"podSecurityContext", "securityContext", "resources"}
    assert {p for p in defaults if p.split(".")[0] not in open_ended} <= named
    assert {p for p in named if p.split(".")[0] not in open_ended} - defaults == {"enabled"}


def test_it_works_as_a_dependency(helm, tmp_path):
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "savedmodel-operator").symlink_to(CHART)
    (parent / "Chart.yaml").write_text(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n"
        "  - {name: savedmodel-operator, version: '*', condition: savedmodel-operator.enabled}\n"
    )
    inner = {"enabled": True, "image": {"repository": "e/o"}}
    values = {"savedmodel-operator": inner, "global": {"other": 1}, "image": None}
    documents = helm.documents(values, parent)
    assert OPERATOR in {f"{d['kind']}/{d['metadata']['name']}" for d in documents}
    inner["enabled"] = False
    assert helm.documents(values, parent) == []


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["shop"], "storageSecretNames": ["s"]}])
def test_the_notes_hold_a_manifest_ready_to_paste(helm, values):
    notes = helm.notes(values)
    pasted = yaml.safe_load(notes.partition("<<'EOF'\n")[2].partition("\nEOF\n")[0])
    assert (pasted["apiVersion"], pasted["kind"]) == (types.API_VERSION, types.KIND)
    namespace = values.get("watchNamespaces", ["default"])[0]
    secret = values.get("storageSecretNames", ["savedmodel-storage"])[0]
    assert pasted["metadata"]["namespace"] == namespace
    spec = msgspec.convert(pasted["spec"], types.Spec)
    assert spec.source.secret_ref.name == secret
    assert [step.weight for step in spec.rollout.steps] == [10, 50]
    assert f"create secret generic {secret} --namespace {namespace}" in notes
    assert "kubectl delete crd" in notes
