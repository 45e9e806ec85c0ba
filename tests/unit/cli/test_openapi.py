"""`savedmodel openapi`: valid by a public validator, and true of the real server.

The client of `document_client` builds requests from the documents alone; the answers must be those
that the documents promise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from openapi_spec_validator import validate

from savedmodel_operator.client.openapi import Described, build_document
from savedmodel_operator.client.surface import Choice
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec
from unit.cli.document_client import DocumentClient
from unit.serving_compatible.conftest import Server, model_entry, serving

ZOO = (
    "control_flow", "defaults", "frozen", "keras2", "keras3", "large_constant", "module",
    "no_signature", "python_ops", "ragged_output", "sharded", "tf1_builder", "two_signatures",
    "vocabulary",
)  # fmt: skip
OWN = ("half", "zoo", "defaulted", "dense", "echo", "shapes", "names")

FAILING = {"python_ops": {"serving_default"}, "zoo": {"python", "numpy"}}
"""Model → signatures that every request fails on: the server has no kernel of Python ops."""


@pytest.fixture(scope="module")
def served_zoo(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The zoo's models, each as version 1 under its own name."""
    folder = tmp_path_factory.mktemp("served_zoo")
    for name in ZOO:
        (folder / name).mkdir()
        (folder / name / "1").symlink_to(zoo.folder / name)
    config = folder / "models.txt"
    entries = [model_entry(name, folder / name) for name in ZOO]
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    with serving(folder, f"--model_config_file={config}") as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=120, trust_env=False) as client:
        yield client


def document(savedmodel: Any, *args: object) -> dict[str, Any]:
    code, out, err = savedmodel("openapi", *args, "-o", "json")
    assert (code, err) == (0, "")
    made: dict[str, Any] = json.loads(out)
    validate(made)
    return made


def exercise(client: DocumentClient, failing: set[str]) -> int:
    """Sends everything that the document says may be sent; the number of answers that held."""
    held = 0
    for method, path, operation in client.operations():
        if method == "get":
            answer = client.send(method, path)
            assert answer.status_code == 200, answer.text
            client.validate(answer.json(), client.answer_schema(operation, 200))
            held += 1
            continue
        content = operation["requestBody"]["content"]["application/json"]
        bodies = [(example["value"], None) for example in content.get("examples", {}).values()]
        for request in client.requests(operation):
            bodies += [(body, request["x-response"]) for body in client.values(request)]
        for body, answered_by in bodies:
            client.validate(body, content["schema"])
            answer = client.send(method, path, body)
            expected = 400 if body.get("signature_name", "serving_default") in failing else 200
            assert answer.status_code == expected, (path, body, answer.text)
            client.validate(answer.json(), client.answer_schema(operation, expected))
            if answered_by and expected == 200:
                client.validate(answer.json(), {"$ref": answered_by})
            held += 1
    return held


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_answers_as_documented(served_zoo, zoo, savedmodel, http, name):
    server = f"http://127.0.0.1:{served_zoo.rest_port}"
    made = document(savedmodel, zoo.folder / name, "--server", server)
    assert exercise(DocumentClient(made, http), FAILING.get(name, set())) >= 2
    live = document(savedmodel, f"{server}/v1/models/{name}")
    assert live.pop("info")["version"] == "1"
    assert made.pop("info")["version"] == "unknown"
    assert live == made


@pytest.mark.parametrize("name", OWN)
def test_own_models_answer_as_documented(served, models, run_models, savedmodel, http, name):
    server = f"http://127.0.0.1:{served.rest_port}"
    live = document(savedmodel, f"{server}/v1/models/{name}")
    held = exercise(DocumentClient(live, http), FAILING.get(name, set()))
    assert held >= {"shapes": 40, "echo": 40, "half": 20}.get(name, 4)
    root = (models if (models / name).exists() else run_models) / name
    newest = max(root.iterdir(), key=lambda path: int(path.name))
    assert document(savedmodel, newest, "--server", server) == live


@pytest.mark.parametrize("choice", [("--model-version", "123"), ("--model-label", "stable")])
def test_a_version_or_label_has_its_own_paths(served, savedmodel, http, choice):
    base = f"http://127.0.0.1:{served.rest_port}"
    made = document(savedmodel, base, "--model-name", "half", *choice)
    assert made["info"]["version"] == "123"
    middle = "versions/123" if choice[0] == "--model-version" else "labels/stable"
    assert all(path.startswith(f"/v1/models/half/{middle}") for path in made["paths"])
    assert exercise(DocumentClient(made, http), set()) > 10


