"""What makes a new revision, and what a record keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.workload.lock import build_lock, read_lock
from savedmodel_operator.workload.revision import build_record, read_record, serving_hash
from unit.workload import workload_cases as cases


@pytest.mark.parametrize(
    "parts",
    [
        {"serving": {"image": "tensorflow/serving:2.21.0"}},
        {"serving": {"args": ["--grpc_max_threads=3"]}},
        {"serving": {"env": [{"name": "A", "value": "1"}]}},
        {"serving": {"options": {"warmup": False}}},
        {"serving": {"resources": {"limits": {"memory": "1Gi"}}}},
        {"serving": {"loadDeadline": "11m"}},
        {"serving": {"drain": "16s"}},
        {"serving": {"pod": {"nodeSelector": {"a": "b"}}}},
        {"source": {"endpoint": "https://s3.example"}},
        {"source": {"region": "eu-west-1"}},
        {"source": {"addressing": "Path"}},
        {"source": {"secretRef": {"name": "other"}}},
        {"source": {"secretRef": None, "anonymous": True}},
        {"source": {"caBundle": {"configMap": "ca", "key": "ca.crt"}}},
        {"modelName": "rose"},
    ],
    ids=str,
)
def test_a_serving_input_makes_a_new_revision(parts: dict[str, Any]) -> None:
    assert serving_hash(cases.make_spec(**parts)) != serving_hash(cases.make_spec())


@pytest.mark.parametrize(
    "parts",
    [
        {"serving": {"replicas": 5}},
        {"serving": {"loadDeadline": "10m"}},
        {"serving": {"options": {"tags": ["serve"], "sessionParallelism": 0}}},
        {"serving": {"pod": {}}},
        {"source": {"uri": "s3://elsewhere/flowers"}},
        {"source": {"pollInterval": "1h", "readyMarker": "_DONE"}},
        {"source": {"region": "us-east-1"}},
        {"rollout": {"steps": [{"weight": 5}]}},
        {"gate": {"compatibility": {"mode": "None"}}},
        {"traffic": {"router": {"replicas": 5}}},
    ],
    ids=str,
)
def test_scale_defaults_and_other_parts_do_not(parts: dict[str, Any]) -> None:
    assert serving_hash(cases.make_spec(**parts)) == serving_hash(cases.make_spec())


def test_the_hash_is_the_same_for_ever() -> None:
    """A changed value here would restart every model pod in the world at the next upgrade."""
    assert serving_hash(cases.make_spec()) == "baefc88c6edaf28b"
    rich = {"serving": {"resources": {"limits": {"b": "1", "a": "2"}}, "args": ["--x=1"]}}
    assert serving_hash(cases.make_spec(**rich)) == "059673910795c744"


def make_record() -> dict[str, Any]:
    """A record as the API server gives it back: JSON."""
    record = build_record(
        cases.OWNER,
        cases.CANARY,
        cases.make_lock(),
        cases.make_facts(),
        cases.make_spec(),
        cases.PLATFORM,
    )
    return json.loads(json.dumps(record))


def test_a_record_is_read_back_whole() -> None:
    record = read_record(make_record())
    assert record is not None
    assert (record.number, record.directory) == (42, "00000042")
    assert record.fingerprint == cases.make_lock().fingerprint
    assert record.serving_hash == serving_hash(cases.make_spec())
    assert isinstance(record.facts, ModelFacts)
    assert record.facts == cases.make_facts()
    assert [m["kind"] for m in (record.deployment, record.service, record.pdb)] == [
        "Deployment",
        "Service",
        "PodDisruptionBudget",
    ]
    assert {m["metadata"]["name"] for m in (record.deployment, record.service, record.pdb)} == {
        cases.CANARY
    }


def test_a_record_knows_the_tags_that_it_serves() -> None:
    tagged = cases.make_spec(serving={"options": {"tags": ["serve", "gpu"]}})
    parts = (cases.OWNER, cases.CANARY, cases.make_lock(), cases.make_facts())
    record = read_record(build_record(*parts, tagged, cases.PLATFORM))
    assert record is not None
    assert record.tags == ("serve", "gpu")
    plain = read_record(make_record())
    assert plain is not None
    assert plain.tags == ("serve",)
    assert replace(plain, deployment={"spec": {}}).tags is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data",), None),
        (("data",), []),
        (("data", "number"), "x"),
        (("data", "facts"), {"form": 99}),
        (("data", "facts"), None),
        (("data", "manifests"), None),
        (("data", "manifests", "deployment"), {}),
        (("data", "manifests", "service"), None),
        (("data", "servingHash"), ...),
    ],
    ids=str,
)
def test_a_damaged_record_is_none(path: tuple[str, ...], value: Any) -> None:
    body = make_record()
    place = body
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert read_record(body) is None


def test_a_lock_comes_back_from_its_configmap() -> None:
    body = build_lock(cases.OWNER, cases.CANARY, cases.make_lock())
    assert body["immutable"] is True
    assert body["metadata"]["name"] == f"{cases.CANARY}-lock"
    assert "prometheus_config" in body["data"]["monitoring.config"]
    assert read_lock(json.loads(json.dumps(body))) == cases.make_lock()


@pytest.mark.parametrize(
    "data",
    [None, {}, {"lock.json.gz": "!!"}, {"lock.json.gz": "AAAA"}, {"lock.json.gz": 7}],
    ids=str,
)
def test_a_damaged_lock_is_none(data: Any) -> None:
    assert read_lock({"binaryData": data}) is None
