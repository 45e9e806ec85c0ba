"""Tensors and results become the JSON that TensorFlow Serving writes.

Vectors: tensorflow_serving/util/json_tensor_test.cc (FromJson… and Make… tests, named in each
case). The byte layout is that of RapidJSON's PrettyWriter as json_tensor.cc drives it.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from tensorflow_serving_compatible import protos
from tensorflow_serving_compatible.errors import Code, StatusError
from tensorflow_serving_compatible.json_result import (
    classification_json,
    error_json,
    regression_json,
    tensors_json,
)
from tensorflow_serving_compatible.json_text import debug_text, decimals, double_text
from tensorflow_serving_compatible.tensors import Tensor

types = protos.types_pb2
KINDS = {
    types.DT_INT32: "i4", types.DT_FLOAT: "f4", types.DT_DOUBLE: "f8", types.DT_UINT64: "u8",
    types.DT_BOOL: "?", types.DT_COMPLEX64: "c8",
}  # fmt: skip


def ints(shape, values):
    return tensor(types.DT_INT32, shape, values)


def tensor(dtype, shape, values):
    if dtype == types.DT_STRING:
        return Tensor(dtype, shape, values)
    return Tensor(dtype, shape, np.array(values, KINDS[dtype]))


def strings(shape, values):
    return tensor(types.DT_STRING, shape, values)


TWELVE = ints((2, 3, 2), [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2])
NESTED = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
B64 = [[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]
FOUR = strings((2, 2), [b"hello", b"world", b"tf", b"serving"])
MANY = {
    "int_tensor": TWELVE,
    "str_tensor": strings((2, 2), [b"foo", b"bar", b"baz", b"bat"]),
    "float_tensor": tensor(types.DT_FLOAT, (2, 1), [1.0, 2.0]),
    "double_scalar_tensor": tensor(types.DT_DOUBLE, (2,), [8.0, 9.0]),
    "str_tensor_bytes": FOUR,
}
MANY_COLUMNS = {
    "double_scalar_tensor": [8.0, 9.0], "float_tensor": [[1.0], [2.0]], "int_tensor": NESTED,
    "str_tensor": [["foo", "bar"], ["baz", "bat"]], "str_tensor_bytes": B64,
}  # fmt: skip
MANY_ROWS = [{name: column[row] for name, column in MANY_COLUMNS.items()} for row in (0, 1)]


@pytest.mark.parametrize(
    ("tensors", "rows", "columns"),
    [
        pytest.param({"int_tensor": TWELVE}, NESTED, NESTED, id="FromJsonSingleTensor"),
        pytest.param({"int_tensor": ints((5,), [1, 2, 3, 4, 5])}, [1, 2, 3, 4, 5],
                     [1, 2, 3, 4, 5], id="FromJsonSingleScalarTensor"),
        pytest.param({"str_tensor_bytes": FOUR}, B64, B64, id="FromJsonSingleBytesTensor"),
        pytest.param(MANY, MANY_ROWS, MANY_COLUMNS, id="FromJsonMultipleNamedTensors"),
        pytest.param({"int_tensor": ints((0, 2), [])}, [], [],
                     id="FromJsonSingleZeroBatchTensor"),
        pytest.param({"a": strings((0, 1, 2), []), "b": ints((0, 3, 4), [])}, [],
                     {"a": [], "b": []}, id="FromJsonMultipleZeroBatchTensors"),
        pytest.param({"a": ints((2, 0), [])}, [[], []], [[], []], id="EmptyRows"),
        pytest.param({"a": ints((1, 2, 0, 3), [])}, [[[], []]], [[[], []]], id="EmptyInside"),
        pytest.param({"a": tensor(types.DT_UINT64, (1,), [2**64 - 1])}, [2**64 - 1],
                     [2**64 - 1], id="Uint64"),
        pytest.param({"a": tensor(types.DT_BOOL, (2,), [True, False])}, [True, False],
                     [True, False], id="Bool"),
    ],
)  # fmt: skip
def test_tensors(tensors, rows, columns):
    assert json.loads(tensors_json(tensors, "row")) == {"predictions": rows}
    assert json.loads(tensors_json(tensors, "columnar")) == {"outputs": columns}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        pytest.param([9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5],
                     ["9e+06", "999999.0", "0.5", "0.0003", "3e-05", "555557.5"],
                     id="FromJsonSingleFloatTensorSixDigitPrecision"),
        pytest.param([float("nan"), float("inf"), 3, -float("inf")],
                     ["NaN", "Infinity", "3.0", "-Infinity"],
                     id="FromJsonSingleFloatTensorNonFinite"),
        pytest.param([0.2, 1234567.0, 1 / 3], ["0.2", "1234567.0", "0.333333343"],
                     id="FullPrecisionWhereSixDigitsDoNotRoundTrip"),
    ],
)  # fmt: skip
def test_floats(values, texts):
    assert decimals(np.array(values, "f4")) == texts


def test_doubles_have_up_to_seventeen_digits():
    assert decimals(np.array([0.1, 1 / 3])) == ["0.1", "0.33333333333333331"]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        pytest.param({}, "Cannot convert empty tensor map to JSON", id="FromJsonSingleTensorErrors"),
        pytest.param({"tensor": tensor(types.DT_COMPLEX64, (2,), [1, 2])},
                     "Failed to write JSON value for tensor type: complex64", id="Complex"),
        pytest.param({"tensor": ints((), [1])},
                     "Tensor name: tensor has no shape information ", id="Scalar"),
        pytest.param({"int_tensor": ints((2, 3), range(6)), "str_tensor": strings((1, 3), [b""] * 3)},
                     "Tensor name: str_tensor has inconsistent batch size: 1 expecting: 2",
                     id="FromJsonMultipleNamedTensorsErrors"),
        pytest.param({"int_tensor": ints((0, 2), []), "str_tensor": strings((1, 2), [b"", b""])},
                     "has inconsistent batch size: 1 expecting: 0",
                     id="FromJsonMultipleZeroBatchTensorsErrors"),
    ],
)  # fmt: skip
def test_refused(tensors, words):
    with pytest.raises(StatusError) as caught:
        tensors_json(tensors, "row")
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert words in caught.value.message


def test_layout():
    """kFormatSingleLineArray is on for the values of a row and off around them."""
    floats = tensor(types.DT_FLOAT, (2, 2), [1, 2.5, 3, 4])
    assert tensors_json({"y": floats}, "row") == (
        '{\n    "predictions": [[1.0, 2.5], [3.0, 4.0]\n    ]\n}'
    )
    assert tensors_json({"y": floats, "z": ints((2,), [1, 2])}, "row") == (
        '{\n    "predictions": [\n        {\n            "y": [1.0, 2.5],\n            "z": 1\n'
        '        },\n        {\n            "y": [3.0, 4.0],\n            "z": 2\n        }\n'
        "    ]\n}"
    )
    assert tensors_json({"y": ints((2,), [1, 2])}, "columnar") == (
        '{\n    "outputs": [\n        1,\n        2\n    ]\n}'
    )
    assert error_json('a "b"\n\u00e9') == '{\n    "error": "a \\"b\\"\\n\u00e9"\n}'


def classification(*rows):
    result = protos.classification_pb2.ClassificationResult()
    for row in rows:
        entry = result.classifications.add()
        for label, score in row:
            entry.classes.add(label=label, score=score)
    return result


def test_classifications():
    """MakeJsonFromClassificationResult, …Errors of ClassifyRegressResultTest."""
    result = classification(
        [("label1", 0.9), ("label2", 9000000), ("label3", float("nan"))], [("label2", 0.2)]
    )
    assert classification_json(result) == (
        '{\n    "results": [[["label1", 0.9], ["label2", 9e+06], ["label3", NaN]], '
        '[["label2", 0.2]]\n    ]\n}'
    )
    with pytest.raises(StatusError, match="Cannot convert empty ClassificationResults to JSON"):
        classification_json(classification())


def test_regressions():
    """MakeJsonFromRegressionResult, …Errors."""
    result = protos.regression_pb2.RegressionResult()
    for value in (0.9, 0.0, 9000000):
        result.regressions.add(value=value)
    assert regression_json(result) == '{\n    "results": [0.9, 0.0, 9e+06]\n}'
    with pytest.raises(StatusError, match="Cannot convert empty RegressionResults to JSON"):
        regression_json(protos.regression_pb2.RegressionResult())


# Prettify of include/rapidjson/internal/dtoa.h, which quoted values go through.
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.5, "1.5"), (100.0, "100.0"), (1e20, "1" + "0" * 20 + ".0"),
        (1e21, "1e21"), (1.5e30, "1.5e30"), (0.001, "0.001"), (1e-6, "0.000001"), (1e-7, "1e-7"),
        (123456789.125, "123456789.125"), (-2.5e-9, "-2.5e-9"),
    ],
)  # fmt: skip
def test_quoted_doubles(value, text):
    assert double_text(value) == text


def test_quoted_values():
    value = {"a": [1, [True, None]], "b": {}, "c": {"d": "\x01/"}}
    assert debug_text(value) == (
        '{\n    "a": [1, [true, null]],\n    "b": {},\n    "c": {\n        "d": "\\u0001/"\n    }\n}'
    )
    # Double() refuses what JSON has no token for, which ends the quotation.
    assert debug_text([1, float("nan"), 2]) == "[1"
