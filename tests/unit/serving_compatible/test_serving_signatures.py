"""Signatures, outputs and tensors: what classify and regress refuse, how tensors are parsed.

Vectors: servables/tensorflow/classifier_test.cc, regressor_test.cc, predict_util_test.cc,
saved_model_warmup_util_test.cc and batching/batching_session_test.cc; for tensors the rules of
tensorflow/core/framework/tensor.cc (FromProto).
"""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving_compatible import classify, predict, protos, regress
from tensorflow_serving_compatible.errors import Code, StatusError
from tensorflow_serving_compatible.examples import input_tensor
from tensorflow_serving_compatible.tensors import Tensor, from_proto, new_proto, to_proto
from tensorflow_serving_compatible.warmup import masked_crc, records

types = protos.types_pb2
FLOAT, STRING, INT32 = types.DT_FLOAT, types.DT_STRING, types.DT_INT32


def signature(text):
    return text_format.Parse(text, protos.meta_graph_pb2.SignatureDef())


def key(side, name, tensor):
    return f'{side} {{ key: "{name}" value {{ name: "{tensor}:0" }} }}'


def floats(shape, values):
    return Tensor(FLOAT, shape, np.array(values, "f4"))


IN = key("inputs", "inputs", "in")
CLASSES, SCORES = key("outputs", "classes", "c"), key("outputs", "scores", "s")
METHOD = 'method_name: "tensorflow/serving/classify"'


@pytest.mark.parametrize(
    ("text", "check", "found"),
    [
        (IN + CLASSES + SCORES, False, ("in:0", ["c:0", "s:0"])),
        (IN + SCORES, False, ("in:0", ["s:0"])),
        (IN + SCORES + METHOD, True, ("in:0", ["s:0"])),
        (IN + SCORES, True,
         "Expected classification signature method_name to be tensorflow/serving/classify. Was: "),
        (IN + key("inputs", "more", "m") + SCORES, False, "Expected one input Tensor."),
        (IN, False, "Expected one or two output Tensors, found 0"),
        (key("inputs", "x", "x") + SCORES, False,
         "No classification inputs found in SignatureDef: "),
        (IN + key("outputs", "y", "y"), False,
         "Expected classification signature outputs to contain at least one of"),
    ],
)  # fmt: skip
def test_classification_signatures(text, check, found):
    def names():
        return classify.tensor_names(signature(text), check_method=check)

    if isinstance(found, tuple):
        assert names() == found
    else:
        with pytest.raises(StatusError) as caught:
            names()
        assert caught.value.message.startswith(found)


BOTH = IN + CLASSES + SCORES
LABELS = Tensor(STRING, (2, 2), [b"a", b"b", b"c", b"d"])
NUMBERS = floats((2, 2), [1, 2, 3, 4])


# classifier_test.cc: UnexpectedOutputTensorSize, …Type, MismatchedNumberOfTensorColumns, ….
@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"c:0": LABELS, "s:0": floats((2,), [1, 2])},
         "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"c:0": floats((2, 2), [1] * 4), "s:0": NUMBERS},
         "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"c:0": LABELS, "s:0": LABELS}, "Expected scores Tensor of DT_FLOAT. Got: DT_STRING"),
        ({"c:0": Tensor(STRING, (1, 2), [b"a", b"b"]), "s:0": NUMBERS},
         "Expected classes output batch size of 2. Got: 1"),
        ({"c:0": LABELS, "s:0": floats((10, 2), [0] * 20)},
         "Expected scores output batch size of 2. Got: 10"),
        ({"c:0": LABELS, "s:0": floats((2, 3), [0] * 6)},
         "Tensors class and score should match in dim_size(1). Got 2 vs. 3"),
    ],
)  # fmt: skip
def test_classification_outputs_that_are_refused(outputs, words):
    with pytest.raises(StatusError) as caught:
        classify.fill_result(
            signature(BOTH), 2, outputs, protos.classification_pb2.ClassificationResult()
        )
    assert caught.value.message == words


