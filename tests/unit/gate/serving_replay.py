"""How a vector of TensorFlow Serving's own tests is played on the development server's code.

The vectors themselves are in `serving_vectors`. Each names its file (below `tensorflow_serving/`,
unless it begins with `tensorflow/`) and the test there; where no test of theirs covers a rule, the
function that has it. `says` is the assertion in our words, `replay` plays its input on the
development server's code, `words` are the refusal's words or None where it is accepted. `rows` are
the rows of our table that rest on it, per kind of client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tensorflow_serving_compatible import predict, protos
from tensorflow_serving_compatible.json_result import tensors_json
from tensorflow_serving_compatible.json_tensor import Format, read_predict
from tensorflow_serving_compatible.tensors import Tensor, dtype_name, new_proto

from savedmodel_operator.savedmodel.facts import Signature
from unit.gate.facts_builder import signature, tensor
from unit.gate.old_client import RefusedError, definition

T = protos.types_pb2
GRPC, ROW, COLUMN = "GRPC", "RESTRow", "RESTColumn"
REST = (ROW, COLUMN)


@dataclass(frozen=True)
class Vector:
    """`test` is the name there; `code` instead where only the source has the rule."""

    file: str
    test: str
    says: str
    replay: Callable[[], object]
    rows: Mapping[str, Sequence[str]]
    words: str | None = None
    code: bool = False


PREDICT, PREDICT_TEST = (f"servables/tensorflow/predict_util{end}.cc" for end in ("", "_test"))
JSON, JSON_TEST = (f"util/json_tensor{end}.cc" for end in ("", "_test"))
CLASSIFIER, REGRESSOR = (
    f"servables/tensorflow/{name}_test.cc" for name in ("classifier", "regressor")
)
FEED = "tensorflow/cc/saved_model/util_test.cc"

HALF = signature({"x": tensor(shape=[-1, 1])}, {"y": tensor(shape=[-1, 1])})
"""Inputs and outputs of the model half_plus_two that predict_util_test.cc serves."""

TWO = signature({"x": tensor("int32", [], "a"), "y": tensor("string", [], "a")}, {"z": tensor()})
"""The signature of util_test.cc's GetInputValuesTest: two inputs, both with defaults."""


def one(dtype: int = T.DT_FLOAT, values: Any = (2.0,)) -> Any:
    """A scalar in its protocol form, as predict_util_test.cc sends it."""
    if dtype == T.DT_STRING:
        return new_proto(Tensor(dtype, (), [b"any_value"]))
    kinds = {T.DT_FLOAT: "<f4", T.DT_BOOL: "?", T.DT_INT32: "<i4"}
    return new_proto(Tensor(dtype, (), np.array(values, kinds[dtype])))


def predicted(
    inputs: Mapping[str, Any],
    output_filter: Sequence[str] = (),
    *,
    signature: Signature = HALF,
    method: str = "",
    gives: Sequence[tuple[int, ...]] | None = None,
) -> Callable[[], object]:
    """Feeds and fetches of one request, then the session's check of the fed types.

    `gives` are the shapes that must be fed as they are.
    """

    def replay() -> object:
        made = definition(replace(signature, method=method or signature.method))
        found = predict.feeds(made, inputs, check_method=False)
        for name, value in found:
            wanted = made.inputs[name.removeprefix("inputs/").removesuffix(":0")].dtype
            if value.dtype != wanted:
                given = dtype_name(value.dtype)
                raise RefusedError(
                    f"Expects arg[0] to be {dtype_name(wanted)} but {given} is provided"
                )
        assert gives is None or [value.shape for _, value in found] == list(gives)
        return predict.fetches(made, output_filter)

    return replay


def fill(body: Mapping[str, Any], **inputs: int) -> Callable[[], object]:
    return lambda: read_predict(json.dumps(body).encode(), lambda _: inputs)


def values(body: Mapping[str, Any], expected: Sequence[float], **inputs: int) -> Any:
    """The same, and what was read."""

    def replay() -> object:
        (read,) = read_predict(json.dumps(body).encode(), lambda _: inputs).inputs.values()
        assert read.values.tolist() == list(expected)
        return read

    return replay


def make(form: Format, expected: Any = None, **tensors: Tensor) -> Callable[[], object]:
    def replay() -> object:
        made = json.loads(tensors_json(tensors, form))
        assert expected is None or made == expected
        return made

    return replay


def examples(rules: Any, count: int, result: Any, outputs: Mapping[str, Tensor]) -> Any:
    """Classify or Regress with a session that gives these outputs."""

    def replay() -> object:
        sig = signature({"inputs": tensor("string")}, {key: tensor() for key in outputs})
        made, found = definition(sig), result()
        rules.tensor_names(made, check_method=False)
        named = {f"outputs/{key}:0": value for key, value in outputs.items()}
        rules.fill_result(made, count, named, found)
        return found

    return replay


def numbers(shape: tuple[int, ...], dtype: int = T.DT_FLOAT, kind: str = "<f4") -> Tensor:
    """Ones of a shape."""
    return Tensor(dtype, shape, np.ones(int(np.prod(shape, dtype=int)), kind))


def texts(shape: tuple[int, ...]) -> Tensor:
    """Strings of a shape."""
    return Tensor(T.DT_STRING, shape, [b"hello"] * int(np.prod(shape, dtype=int)))


CLASSES, REGRESSIONS = (
    protos.classification_pb2.ClassificationResult,
    protos.regression_pb2.RegressionResult,
)
