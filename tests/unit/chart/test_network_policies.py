"""Who may open a connection to models, routers and the operator: docs/permissions.md, cell by cell.

The policies are those that operator and chart render, the labels those of their pod templates; the
cluster of dev/cluster enforces no policy, so an evaluator judges (and is judged first).
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from network_policies import Outside, Pod, may_connect, selects
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.api.types import Spec
from savedmodel_operator.plan.snapshot import Settings
from savedmodel_operator.workload import model, router
from savedmodel_operator.workload.owner import Owner

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "permissions.md").read_text()
SYSTEM = "system"
SETTINGS = Settings("registry.example/operator:1", "registry.example/envoy:1", SYSTEM)
LOCK = Lock("models", "shop/7/", 7, "7", "sha256:00", (LockedObject("saved_model.pb", 1, "e"),))
SPEC = msgspec.convert(
    {
        "source": {"uri": "s3://models/flowers", "anonymous": True},
        "serving": {"image": "tensorflow/serving:2.20.0"},
    },
    Spec,
)
OWNERS = {name: Owner(name, "shop", f"uid-of-{name}") for name in ("flowers", "fruits")}
BARE = Pod("shop", {})


def policy(namespace="shop", **spec):
    return {"metadata": {"namespace": namespace}, "spec": {"podSelector": {}, **spec}}


def selecting(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        (selecting("a", "In", "1", "2"), {"a": "2"}, True),
        (selecting("a", "In", "1"), {}, False),
        (selecting("a", "NotIn", "1"), {}, True),
        (selecting("a", "NotIn", "1"), {"a": "1"}, False),
        (selecting("a", "Exists"), {"a": ""}, True),
        (selecting("a", "DoesNotExist"), {"a": ""}, False),
    ],
)
def test_label_selectors(selector, labels, selected):
    assert selects(selector, labels) is selected


IN_SHOP, IN_SYSTEM = Pod("shop", {"app": "web"}), Pod("system", {"app": "web"}, "10.2.0.1")
FROM_WEB = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}
FROM_SYSTEM = {
    "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "system"}}}]
}
BLOCK = {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"]}}]}


@pytest.mark.parametrize(
    ("policies", "source", "passes"),
    [
        ([], Outside(), True),
        ([policy(ingress=[])], IN_SHOP, False),
        ([policy("other", ingress=[])], IN_SHOP, True),
        ([policy(podSelector={"matchLabels": {"x": "y"}})], IN_SHOP, True),
        ([policy(ingress=[{}])], Outside(), True),
        ([policy(ingress=[FROM_WEB])], IN_SHOP, True),
        ([policy(ingress=[FROM_WEB])], IN_SYSTEM, False),
        ([policy(ingress=[FROM_WEB])], Outside(), False),
        ([policy(ingress=[FROM_SYSTEM])], IN_SYSTEM, True),
        ([policy(ingress=[FROM_SYSTEM])], IN_SHOP, False),
        ([policy(ingress=[FROM_WEB]), policy(ingress=[FROM_SYSTEM])], IN_SYSTEM, True),
        ([policy(ingress=[BLOCK])], IN_SHOP, True),
        ([policy(ingress=[BLOCK])], IN_SYSTEM, False),
        ([policy(ingress=[{"ports": [{"port": 8501}]}])], IN_SHOP, True),
        ([policy(ingress=[{"ports": [{"port": 8000, "endPort": 9000}]}])], IN_SHOP, True),
        ([policy(ingress=[{"ports": [{"port": 8501, "protocol": "UDP"}]}])], IN_SHOP, False),
        ([policy(ingress=[{"ports": [{"port": "rest"}]}])], IN_SHOP, False),
        ([policy("system", policyTypes=["Egress"])], IN_SYSTEM, False),
        ([policy("system", policyTypes=["Egress"])], IN_SHOP, True),
        ([policy("system", egress=[{"to": [{"podSelector": {}}]}])], IN_SYSTEM, False),
        ([policy("system", egress=[{"to": [{"namespaceSelector": {}}]}])], IN_SYSTEM, True),
    ],
)
def test_the_evaluator(policies, source, passes):
    assert may_connect(policies, source, BARE, 8501) is passes


def test_a_policy_without_types_is_one_of_ingress_too():
    policies = [policy(egress=[{}])]
    assert may_connect(policies, BARE, IN_SYSTEM, 8501)
    assert not may_connect(policies, IN_SYSTEM, BARE, 8501)


def test_a_named_port_is_the_targets():
    policies = [policy(ingress=[{"ports": [{"port": "rest"}]}])]
    target = Pod("shop", {}, ports={"rest": 8501})
    assert may_connect(policies, IN_SHOP, target, 8501)
    assert not may_connect(policies, IN_SHOP, target, 8500)


def template(deployment, namespace):
    return Pod.read(deployment["spec"]["template"], namespace)


@pytest.fixture
def network(render):
    """Every policy, and the pods that there are, by name."""
    objects = render({})
    policies = [body for key, body in objects.items() if key.startswith("NetworkPolicy/")]
    pods = {"operator": template(objects["Deployment/r-savedmodel-operator"], SYSTEM)}
    for name, owner in OWNERS.items():
        policies += router.build_network_policies(owner, SETTINGS)
        models = model.build_deployment(owner, f"{name}-v7-00000000", LOCK, SPEC, SETTINGS)
        pods[f"{name} model"] = template(models, "shop")
        pods[f"{name} router"] = template(router.build_deployment(owner, SPEC, SETTINGS), "shop")
    return policies, pods


def table() -> list[list[str]]:
    """The rows of the page below its heading `Network`."""
    lines = PAGE.partition("\n## Network\n")[2].splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


ENDS = {
    "Model pods 8500, 8501": ("flowers model", (8500, 8501)),
    "Routers 8500, 8501": ("flowers router", (8500, 8501)),
    "Routers 9902 (statistics)": ("flowers router", (9902,)),
    "Operator 8080": ("operator", (8080,)),
}


def sources(pods) -> dict[str, Pod | Outside]:
    return {
        "routers of the same object": pods["flowers router"],
        "the operator's pods": pods["operator"],
        "other pods of the operator's namespace": Pod(SYSTEM, {"app": "web"}),
        "pods of the model's namespace": Pod("shop", {"app": "web"}),
        "routers of another object": pods["fruits router"],
        "pods of other namespaces": Pod("elsewhere", dict(pods["operator"].labels)),
        "addresses outside the cluster": Outside(),
    }


def test_the_page_says_who_may_connect(network):
    policies, pods = network
    head, *rows = table()
    assert set(head[1:]) == set(ENDS)
    assert {row[0] for row in rows} == set(sources(pods))
    for row in rows:
        for column, cell in zip(head[1:], row[1:], strict=True):
            target, ports = ENDS[column]
            seen = {
                may_connect(policies, sources(pods)[row[0]], pods[target], port) for port in ports
            }
            assert seen == {cell == "yes"}, f"{row[0]} → {column}"


def test_every_other_port_is_closed(network):
    policies, pods = network
    opened = {"flowers model": {8500, 8501}, "flowers router": {8500, 8501, 9902}}
    opened["operator"] = {8080}
    everybody = sources(pods).values()
    for name, ports in opened.items():
        for port in {22, 80, 443, 8080, 8500, 8501, 9090, 9902, 10250} - ports:
            assert not any(may_connect(policies, s, pods[name], port) for s in everybody)


def test_the_chart_narrows_who_reads_metrics(helm):
    only = {"networkPolicy": {"from": [{"podSelector": {"matchLabels": {"app": "scraper"}}}]}}
    documents = helm.documents(only)
    policies = [body for body in documents if body["kind"] == "NetworkPolicy"]
    (deployment,) = (body for body in documents if body["kind"] == "Deployment")
    target = template(deployment, SYSTEM)
    assert may_connect(policies, Pod(SYSTEM, {"app": "scraper"}), target, 8080)
    assert not may_connect(policies, Pod(SYSTEM, {"app": "web"}), target, 8080)
    assert not may_connect(policies, Pod("shop", {"app": "scraper"}), target, 8080)


@pytest.mark.parametrize("values", [{"nameOverride": "other"}, {"podLabels": {"app": "web"}}])
def test_no_value_takes_the_operators_way_to_the_models(helm, values):
    (deployment,) = (d for d in helm.documents(values) if d["kind"] == "Deployment")
    policies = router.build_network_policies(OWNERS["flowers"], SETTINGS)
    models = model.build_deployment(OWNERS["flowers"], "flowers-v7-0", LOCK, SPEC, SETTINGS)
    assert may_connect(policies, template(deployment, SYSTEM), template(models, "shop"), 8501)
