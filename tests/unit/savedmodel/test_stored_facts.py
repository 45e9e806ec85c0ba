"""The JSON form of the facts: form 2 is written, form 1 of older releases is still read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from savedmodel_operator.savedmodel import GraphFacts, ModelFacts, Signature, TensorSpec

FORM_1: dict[str, Any] = {
    "form": 1,
    "schema": 1,
    "graphs": [
        {
            "tags": ["serve"],
            "tensorflow": "2.20.0",
            "producer": 2288,
            "minConsumer": 12,
            "badConsumers": [7],
            "nodes": 2,
            "functions": 1,
            "ops": {"MatMul": 1},
            "assets": ["words.txt"],
            "absent": ["gone:0"],
            "initOp": True,
            "objectGraph": True,
            "signatures": {
                "serving_default": {
                    "method": "tensorflow/serving/predict",
                    "inputs": {"x": {"dtype": "DT_FLOAT", "shape": [-1, 4], "name": "x:0"}},
                    "outputs": {"y": {"dtype": "DT_FLOAT", "shape": None, "name": "y:0"}},
                }
            },
        }
    ],
}
"""As release 0.1 wrote it into ControllerRevisions."""

GRAPH = GraphFacts(
    tags=("serve",),
    signatures={
        "s": Signature(
            "tensorflow/serving/predict",
            {
                "x": TensorSpec("DT_INT64", (), "x:0", default="abc"),
                "z": TensorSpec("DT_FLOAT", (-1,), "", "Sparse", ("v:0", "i:0", "d:0")),
            },
            {"y": TensorSpec("DT_FLOAT", None, "", "Composite", ("a:0", "b:0"))},
        )
    },
    ops={"AddV2": 3},
    tensorflow="2.21.0",
    origin="Keras 3 export",
    declared={"AddV2": ("T",), "NoOp": ()},
    undeclared=("Cast",),
    stripped_defaults=True,
)


def test_form_1_is_read_with_defaults_for_what_it_lacks():
    facts = ModelFacts.from_dict(FORM_1)
    assert facts.file == "saved_model.pb"
    (graph,) = facts.graphs
    assert (graph.origin, graph.declared, graph.undeclared) == ("", {}, ())
    assert not graph.stripped_defaults
    assert (graph.tensorflow, graph.ops, graph.bad_consumers) == ("2.20.0", {"MatMul": 1}, (7,))
    assert graph.signatures["serving_default"].inputs["x"].shape == (-1, 4)


def test_form_2_brings_everything_back():
    facts = ModelFacts(1, (GRAPH,), "saved_model.pbtxt")
    assert ModelFacts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts


@pytest.mark.parametrize("form", [0, 3, "2", None, [2]])
def test_another_form_is_refused(form):
    with pytest.raises(ValueError, match="form"):
        ModelFacts.from_dict({**FORM_1, "form": form})
