"""What counts as drift and what does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodel_operator.workload import router
from savedmodel_operator.workload.drift import first_difference
from savedmodel_operator.workload.model import build_deployment, build_service
from savedmodel_operator.workload.quantity import parse_quantity
from unit.workload import workload_cases as cases


def container(**fields: Any) -> dict[str, Any]:
    """An object with one container."""
    return {"spec": {"containers": [{"name": "model", **fields}]}}


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "equal": ({"a": 1}, {"a": 1}),
    "a default of the API server": ({"spec": {}}, {"spec": {"clusterIP": "10.0.0.1"}}),
    "more labels": (
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"labels": {"a": "b", "c": "d"}}},
    ),
    "empty against absent": ({"a": {}, "b": [], "c": None, "d": ""}, {}),
    "a quantity in other words": (
        container(resources={"limits": {"cpu": "1000m", "memory": "1Gi", "x/y": 1}}),
        container(resources={"limits": {"cpu": "1", "memory": "1073741824", "x/y": "1"}}),
    ),
    "a sidecar": (container(), {"spec": {"containers": [{"name": "other"}, {"name": "model"}]}}),
    "a default inside a keyed list": (container(), container(terminationMessagePath="/dev/x")),
    "keyed lists in another order": (
        container(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        container(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
    ),
    "a port whose protocol is the default": (
        container(ports=[{"containerPort": 1}]),
        container(ports=[{"containerPort": 1, "protocol": "TCP"}]),
    ),
    "a default inside an atomic list": (
        {"spec": {"tolerations": [{"key": "a"}]}},
        {"spec": {"tolerations": [{"key": "a", "operator": "Equal"}]}},
    ),
}

DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a value": (
        container(image="a:2"),
        container(image="a:1"),
        'spec.containers[model].image is "a:1", wanted "a:2"',
    ),
    "a missing field": ({"a": {"b": 1}}, {"a": {}}, "a.b is missing"),
    "a missing branch": ({"a": {"b": 1}}, {}, "a is missing"),
    "a missing container": (
        container(),
        {"spec": {"containers": []}},
        "spec.containers[model] is missing",
    ),
    "a quantity": (
        container(resources={"limits": {"cpu": "1"}}),
        container(resources={"limits": {"cpu": "1001m"}}),
        'spec.containers[model].resources.limits.cpu is "1001m", wanted "1"',
    ),
    "a longer atomic list": (
        container(args=["a"]),
        container(args=["a", "b"]),
        'spec.containers[model].args is ["a", "b"], wanted ["a"]',
    ),
    "an item of an atomic list": (
        container(args=["a", "b"]),
        container(args=["a", "c"]),
        'spec.containers[model].args[1] is "c", wanted "b"',
    ),
    "true is not a word": ({"a": True}, {"a": "true"}, 'a is "true", wanted true'),
    "an environment's value is not shown": (
        container(env=[{"name": "PASSWORD", "value": "hunter2"}]),
        container(env=[{"name": "PASSWORD", "value": "hunter3"}]),
        "spec.containers[model].env[PASSWORD].value was changed",
    ),
    "a long value is cut": (
        {"data": {"rds.json": "x" * 1000}},
        {"data": {"rds.json": "y" * 1000}},
        'data.rds.json is "' + "y" * 79 + '…, wanted "' + "x" * 79 + "…",
    ),
    "another owner": (
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "a"}]}},
        "metadata.ownerReferences[1] is missing",
    ),
    "a port of another protocol": (
        {"spec": {"ports": [{"port": 1, "protocol": "TCP"}]}},
        {"spec": {"ports": [{"port": 1, "protocol": "UDP"}]}},
        "spec.ports[1/TCP] is missing",
    ),
    "a list became a mapping": ({"a": [1]}, {"a": {"b": 1}}, 'a is {"b": 1}, wanted [1]'),
    "cleared": ({"a": "x"}, {"a": None}, 'a is null, wanted "x"'),
}


@pytest.mark.parametrize(("wanted", "seen"), SAME.values(), ids=SAME)
def test_no_difference(wanted: dict[str, Any], seen: dict[str, Any]) -> None:
    assert first_difference(wanted, seen) is None


@pytest.mark.parametrize(("wanted", "seen", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_difference(wanted: dict[str, Any], seen: dict[str, Any], words: str) -> None:
    assert first_difference(wanted, seen) == words


def manifests() -> list[dict[str, Any]]:
    """What the operator really writes."""
    owner, spec, platform = cases.OWNER, cases.make_spec(), cases.PLATFORM
    return [
        build_deployment(owner, cases.CANARY, cases.make_lock(), spec, platform),
        build_service(owner, cases.CANARY),
        router.build_deployment(owner, spec, platform),
        router.build_service(owner),
        router.build_pdb(owner),
        router.build_configmap(owner, cases.make_route(), 0.0),
        *router.build_network_policies(owner, platform),
    ]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all scalars."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in leaves(v, (*path, k))]
    if isinstance(value, list):
        return [p for k, v in enumerate(value) for p in leaves(v, (*path, k))]
    return [path]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda m: m["kind"])
def test_every_changed_field_of_a_real_manifest_is_seen(manifest: dict[str, Any]) -> None:
    assert first_difference(manifest, json.loads(json.dumps(manifest))) is None
    for path in leaves(manifest):
        seen = json.loads(json.dumps(manifest))
        place = seen
        for key in path[:-1]:
            place = place[key]
        if place[path[-1]] in ("", None):
            continue
        place[path[-1]] = "somebody else's"
        assert first_difference(manifest, seen) is not None, path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1000m"),
        (1, "1"),
        (0.5, "500m"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("1e3", "1k"),
        ("1E", "1000P"),
        ("0.1", "100m"),
        ("1Gi", "1024Mi"),
        (".5", "0.50"),
    ],
)
def test_equal_quantities(one: Any, other: Any) -> None:
    assert parse_quantity(one) == parse_quantity(other) is not None


@pytest.mark.parametrize("text", ["", "x", "1KB", "1 Gi", "--1", "1e", True, None, [], "1" * 99])
def test_no_quantity(text: Any) -> None:
    assert parse_quantity(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
    )
)
def test_anything_equals_itself(value: Any) -> None:
    assert first_difference({"a": value}, {"a": json.loads(json.dumps(value))}) is None


def test_false_that_the_server_does_not_store_is_no_difference() -> None:
    wanted = {"spec": {"publishNotReadyAddresses": False, "clusterIP": "None"}}
    assert first_difference(wanted, {"spec": {"clusterIP": "None"}}) is None
    mount = {"volumeMounts": [{"mountPath": "/cache", "name": "cache", "readOnly": False}]}
    kept = {"volumeMounts": [{"mountPath": "/cache", "name": "cache"}]}
    assert first_difference(mount, kept) is None
    changed = {"spec": {"clusterIP": "None", "publishNotReadyAddresses": True}}
    assert "publishNotReadyAddresses" in (first_difference(wanted, changed) or "")


def test_false_that_the_server_stores_is_missed() -> None:
    wanted = {"spec": {"automountServiceAccountToken": False}}
    assert "automountServiceAccountToken" in (first_difference(wanted, {"spec": {}}) or "")