@pytest.mark.parametrize(
    ("text", "outputs", "rows"),
    [
        (BOTH, {"c:0": LABELS, "s:0": NUMBERS},
         [[("a", 1), ("b", 2)], [("c", 3), ("d", 4)]]),
        (IN + CLASSES, {"c:0": LABELS}, [[("a", 0), ("b", 0)], [("c", 0), ("d", 0)]]),
        (IN + SCORES, {"s:0": NUMBERS}, [[("", 1), ("", 2)], [("", 3), ("", 4)]]),
    ],
)  # fmt: skip
def test_classification_results(text, outputs, rows):
    """ExampleList, ClassesOnly, ScoresOnly of classifier_test.cc."""
    result = protos.classification_pb2.ClassificationResult()
    classify.fill_result(signature(text), 2, outputs, result)
    assert [
        [(found.label, found.score) for found in entry.classes] for entry in result.classifications
    ] == rows


REGRESSION = IN + key("outputs", "outputs", "y")


@pytest.mark.parametrize(
    ("text", "check", "words"),
    [
        (REGRESSION, True,
         "Expected regression signature method_name to be tensorflow/serving/regress. Was: "),
        (key("outputs", "outputs", "y"), False, "Expected one input Tensor."),
        (REGRESSION + key("outputs", "z", "z"), False, "Expected one output Tensor."),
        (key("inputs", "x", "x") + key("outputs", "outputs", "y"), False,
         "No regression inputs found in SignatureDef: "),
        (IN + key("outputs", "y", "y"), False, "No regression outputs found in SignatureDef: "),
    ],
)  # fmt: skip
def test_regression_signatures(text, check, words):
    with pytest.raises(StatusError) as caught:
        regress.tensor_names(signature(text), check_method=check)
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (None, "Could not find output tensor 'y:0'"),
        (floats((2, 2), [1] * 4), "Expected output Tensor shape to be either [batch_size] or "
         "[batch_size, 1] but got [2,2]"),
        (floats((), [1]), "but got []"),
        (floats((3,), [1] * 3), "Input batch size did not match output batch size: 2 vs. 3"),
        (Tensor(INT32, (2,), np.array([1, 2], "i4")),
         "Expected output Tensor of DT_FLOAT.  Got: DT_INT32"),
    ],
)  # fmt: skip
def test_regression_outputs_that_are_refused(output, words):
    outputs = {} if output is None else {"y:0": output}
    with pytest.raises(StatusError) as caught:
        regress.fill_result(
            signature(REGRESSION), 2, outputs, protos.regression_pb2.RegressionResult()
        )
    assert words in caught.value.message


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regression_results(shape):
    result = protos.regression_pb2.RegressionResult()
    regress.fill_result(signature(REGRESSION), 2, {"y:0": floats(shape, [2, 3])}, result)
    assert [entry.value for entry in result.regressions] == [2.0, 3.0]


def test_a_context_goes_before_every_example():
    """ExampleListWithContext: the bytes are joined, which merges the messages."""
    source = protos.input_pb2.Input()
    found = source.example_list_with_context
    found.context.features.feature["a"].int64_list.value.append(1)
    for number in (2, 3):
        found.examples.add().features.feature["b"].int64_list.value.append(number)
    tensor = input_tensor(source)
    assert tensor.shape == (2,)
    parsed = [protos.example_pb2.Example.FromString(value) for value in tensor.values]
    assert [sorted(entry.features.feature) for entry in parsed] == [["a", "b"]] * 2


def test_method_names_of_predict():
    """predict_util_test.cc: MethodNameCheck."""
    other = signature(key("inputs", "x", "x") + 'method_name: "other"')
    inputs = {"x": floats((1,), [1])}
    assert predict.feeds(other, inputs, check_method=False)[0][0] == "x:0"
    with pytest.raises(StatusError) as caught:
        predict.feeds(other, inputs, check_method=True)
    assert caught.value.code is Code.INTERNAL
    assert caught.value.message.endswith("Was: other")


def proto(text):
    return text_format.Parse(text, protos.tensor_pb2.TensorProto())


