"""The live gate against answers in TensorFlow Serving's REST form, made from real models."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate import Outcome, Verdict, check_live
from savedmodel_operator.savedmodel import BytesSource, ModelFacts, read_saved_model

MODELS = (
    "keras3", "keras2", "module", "two_signatures", "sharded", "vocabulary", "python_ops",
    "defaults", "control_flow", "frozen", "no_signature",
)  # fmt: skip


def status(version: int = 3, state: str = "AVAILABLE", code: str = "OK", text: str = "") -> Any:
    why = {"error_code": code, "error_message": text}
    return {
        "model_version_status": [{"version": str(version), "state": state, "status": why}],
    }


def metadata(zoo, name: str, graph: int = 0, version: int = 3, model: str = "m") -> Any:
    return {
        "model_spec": {"name": model, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": copy.deepcopy(zoo.truth[name]["metadata"][graph])},
    }


def facts(zoo, name: str) -> ModelFacts:
    return read_saved_model(BytesSource(zoo.pb(name)))


def judge(expected: ModelFacts, state: Any, answer: Any, **options: Any) -> Verdict:
    responses = [
        body if isinstance(body, tuple) else (200, json.dumps(body).encode())
        for body in (state, answer)
    ]
    return check_live(expected, "m", 3, responses[0], responses[1], **options)


@pytest.mark.parametrize("name", MODELS)
def test_the_metadata_of_a_real_model_equal_its_facts(zoo, name):
    verdict = judge(facts(zoo, name), status(), metadata(zoo, name))
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("graph", [0, 1])
def test_each_metagraph_has_its_own_metadata(zoo, graph):
    expected = facts(zoo, "tf1_builder")
    answer = metadata(zoo, "tf1_builder", graph)
    tags = expected.graphs[graph].tags
    assert judge(expected, status(), answer).passed
    if graph == 1:
        assert judge(expected, status(), answer, tags=tags).passed
        other = judge(expected, status(), answer, tags=["serve"])
        assert other.reason is Reason.MetadataMismatch


def of(answer: Any) -> Any:
    return answer["metadata"]["signature_def"]["signature_def"]


def change_input(key: str, value: Any) -> Callable[[Any], object]:
    return lambda a: of(a)["serving_default"]["inputs"]["x"].update({key: value})


DIFFERENT = {
    "another version": (lambda a: a["model_spec"].update(version="4"), "version 4, asked was"),
    "another model": (lambda a: a["model_spec"].update(name="n"), "answered for n version 3"),
    "signature gone": (
        lambda a: of(a).pop("serving_default"),
        "the server has the signatures none",
    ),
    "signature more": (lambda a: of(a).update(extra={}), "the signatures extra, serving_default"),
    "method": (lambda a: of(a)["serving_default"].update(method_name="p"), ".method is p"),
    "input gone": (
        lambda a: of(a)["serving_default"]["inputs"].pop("x"),
        "serving_default.inputs are none",
    ),
    "output more": (
        lambda a: of(a)["serving_default"]["outputs"].update(w={}),
        "serving_default.outputs are w, y, z, read were y, z",
    ),
    "dtype": (change_input("dtype", "DT_DOUBLE"), "inputs.x is DT_DOUBLE [-1,4]"),
    "shape": (change_input("tensor_shape", {"dim": [{"size": "-1"}]}), "is DT_FLOAT [-1] "),
    "rank": (change_input("tensor_shape", {"unknown_rank": True}), "of unknown rank"),
    "tensor": (change_input("name", "other:0"), "(other:0), read was DT_FLOAT [-1,4]"),
    "default": (
        lambda a: of(a)["serving_default"].update(defaults={"x": {}}),
        "has defaults for x",
    ),
}


@pytest.mark.parametrize("case", DIFFERENT, ids=str)
def test_a_server_that_serves_something_else_is_refused(zoo, case):
    change, phrase = DIFFERENT[case]
    answer = metadata(zoo, "module")
    change(answer)
    verdict = judge(facts(zoo, "module"), status(), answer)
    assert verdict.outcome is Outcome.Rejected
    assert verdict.reason is Reason.MetadataMismatch
    assert phrase in verdict.message


def test_a_version_that_failed_to_load_is_refused_with_the_servers_words(zoo):
    state = status(state="END", code="NOT_FOUND", text="Op type not registered 'X'")
    verdict = judge(facts(zoo, "module"), state, (404, b"{}"))
    assert verdict.outcome is Outcome.Rejected
    assert verdict.reason is Reason.NotAvailable
    assert "NOT_FOUND" in verdict.message
    assert "Op type not registered 'X'" in verdict.message


UNKNOWN = {
    "loading": (status(state="LOADING"), None, "LOADING"),
    "unloaded without error": (status(state="END"), None, "END"),
    "other version": (status(version=2), None, "has version 2, not 3"),
    "no version": ({"model_version_status": []}, None, "has version none, not 3"),
    "no answer": ((0, b"connection refused"), None, "connection refused"),
    "busy": ((503, b"secret"), None, "HTTP 503"),
    "no metadata": (status(), (500, b"secret"), "HTTP 500"),
    "no JSON": (status(), (200, b"<html>secret"), "no JSON"),
    "a list": (status(), (200, b"[]"), "no JSON object"),
    "deep JSON": (status(), (200, b"[" * 1_000_000), "no JSON"),
    "empty object": (status(), (200, b"{}"), "model_spec is no JSON object"),
    "wrong form": ((200, b'{"model_version_status": 5}'), None, "no JSON list"),
    "entry of wrong form": ((200, b'{"model_version_status": [5]}'), None, "no JSON object"),
}


@pytest.mark.parametrize("case", UNKNOWN, ids=str)
def test_what_could_not_be_asked_is_no_refusal(zoo, case):
    state, answer, phrase = UNKNOWN[case]
    verdict = judge(facts(zoo, "module"), state, answer or metadata(zoo, "module"))
    assert verdict.outcome is Outcome.Errored
    assert verdict.reason is Reason.CheckErrored
    assert phrase in verdict.message
    assert "secret" not in verdict.message


def test_a_size_that_is_no_number_is_no_refusal(zoo):
    answer = metadata(zoo, "module")
    change_input("tensor_shape", {"dim": [{"size": "many"}]})(answer)
    assert judge(facts(zoo, "module"), status(), answer).outcome is Outcome.Errored


def test_enum_numbers_are_understood(zoo):
    answer = metadata(zoo, "module")
    change_input("dtype", 1)(answer)
    assert judge(facts(zoo, "module"), status(), answer).passed