REFUSED = {
    "both forms": {"signature_name": "pair", "instances": [{"a": [1, 2], "b": True}],
                   "inputs": {"a": [[1, 2]], "b": [True]}},
    "no form": {"signature_name": "pair"},
    "no rows": {"signature_name": "pair", "instances": []},
    "an input missing in a row": {"signature_name": "pair", "instances": [{"a": [1, 2]}]},
    "an input missing in columns": {"signature_name": "pair", "inputs": {"b": [True]}},
    "an extra key in a row": {"signature_name": "pair",
                              "instances": [{"a": [1, 2], "b": True, "c": 1}]},
    "plain values for two inputs": {"signature_name": "pair", "instances": [[1, 2]]},
    "a number for a boolean": {"signature_name": "pair", "inputs": {"a": [[1, 2]], "b": [1]}},
    "text for a number": {"signature_name": "pair", "inputs": {"a": [["1", "2"]], "b": [True]}},
    "an unknown signature": {"signature_name": "nobody", "inputs": [1]},
    "no signature without a default": {"inputs": [1.0]},
    "a fraction for a whole number": {"signature_name": "matrix", "inputs": [[1.5]]},
    "a number that is too large": {"signature_name": "matrix", "inputs": [[2**31]]},
    "a list as signature": {"signature_name": ["pair"], "inputs": [1]},
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_document_excludes_the_server_refuses(served, savedmodel, http, case):
    made = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/shapes")
    client, path = DocumentClient(made, http), "/v1/models/shapes:predict"
    operation = made["paths"][path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        client.validate(REFUSED[case], schema)
    answer = client.send("post", path, REFUSED[case])
    assert answer.status_code == 400
    client.validate(answer.json(), client.answer_schema(operation, 400))


def test_an_unknown_model_answers_with_the_documented_error(served, savedmodel, http):
    made = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/half")
    client = DocumentClient(made, http)
    for path, item in made["paths"].items():
        (method, operation), *_ = item.items()
        gone = path.replace("/half", "/gone")
        answer = client.send(method, gone, {"examples": [{}]} if method == "post" else None)
        assert answer.status_code == 404, answer.text
        client.validate(answer.json(), client.answer_schema(operation, 404))


def test_what_rest_cannot_carry_is_said(served, zoo, savedmodel):
    assert document(savedmodel, zoo.folder / "ragged_output")["x-savedmodel-unsupported"] == {
        "predict": {
            "serving_default": "its output 'words' is composite, which Serving cannot carry"
        }
    }
    shapes = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/shapes")
    assert shapes["x-savedmodel-unsupported"]["predict"] == {
        "scalar": "only columns: its input 'x' is a scalar, which has no rows",
        "uneven": "only columns: its tensors have first dimensions of different size: 2 and 3",
    }
    echo = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/echo")
    assert sorted(echo["x-savedmodel-unsupported"]["predict"]) == [
        "bfloat16", "complex128", "complex64", "float16", "uint16",
    ]  # fmt: skip


def test_shapes_types_and_bytes_stand_in_the_schemas(served, savedmodel):
    made = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/shapes")
    schemas = made["components"]["schemas"]
    real = {"$ref": "#/components/schemas/Value.float32"}
    three = {"type": "array", "items": real, "minItems": 3, "maxItems": 3}
    fixed = {"type": "array", "items": three, "minItems": 2, "maxItems": 2}
    assert schemas["predict.fixed.rowResponse"]["properties"]["predictions"] == fixed
    assert schemas["predict.fixed.columnRequest"]["properties"]["inputs"]["anyOf"][0] == fixed
    assert "NaN" in schemas["Value.float32"]["description"]
    assert schemas["Value.uint8"]["maximum"] == 255
    nan = schemas["predict.nan.columnResponse"]["properties"]["outputs"]
    assert nan["properties"]["thumb_bytes"]["items"] == {"$ref": "#/components/schemas/Base64"}
    assert nan["required"] == ["bad", "large", "thumb_bytes"]
    assert {"$ref": "#/components/schemas/AnyRank.float32"} in (
        schemas["predict.anyrank.columnRequest"]["properties"]["inputs"]["anyOf"]
    )


def test_yaml_is_the_same_document_without_anchors(zoo, savedmodel):
    made = document(savedmodel, zoo.folder / "module")
    code, out, _ = savedmodel("openapi", zoo.folder / "module")
    assert (code, yaml.safe_load(out)) == (0, made)
    assert "&id" not in out
    assert "  description: |-\n    REST API of one model" in out


def test_names_that_are_odd_stay_one_each():
    tensor = {"x": TensorSpec("DT_FLOAT", (-1,), "x:0")}
    signatures = {key: Signature("", tensor, tensor) for key in ("a b", "a/b", "a_b", "é")}
    made = build_document(Described(Choice("a {b}"), 3, signatures, "http://h:1"))
    validate(made)
    assert "/v1/models/a%20%7Bb%7D:predict" in made["paths"]
    requests = [key for key in made["components"]["schemas"] if key.endswith("rowRequest")]
    assert len(requests) == len(signatures)


def test_a_signature_without_a_name_is_none_that_can_be_called(served, savedmodel):
    tensor = {"x": TensorSpec("DT_FLOAT", (-1,), "x:0")}
    signatures = {key: Signature("", tensor, tensor) for key in ("", "serving_default")}
    made = build_document(Described(Choice("m"), None, signatures, "http://h:1"))
    assert made["x-savedmodel-unsupported"]["predict"] == {
        "": "its name is empty, and servers take an empty name for serving_default"
    }
    assert [key for key in made["components"]["schemas"] if key.endswith("rowRequest")] == [
        "predict.serving_default.rowRequest"
    ]
    # That is what the server does: an empty name is answered by serving_default.
    answer = served.predict("half", {"signature_name": "", "instances": [[1.0]]})
    assert answer.json == {"predictions": [[3.5]]}


def test_an_example_of_an_image_is_left_out_when_it_is_long(served, savedmodel):
    made = document(savedmodel, f"http://127.0.0.1:{served.rest_port}/v1/models/shapes")
    operation = made["paths"]["/v1/models/shapes:predict"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert "image.row" not in examples
    assert examples["pair.row"]["value"] == {
        "signature_name": "pair", "instances": [{"a": [0.5, 0.5], "b": True}],
    }  # fmt: skip


def test_exit_codes(zoo, savedmodel, tmp_path: Path):
    assert savedmodel("openapi", zoo.folder / "module", "--tag-set", "gpu")[0] == 1
    assert savedmodel("openapi", "http://127.0.0.1:1")[0] == 2  # no model is named
    assert savedmodel("openapi", tmp_path)[0] == 4
    assert savedmodel("openapi", "http://127.0.0.1:1/v1/models/m")[0] == 4
    both = ("--model-version", "1", "--model-label", "a")
    assert savedmodel("openapi", zoo.folder / "module", *both)[0] == 2