DIM = "tensor_shape { dim { size: 3 } }"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"dtype: DT_FLOAT {DIM} float_val: 1 float_val: 2 float_val: 3", [1, 2, 3]),
        (f"dtype: DT_FLOAT {DIM} float_val: 1 float_val: 2", [1, 2, 2]),
        (f"dtype: DT_FLOAT {DIM}", [0, 0, 0]),
        (f"dtype: DT_INT8 {DIM} int_val: 300 int_val: -1 int_val: 1 int_val: 9", [44, -1, 1]),
        (f'dtype: DT_STRING {DIM} string_val: "a"', [b"a"] * 3),
        (f'dtype: DT_STRING {DIM} tensor_content: "\\001\\000\\002abc"', [b"a", b"", b"bc"]),
        (f'dtype: DT_UINT8 {DIM} tensor_content: "\\001\\002\\003"', [1, 2, 3]),
        (f"dtype: DT_COMPLEX64 {DIM} scomplex_val: 1 scomplex_val: 2", [1 + 2j] * 3),
        ("dtype: DT_BOOL tensor_shape {} bool_val: true", [True]),
        (f'dtype: DT_UINT8 {DIM} tensor_content: "\\001"', None),
        (f'dtype: DT_STRING {DIM} tensor_content: "\\001\\000\\002ab"', None),
        ("dtype: DT_FLOAT tensor_shape { dim { size: -1 } }", None),
        ("dtype: DT_FLOAT tensor_shape { unknown_rank: true }", None),
        (f"dtype: DT_RESOURCE {DIM}", None),
        (DIM, None),
    ],
)  # fmt: skip
def test_tensors_from_their_protocol_form(text, values):
    tensor = from_proto(proto(text))
    if values is None:
        assert tensor is None
    else:
        assert list(tensor.values) == values


@pytest.mark.parametrize(
    "text",
    [
        f"dtype: DT_FLOAT {DIM} float_val: 1 float_val: 2 float_val: 3",
        f'dtype: DT_STRING {DIM} string_val: "a" string_val: "" string_val: "c"',
        f"dtype: DT_COMPLEX64 {DIM} scomplex_val: [1, 2, 3, 4, 5, 6]",
        f"dtype: DT_HALF {DIM} half_val: [15360, 0, 49152]",
        f"dtype: DT_UINT64 {DIM} uint64_val: [18446744073709551615, 0, 1]",
        "dtype: DT_BOOL tensor_shape {} bool_val: true",
    ],
)
def test_tensors_and_back(text):
    tensor = from_proto(proto(text))
    assert new_proto(tensor) == proto(text)
    packed = protos.tensor_pb2.TensorProto()
    to_proto(tensor, packed, as_content=True)
    assert list(from_proto(packed).values) == list(tensor.values)


def test_records_of_a_warm_up_file():
    """saved_model_warmup_util_test.cc: UnsupportedFileFormat; tsl/lib/io/record_writer.cc."""

    def framed(data):
        header = struct.pack("<Q", len(data))
        return header + struct.pack("<I", masked_crc(header)) + data + struct.pack(
            "<I", masked_crc(data)
        )  # fmt: skip

    # The check value of CRC-32C, masked.
    assert masked_crc(b"123456789") == (
        ((0xE3069283 >> 15) | (0xE3069283 << 17) & 0xFFFFFFFF) + 0xA282EAD8
    ) % 2**32  # fmt: skip
    good = framed(b"one") + framed(b"")
    assert list(records(io.BytesIO(good))) == [b"one", b""]
    hint = r" \(Is this even a TFRecord file\?\)"
    for bad, words in (
        (good[:-1], "truncated record at 31"),
        (good[:27], "truncated record at 19"),
        (b"not a record", f"corrupted record at 0{hint}"),
        (b"short", f"truncated record at 0{hint}"),
        (good[:12] + b"One" + good[15:], "corrupted record at 12"),
    ):
        with pytest.raises(StatusError, match=words) as caught:
            list(records(io.BytesIO(bad)))
        assert caught.value.code is Code.DATA_LOSS
