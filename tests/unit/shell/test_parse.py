"""From the raw object to (Meta, Spec), or the path of what is wrong."""

import pytest

from savedmodel_operator.api.parse import InvalidSpec, parse, parse_meta
from savedmodel_operator.api.types import Step


def body(**spec):
    return {
        "metadata": {
            "name": "flowers",
            "namespace": "shop",
            "uid": "u-1",
            "generation": 3,
            "resourceVersion": "17",
            "annotations": {"savedmodel.dev/action": "promote"},
        },
        "spec": {
            "source": {"uri": "s3://models/flowers", "anonymous": True},
            "serving": {"image": "tensorflow/serving:2.20.0"},
            **spec,
        },
        "status": {"observedGeneration": 2},
    }


def test_the_least_object():
    meta, spec = parse(body())
    assert (meta.name, meta.namespace, meta.uid) == ("flowers", "shop", "u-1")
    assert (meta.generation, meta.resource_version) == (3, "17")
    assert meta.annotations == {"savedmodel.dev/action": "promote"}
    assert meta.status == {"observedGeneration": 2}
    assert not meta.deleting
    assert spec.serving.replicas is None
    assert spec.replicas == 1


def test_wire_names_become_ours():
    _, spec = parse(body(rollout={"steps": [{"weight": 5, "hold": "5m"}], "scaleDownDelay": "9s"}))
    assert spec.rollout.steps == (Step(weight=5, hold="5m"),)
    assert spec.rollout.scale_down_delay == "9s"


def test_quantities_may_be_numbers():
    given = {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}, "requests": {"cpu": 0.5}}
    raw = body(
        serving={"image": "x", "resources": given},
        traffic={"router": {"resources": {"limits": {"cpu": 2}}}},
    )
    _, spec = parse(raw)
    assert spec.serving.resources.limits == {"nvidia.com/gpu": "1", "memory": "4Gi"}
    assert spec.serving.resources.requests == {"cpu": "0.5"}
    assert spec.traffic.router.resources.limits == {"cpu": "2"}
    assert raw["spec"]["serving"]["resources"] is given
    assert given["limits"]["nvidia.com/gpu"] == 1, "the caller's object is left as it is"


@pytest.mark.parametrize(("written", "read"), [(1024, "1024"), ("20Gi", "20Gi")])
def test_bytes_of_a_budget_may_be_a_number(written, read):
    given = {"budgets": {"bytes": written, "objects": 3}}
    _, spec = parse(body(gate=given))
    assert spec.gate.budgets.bytes == read
    assert given["budgets"]["bytes"] == written


def test_fields_of_a_newer_release_are_passed_over():
    parse(body(somethingNew={"a": 1}))


BAD = {
    "no spec": ({"spec": None}, "spec: it is missing"),
    "a wrong type": (
        {"spec": body(serving={"image": "x", "replicas": "two"})["spec"]},
        "spec.serving.replicas: expected `int",
    ),
    "out of bounds": (
        {"spec": body(rollout={"steps": [{"weight": 0}]})["spec"]},
        "spec.rollout.steps[0].weight: expected `int` >= 1",
    ),
    "a required field": ({"spec": {"serving": {"image": "x"}}}, "spec: object missing required"),
    "an unknown word": (
        {"spec": body(versions={"policy": "Newest"})["spec"]},
        "spec.versions.policy: invalid enum value",
    ),
    "a long name": ({"metadata": {**body()["metadata"], "name": "a" * 34}}, "metadata.name must"),
    "a name with a digit first": (
        {"metadata": {**body()["metadata"], "name": "1a"}},
        "metadata.name must",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_by_its_path(name):
    change, wanted = BAD[name]
    with pytest.raises(InvalidSpec) as caught:
        parse(body() | change)
    assert caught.value.message.startswith(wanted)


def test_a_deleted_object_and_a_strange_status():
    raw = body()
    raw["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    raw["status"] = "?"
    meta = parse_meta(raw)
    assert meta.deleting
    assert meta.status == {}
