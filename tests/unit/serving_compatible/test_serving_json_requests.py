"""JSON predict, classify and regress requests become the tensors TensorFlow Serving makes of them.

Vectors: tensorflow_serving/util/json_tensor_test.cc; each case carries the name of its test there.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tensorflow_serving_compatible import protos
from tensorflow_serving_compatible.errors import Code, StatusError
from tensorflow_serving_compatible.json_example import fill_request
from tensorflow_serving_compatible.json_tensor import read_predict, unescape_base64

types = protos.types_pb2
INT32, FLOAT, DOUBLE, STRING = types.DT_INT32, types.DT_FLOAT, types.DT_DOUBLE, types.DT_STRING
ONE_INT = {"default": INT32}


def read(body, infos):
    content = body if isinstance(body, bytes) else body.encode()
    return read_predict(content, lambda _: infos)


def values(tensor):
    return tensor.values if tensor.dtype == STRING else tensor.values.tolist()


HELLO, WORLD = '{"b64": "aGVsbG8="}', '{"b64": "d29ybGQ="}'

# (test, body, inputs, {name: (shape, values)}, format)
ACCEPTED = [
    ("SingleUnnamedTensor", '{"instances": [[1,2],[3,4],[5,6]]}', ONE_INT,
     {"default": ((3, 2), [1, 2, 3, 4, 5, 6])}, "row"),
    ("MixedInputForFloatTensor", '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}',
     {"default": FLOAT},
     {"default": ((7,), np.float32([1, 2, 3, 4, 5.003, 0.007, 0]).tolist())}, "row"),
    ("MixedInputForDoubleTensor", '{"instances": [1.0, 2, 3, 4, 0.662, 0, 0.0]}',
     {"default": DOUBLE}, {"default": ((7,), [1, 2, 3, 4, 0.662, 0, 0])}, "row"),
    ("FloatTensorWithPrecisionLoss", '{"instances": [1435774380]}', {"default": FLOAT},
     {"default": ((1,), [float(np.float32(1435774380))])}, "row"),
    ("FloatTensorWithPrecisionLoss", '{"instances": [1435774380.0]}', {"default": FLOAT},
     {"default": ((1,), [float(np.float32(1435774380))])}, "row"),
    ("FloatTensorThatExceedsMaxReturnsInf", '{"instances": [1.7976931348623157e308]}',
     {"default": FLOAT}, {"default": ((1,), [math.inf])}, "row"),
    ("FloatTensorThatExceedsMaxReturnsInf", '{"instances": [-1.7976931348623157e308]}',
     {"default": FLOAT}, {"default": ((1,), [-math.inf])}, "row"),
    ("FloatTensorThatExceedsMinReturnsZero", '{"instances": [2.2250738585072014e-308]}',
     {"default": FLOAT}, {"default": ((1,), [0.0])}, "row"),
    ("TensorFromNonNullTerminatedBuffer", '{"instances": [[1,2],[3,4],[5,6]]}X', ONE_INT,
     {"default": ((3, 2), [1, 2, 3, 4, 5, 6])}, "row"),
    ("SingleUnnamedTensorBase64Scalars", f'{{"instances": [{HELLO}, {WORLD}]}}',
     {"default": STRING}, {"default": ((2,), [b"hello", b"world"])}, "row"),
    ("SingleUnnamedTensorBase64Lists", f'{{"instances": [[{HELLO}], [{WORLD}]]}}',
     {"default": STRING}, {"default": ((2, 1), [b"hello", b"world"])}, "row"),
    ("SingleNamedTensorBase64", f'{{"instances": [{{"default": [[{HELLO}], [{WORLD}]]}}]}}',
     {"default": STRING}, {"default": ((1, 2, 1), [b"hello", b"world"])}, "row"),
    ("SingleUnnamedTensorColumnarFormat",
     '{"inputs": {"int_tensor": [[[1,2],[3,4],[5,6]]]}}', {"int_tensor": INT32},
     {"int_tensor": ((1, 3, 2), [1, 2, 3, 4, 5, 6])}, "columnar"),
    ("SingleUnnamedTensorColumnarFormat", '{"inputs": [[[1,2],[3,4],[5,6]]]}',
     {"int_tensor": INT32}, {"int_tensor": ((1, 3, 2), [1, 2, 3, 4, 5, 6])}, "columnar"),
    ("MultipleNamedTensorColumnarFormat",
     '{"inputs": {"int_tensor": [[[1,2],[3,4],[5,6]]], "str_tensor": ["foo", "bar"], '
     f'"bin_tensor": {HELLO}}}}}',
     {"int_tensor": INT32, "str_tensor": STRING, "bin_tensor": STRING},
     {"int_tensor": ((1, 3, 2), [1, 2, 3, 4, 5, 6]), "str_tensor": ((2,), [b"foo", b"bar"]),
      "bin_tensor": ((), [b"hello"])}, "columnar"),
    # Not in the tests there, but in the code: what FindMember and the loops do.
    ("ExtraColumnsAreIgnored", '{"inputs": {"default": [1], "other": [2]}}', ONE_INT,
     {"default": ((1,), [1])}, "columnar"),
    ("EmptyRows", '{"instances": [[], []]}', ONE_INT, {"default": ((2, 0), [])}, "row"),
    ("NarrowIntegersWrap", '{"instances": [300]}', {"default": types.DT_UINT8},
     {"default": ((1,), [44])}, "row"),
    ("TheFirstOfTwoInputsCounts", '{"inputs": {"default": [1], "default": [2]}}', ONE_INT,
     {"default": ((1,), [1])}, "columnar"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "infos", "expected", "form"), [case[1:] for case in ACCEPTED],
    ids=[f"{case[0]}-{number}" for number, case in enumerate(ACCEPTED)],
)  # fmt: skip
def test_accepted(body, infos, expected, form):
    request = read(body, infos)
    found = {name: (tensor.shape, values(tensor)) for name, tensor in request.inputs.items()}
    assert found == expected
    assert {name: tensor.dtype for name, tensor in request.inputs.items()} == infos
    assert request.format == form


def test_single_unnamed_tensor_with_signature():
    body = '{"signature_name": "predict_images", "instances": [[1,2]]}'
    assert read(body, ONE_INT).signature_name == "predict_images"


def test_multiple_named_tensor():
    body = """{"instances": [
        {"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo", "bar"],
         "float_tensor": [1.0, NaN], "dbl_tensor": [NaN]},
        {"int_tensor": [[7,8],[9,0],[1,2]], "str_tensor": ["baz", "bat"],
         "float_tensor": [2.0, Infinity], "dbl_tensor": [2.0]}]}"""
    infos = {"int_tensor": INT32, "str_tensor": STRING, "float_tensor": FLOAT,
             "dbl_tensor": DOUBLE}  # fmt: skip
    found = read(body, infos).inputs
    assert found["int_tensor"].shape == (2, 3, 2)
    assert values(found["int_tensor"]) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert found["str_tensor"].values == [b"foo", b"bar", b"baz", b"bat"]
    assert found["float_tensor"].shape == (2, 2)
    np.testing.assert_array_equal(found["float_tensor"].values, np.float32([1, np.nan, 2, np.inf]))
    np.testing.assert_array_equal(found["dbl_tensor"].values, [np.nan, 2.0])


def test_deeply_nested_well_formed():
    depth = 500_000
    body = b'{"instances":[1], "nested":' + b"[" * depth + b"]" * depth + b"}"
    assert values(read(body, ONE_INT).inputs["default"]) == [1]


def test_deeply_nested_malformed():
    depth = 500_000
    body = b'{"signature_name":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(StatusError, match="key must be a string value"):
        read(body, ONE_INT)


TWO = {"int_tensor": INT32, "str_tensor": STRING}
ROW = '"int_tensor": [[1,2],[3,4],[5,6]], "str_tensor": ["foo", "bar"]'

# (test, body, inputs, words); the middle of each message is the vector's, the rest the code's.
REFUSED = [
    ("SingleUnnamedTensorErrors", "", ONE_INT, "JSON Parse error: The document is empty"),
    ("SingleUnnamedTensorErrors", '{"signature_name": 5, "instances": [[1,2],[3,4],[5,6,7]]}',
     ONE_INT, "'signature_name' key must be a string value."),
    ("SingleUnnamedTensorErrors", '{"instances": [[1,2]], "inputs": [[1,2]]}', ONE_INT,
     "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
    ("SingleUnnamedTensorErrors", '{"instances": [[1,2],[3,4],[5,6,7]]}', ONE_INT,
     "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: "
     "Expecting tensor size: 2 but got: 3"),
    ("SingleUnnamedTensorErrors", '{"instances": [[1,2],[3,4],[[5,6]]]}', ONE_INT,
     "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: "
     "Expecting shape [2] but got: [1,2]"),
    ("SingleUnnamedTensorErrors", '{"instances": [1, [1]]}', ONE_INT,
     "Expecting shape [] but got: [1]"),
    ("SingleUnnamedTensorErrors", '{"instances": [[1,2],["a", "b"]]}', ONE_INT,
     'JSON Value: "a" Type: String is not of expected type: int32'),
    ("MultipleNamedTensorErrors",
     f'{{"instances": [{{{ROW}}}, '
     '{"int_tensor": [[[7,8],[9,0],[1,2]]], "str_tensor": ["baz", "bat"]}]}', TWO,
     "Failed to process element: 1 key: int_tensor of 'instances' list. Error: "
     "INVALID_ARGUMENT: Expecting shape [3,2] but got: [1,3,2]"),
    ("MultipleNamedTensorErrors",
     '{"instances": [{"int_tensor": [[1,2],[3,4],[5,6],[7,8]], "str_tensor": ["foo", "bar"]}, '
     f"{{{ROW}}}]}}", TWO, "Expecting tensor size: 8 but got: 6"),
    ("MultipleNamedTensorErrors", f'{{"instances": [{{{ROW}}}, [1, 20, 30]]}}', TWO,
     "Expecting object but got list at item 1 of input list"),
    ("MultipleNamedTensorErrors",
     '{"instances": [["baz", "bar"], {"str_tensor": ["baz", "bat"]}]}', {"str_tensor": STRING},
     "Expecting value/list but got object at item 1 of input list"),
    # Refusals of the code that its tests do not reach.
    ("ParseJson", "[1]", ONE_INT, "JSON Value: [1] Is not object"),
    ("FillPredictRequestFromJson", '{"a": 1}', ONE_INT, "Missing 'inputs' or 'instances' key"),
    ("FillPredictRequestFromJson", '{"instances": 1}', ONE_INT,
     'JSON Value: {\n    "instances": 1\n} Expecting \'instances\' to be an list/array'),
    ("FillPredictRequestFromJson", '{"instances": []}', ONE_INT, "No values in 'instances' array"),
    ("FillPredictRequestFromJson", '{"instances": [1]}', {},
     "Failed to get input map for signature: DEFAULT"),
    ("FillTensorMapFromInstancesList", '{"instances": [1]}', TWO,
     "instances is a plain list, but expecting list of objects as multiple input tensors "
     "required as per tensorinfo_map"),
    ("FillTensorMapFromInstancesList", '{"instances": [{"int_tensor": 1}]}', TWO,
     "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"int_tensor\": 1\n} "
     "keys must be equal to: int_tensor,str_tensor"),
    ("AddInstanceItem", '{"instances": [{"other": 1}]}', ONE_INT,
     "Failed to process element: 0 key: other of 'instances' list. Error: INVALID_ARGUMENT: "
     "JSON object: does not have named input: other"),
    ("FillTensorMapFromInputsMap", '{"inputs": [1]}', TWO,
     "inputs is a plain value/list, but expecting an object as multiple input tensors required "
     "as per tensorinfo_map"),
    ("FillTensorMapFromInputsMap", '{"inputs": {"int_tensor": [1]}}', TWO,
     "Missing named input: str_tensor in 'inputs' object."),
    ("FillTensorProto", '{"inputs": [[1,2],[3]]}', ONE_INT,
     "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    ("FillTensorProto", '{"inputs": [1,[2]]}', ONE_INT,
     "Encountered list at unexpected level: 1 expected < 1"),
    ("FillTensorProto", '{"inputs": [[1],2]}', ONE_INT,
     "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ("AddValueToTensor", '{"inputs": [1.0]}', ONE_INT,
     "JSON Value: 1.0 Type: Number is not of expected type: int32"),
    ("AddValueToTensor", '{"inputs": [2147483648]}', ONE_INT,
     "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
    ("AddValueToTensor", '{"inputs": [true]}', {"default": FLOAT},
     "JSON Value: true Type: True is not of expected type: float"),
    ("AddValueToTensor", '{"inputs": [null]}', {"default": STRING},
     "JSON Value: null Type: Null is not of expected type: string"),
    ("AddValueToTensor", '{"inputs": [{"b64": "YQ=="}]}', ONE_INT,
     'JSON Value: {\n    "b64": "YQ=="\n} Type: Object is not of expected type: int32'),
    ("JsonDecodeBase64Object", '{"inputs": [{"b": "YQ=="}]}', {"default": STRING},
     'JSON Value: {\n    "b": "YQ=="\n} not formatted correctly for base64 data'),
    ("JsonDecodeBase64Object", '{"inputs": [{"b64": "Y"}]}', {"default": STRING},
     "Unable to base64 decode"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "infos", "words"), [case[1:] for case in REFUSED],
    ids=[f"{case[0]}-{number}" for number, case in enumerate(REFUSED)],
)  # fmt: skip
def test_refused(body, infos, words):
    with pytest.raises(StatusError) as caught:
        read(body, infos)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert words in caught.value.message


def test_types_without_a_json_form_are_unimplemented():
    with pytest.raises(StatusError) as caught:
        read('{"inputs": [1]}', {"default": types.DT_HALF})
    assert caught.value.code is Code.UNIMPLEMENTED
    assert caught.value.message == "Conversion of JSON Value: 1 to type: half"


def test_quoted_values_are_cut():
    """kMaxJsonDebugStringBytes: no token is begun after 256 bytes."""
    body = json.dumps({"inputs": ["x" * 20] * 100})
    with pytest.raises(StatusError) as caught:
        read(f'{{"instances": 1, "long": {body}}}', ONE_INT)
    quoted = caught.value.message.removeprefix("JSON Value: ").partition(" Expecting")[0]
    assert 256 <= len(quoted) < 256 + 30


# absl::Base64Unescape, which json_tensor.cc calls.
@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", b""), ("YQ==", b"a"), ("YQ", b"a"), (" Y Q\n==", b"a"), ("YWI=", b"ab"),
        ("YWJj", b"abc"), ("Y", None), ("YQ=", None), ("Y-_=", None), ("YQ==YQ==", None),
        ("====", None),
    ],
)  # fmt: skip
def test_base64(text, content):
    assert unescape_base64(text) == content


REQUESTS = (
    protos.classification_pb2.ClassificationRequest,
    protos.regression_pb2.RegressionRequest,
)


def features(example):
    """{name: list of values} of an Example."""
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
    }


@pytest.mark.parametrize("kind", REQUESTS)
def test_examples_without_context(kind):
    """RequestNoContext."""
    request = kind()
    fill_request(
        b'{"examples": [{"names": ["foo", "bar"], "ratings": [8.0, 9.0], "age": 20},'
        b'{"names": ["baz"], "ratings": 6.0}]}',
        request,
    )
    assert [features(entry) for entry in request.input.example_list.examples] == [
        {"names": [b"foo", b"bar"], "ratings": [8.0, 9.0], "age": [20]},
        {"names": [b"baz"], "ratings": [6.0]},
    ]


@pytest.mark.parametrize("kind", REQUESTS)
def test_examples_with_context_and_signature(kind):
    """RequestWithContextAndSignature."""
    request = kind()
    fill_request(
        b'{"signature_name": "custom_signture", "context": {"query": "pizza", "location": ["sfo"]},'
        b'"examples": [{"names": ["baz", {"b64": "aGVsbG8="}], "intboolmix": [1, true, false]},'
        b'{"names": "bar", "ratings": -Infinity}]}',
        request,
    )
    found = request.input.example_list_with_context
    assert request.model_spec.signature_name == "custom_signture"
    assert features(found.context) == {"query": [b"pizza"], "location": [b"sfo"]}
    assert [features(entry) for entry in found.examples] == [
        {"names": [b"baz", b"hello"], "intboolmix": [1, 1, 0]},
        {"names": [b"bar"], "ratings": [-math.inf]},
    ]


# ClassifyRegressRequestTest.JsonErrors and the code behind it.
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "JSON Parse error: The document is empty"),
        ('{"signature_name": [1], "examples": [{"age": 5}]}', "must be a string value"),
        ('{"signature_name": "x"}',
         "When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": {"names": "bar"}}', "Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "'examples' value is an empty array"),
        ('{"examples": [[1]]}', "Example must be JSON object but got JSON Array"),
        ('{"context": [1], "examples": [{}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"names": [10, null, 30]}]}',
         "Feature: names has element with unexpected JSON type: Null"),
        ('{"examples": [{"names": [[1]]}]}',
         "Feature: names has element with unexpected JSON type: Array"),
        ('{"examples": [{"names": {"a": 1}}]}',
         "Feature: names has element with unexpected JSON type: Object"),
        ('{"examples": [{"names": [10, "bar"]}]}',
         "Unexpected element type in feature: names expecting type: int64"),
        ('{"examples": [{"names": [1, 2.0]}]}',
         "Unexpected element type in feature: names expecting type: int64"),
        ('{"examples": [{"names": [18446744073709551603]}]}',
         "Feature: names has uint64_t element. Only int64_t is supported."),
    ],
)  # fmt: skip
def test_refused_examples(body, words):
    with pytest.raises(StatusError) as caught:
        fill_request(body.encode(), protos.classification_pb2.ClassificationRequest())
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert words in caught.value.message
