"""The clients of the matrix read strictly enough: what each of them complains about, and what not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lab.matrix.ask import Request, requests
from lab.matrix.protos import messages
from lab.matrix.read import Answer, complaint
from unit.gate.facts_builder import signature, tensor

Y, WORD = tensor(), tensor("string")
ONE = signature(outputs={"y": Y})
TWO = signature(outputs={"y": tensor(shape=[-1, 2]), "w_bytes": WORD})


def rest(client, given, **document):
    request = Request(client, "predict", "serving_default", b"", tuple(sorted(given.outputs)), 2)
    answer = Answer("", json.dumps(document).encode())
    return complaint(request, given, answer, per_row=given.outputs)


def grpc(given, **arrays):
    response = messages.predict_pb2.PredictResponse()
    for name, array in arrays.items():
        found = response.outputs[name]
        number = {"float32": 1, "float64": 2}[str(array.dtype)]
        found.dtype = number
        for size in array.shape:
            found.tensor_shape.dim.add(size=size)
    request = Request("GRPC", "predict", "serving_default", b"", tuple(sorted(given.outputs)), 2)
    answer = Answer("", response.SerializeToString())
    return complaint(request, given, answer, per_row=given.outputs)


B64 = {"b64": "YQ=="}
ROWS = [{"y": [1, 2.0], "w_bytes": B64}] * 2


@pytest.mark.parametrize(
    ("client", "given", "document", "words"),
    [
        ("RESTRow", ONE, {"predictions": [1.0, 2]}, None),
        ("RESTRow", ONE, {"predictions": [1.0, "2"]}, "str, not number"),
        ("RESTRow", ONE, {"predictions": [True, 2]}, "bool, not number"),
        ("RESTRow", ONE, {"predictions": [1.0]}, "1 rows for 2"),
        ("RESTRow", ONE, {"predictions": [{"y": 1.0, "z": 2}] * 2}, "dict, not number"),
        ("RESTRow", ONE, {"predictions": [[1.0], [2.0]]}, "a list where an element"),
        ("RESTRow", ONE, {"outputs": [1.0, 2.0]}, "no predictions"),
        ("RESTRow", TWO, {"predictions": ROWS}, None),
        ("RESTRow", TWO, {"predictions": [{**row, "more": 1} for row in ROWS]}, None),
        ("RESTRow", TWO, {"predictions": [{"y": [1, 2]}] * 2}, "a row has no w_bytes"),
        ("RESTRow", TWO, {"predictions": [[1, 2]] * 2}, "a row has no"),
        ("RESTRow", TWO, {"predictions": [{**ROWS[0], "w_bytes": "a"}] * 2}, "str, not b64"),
        ("RESTRow", TWO, {"predictions": [{**ROWS[0], "y": [1]}] * 2}, "1 elements, not 2"),
        ("RESTColumn", ONE, {"outputs": [1.0, 2.0]}, None),
        ("RESTColumn", ONE, {"outputs": 1.0}, "an element where a list"),
        ("RESTColumn", ONE, {"outputs": {"y": [1.0, 2.0], "z": [1]}}, "an element where a list"),
        ("RESTColumn", TWO, {"outputs": {"y": [[1, 2]] * 2, "w_bytes": [B64] * 2}}, None),
        ("RESTColumn", TWO, {"outputs": {"y": [[1, 2]] * 2}}, "no w_bytes"),
        ("RESTColumn", TWO, {"outputs": {"y": [[1, 2]], "w_bytes": [B64] * 2}}, "1 rows for 2"),
    ],
)  # fmt: skip
def test_rest_clients_want_the_structure_of_their_signature(client, given, document, words):
    found = rest(client, given, **document)
    assert (found is None) if words is None else (found is not None and words in found)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.ones(2, "f4")}, None),
        ({"y": np.ones(2, "f4"), "more": np.ones(1, "f4")}, None),
        ({"z": np.ones(2, "f4")}, "y is missing"),
        ({"y": np.ones(2, "f8")}, "DT_DOUBLE, not DT_FLOAT"),
        ({"y": np.ones((2, 1), "f4")}, "has the shape [2, 1]"),
        ({"y": np.ones(3, "f4")}, "3 rows for 2"),
        ({"y": np.ones((), "f4")}, "has the shape []"),
    ],
)
def test_typed_clients_want_key_dtype_shape_and_rows(arrays, words):
    found = grpc(ONE, **arrays)
    assert (found is None) if words is None else (found is not None and words in found)


def test_a_refusal_is_a_complaint():
    request = Request("GRPC", "predict", "serving_default", b"", ("y",))
    assert complaint(request, ONE, Answer("INVALID_ARGUMENT no")) == "INVALID_ARGUMENT no"


def test_clients_send_every_shape_form_and_omission():
    inputs = {"x": tensor(shape=[-1, -1]), "k": tensor(default="a")}
    sent = requests({"serving_default": signature(inputs, {"y": Y, "z": Y})})
    assert {request.client for request in sent} == {"GRPC", "RESTRow", "RESTColumn"}
    parsed = [
        messages.predict_pb2.PredictRequest.FromString(r.body) for r in sent if r.client == "GRPC"
    ]
    assert {frozenset(p.inputs) for p in parsed} == {frozenset({"x", "k"}), frozenset({"x"})}
    assert {tuple(p.output_filter) for p in parsed} == {(), ("y",), ("z",)}
    shapes = {tuple(d.size for d in p.inputs["x"].tensor_shape.dim) for p in parsed}
    assert shapes == {(1, 2), (3, 5), (2, 1)}
    for request in sent:
        if request.client == "RESTRow":
            rows = json.loads(request.body)["instances"]
            assert all(set(row) == {"x", "k"} for row in rows)
            assert len(rows) == request.batch
