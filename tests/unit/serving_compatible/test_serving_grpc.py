"""gRPC against the real process, through the messages of tensorflow-serving-api.

Vectors: servables/tensorflow/predict_util_test.cc, multi_inference_test.cc,
get_model_metadata_impl_test.cc, model_servers/get_model_status_impl_test.cc and
model_servers/tensorflow_model_server_test.py of TensorFlow Serving.
"""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from tensorflow_serving_compatible import protos
from tensorflow_serving_compatible.tensors import Tensor, from_proto, new_proto

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
FLOAT, DOUBLE, STRING, BOOL, HALF = (
    protos.types_pb2.DT_FLOAT, protos.types_pb2.DT_DOUBLE, protos.types_pb2.DT_STRING,
    protos.types_pb2.DT_BOOL, protos.types_pb2.DT_HALF,
)  # fmt: skip
KINDS = {FLOAT: "f4", DOUBLE: "f8", BOOL: "?", HALF: "u2"}


def tensor(values, dtype=FLOAT):
    if dtype == STRING:
        return new_proto(Tensor(STRING, (len(values),), values))
    array = np.array(values, KINDS[dtype])
    return new_proto(Tensor(dtype, array.shape, array.ravel()))


def predict_request(model_spec, inputs, output_filter=()):
    request = protos.predict_pb2.PredictRequest(
        model_spec=model_spec, output_filter=list(output_filter)
    )
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value)
    return request


def predict(server, model_spec, inputs, output_filter=()):
    request = predict_request(model_spec, inputs, output_filter)
    return server.call(f"{PREDICTION}/Predict", request, protos.predict_pb2.PredictResponse)


def refused(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def example_request(kind, model_spec, values):
    request = kind(model_spec=model_spec)
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return request


def check_spec(found, name, signature, version):
    assert (found.name, found.signature_name, found.version.value) == (name, signature, version)


# PredictionSuccess, PredictionWithNamedRegressionSignature, …ClassificationSignature.
@pytest.mark.parametrize(
    ("signature", "key", "output", "value", "expected"),
    [
        ("", "x", "y", 2.0, 3.0),
        ("serving_default", "x", "y", 2.0, 3.0),
        ("regress_x2_to_y3", "inputs", "outputs", 2.0, 4.0),
        ("classify_x2_to_y3", "inputs", "scores", 2.0, 4.0),
    ],
)
def test_predict(server, spec, signature, key, output, value, expected):
    response = predict(server, spec("half", signature, version=123), {key: tensor([[value]])})
    check_spec(response.model_spec, "half", signature or "serving_default", 123)
    assert list(response.outputs) == [output]
    assert response.outputs[output].float_val == [expected]
    assert [dim.size for dim in response.outputs[output].tensor_shape.dim] == [1, 1]


INVALID, FAILED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION


# The failing cases of predict_util_test.cc, under their names there.
@pytest.mark.parametrize(
    ("inputs", "output_filter", "code", "text"),
    [
        pytest.param({}, (), INVALID,
                     "input size does not match signature: 0!=1 len({}) != len({x}). "
                     "Sent extra: {}. Missing but required: {x}.", id="EmptyInputList"),
        pytest.param({"unknown_key1": [1.0], "unknown_key2": [1.0]}, (), INVALID,
                     "Sent extra: {unknown_key1,unknown_key2}. Missing but required: {x}.",
                     id="InputTensorsDontMatchModelSpecInputs"),
        pytest.param({"key": [1.0]}, (), INVALID, "Signature input alias: x(feed name: x:0) not "
                     "found in request and no default value provided.", id="OneUnknownName"),
        pytest.param({"x": ([True], BOOL)}, (), INVALID,
                     "Expects arg[0] to be float but bool is provided",
                     id="PredictionInvalidTensor"),
        pytest.param({"x": ([1.0], DOUBLE)}, (), INVALID,
                     "Expects arg[0] to be float but double is provided", id="Double"),
        pytest.param({"x": ([b"a"], STRING)}, (), INVALID,
                     "to be float but string is provided", id="InputTensorsHaveWrongType"),
        pytest.param({"x": [1.0]}, ("output_filter",), INVALID,
                     "output tensor alias not found in signature: output_filter Outputs expected "
                     "to be in the set {y}.", id="OutputFiltersDontMatchModelSpecOutputs"),
        pytest.param({"x": [1.0]}, ("y", "y"), INVALID, "duplicate output tensor alias: y",
                     id="DuplicateOutputFilter"),
    ],
)  # fmt: skip
def test_predict_refusals(server, spec, inputs, output_filter, code, text):
    given = {
        name: tensor(*value) if isinstance(value, tuple) else tensor(value)
        for name, value in inputs.items()
    }
    found, details = refused(lambda: predict(server, spec("half"), given, output_filter))
    assert found == code
    assert text in details


# MissingOrEmptyModelSpec, ModelMissingSignatures; server_core.cc for names and labels.
@pytest.mark.parametrize(
    ("build", "code", "text"),
    [
        (lambda _: None, INVALID, "Missing ModelSpec"),
        (lambda spec: spec(""), INVALID, "ModelSpec has no name specified."),
        (lambda spec: spec("test"), grpc.StatusCode.NOT_FOUND,
         "Servable not found for request: Latest(test)"),
        (lambda spec: spec("half", version=5), grpc.StatusCode.NOT_FOUND,
         "Servable not found for request: Specific(half, 5)"),
        (lambda spec: spec("half", label="no"), INVALID,
         "Unrecognized servable version label: no"),
        (lambda spec: spec("half", "no"), FAILED, 'Serving signature key "no" not found.'),
    ],
)  # fmt: skip
def test_model_spec(server, spec, build, code, text):
    request = protos.predict_pb2.PredictRequest(model_spec=build(spec))
    request.inputs["x"].CopyFrom(tensor([1.0]))
    call = f"{PREDICTION}/Predict"
    found, details = refused(lambda: server.call(call, request, protos.predict_pb2.PredictResponse))
    assert (found, details) == (code, text)


def test_labels_choose_the_version(server, spec):
    response = predict(server, spec("half", label="stable"), {"x": tensor([2.0])})
    assert response.outputs["y"].float_val == [3.0]
    assert response.model_spec.version.value == 123


def test_a_default_fills_in_for_a_missing_input(server, spec):
    alone = predict(server, spec("defaulted"), {"x": tensor([1.0, 2.0])})
    assert next(iter(alone.outputs.values())).float_val == [10.0, 20.0]
    both = predict(server, spec("defaulted"), {"x": tensor([1.0]), "factor": tensor(3.0)})
    assert next(iter(both.outputs.values())).float_val == [3.0]


def test_half_precision_passes_through_as_bits(server, spec):
    bits = [15360, 49152]  # 1.0 and -2.0
    response = predict(server, spec("zoo", "half"), {"x": tensor(bits, HALF)})
    assert list(response.outputs["y"].half_val) == bits


def test_strings_of_any_length_and_content(server, spec):
    texts = [b"", b"\x00\xff", b"x" * 100_000]
    inputs = {"text": tensor(texts, STRING)}
    inputs["count"] = new_proto(Tensor(protos.types_pb2.DT_INT64, (3,), np.array([1, 2, 3], "i8")))
    response = predict(server, spec("zoo", "two"), inputs)
    assert list(response.outputs["joined_bytes"].string_val) == [
        text + str(number).encode() for number, text in enumerate(texts, 1)
    ]
    assert list(response.outputs["next"].int64_val) == [2, 3, 4]


def test_messages_of_twenty_mebibytes(server, spec):
    array = np.full((6, 1_000_000), 0.5, "f4")
    message = protos.tensor_pb2.TensorProto(dtype=FLOAT, tensor_content=array.tobytes())
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    response = predict(server, spec("zoo"), {"x": message})
    assert from_proto(response.outputs["sum"]).values.tolist() == [500_000.0] * 6


def test_python_ops_have_no_kernel(server, spec):
    code, details = refused(lambda: predict(server, spec("zoo", "python"), {"x": tensor([1.0])}))
    assert code == INVALID
    assert details.startswith("No OpKernel was registered to support Op 'EagerPyFunc' used by")


def test_long_messages_are_cut(server, spec):
    """grpc_status_util.cc: 1024 characters and a mark."""
    names = {f"key_{number:04}": tensor([1.0]) for number in range(400)}
    _, details = refused(lambda: predict(server, spec("half"), names))
    assert len(details) == 1024 + len("...TRUNCATED")
    assert details.endswith("...TRUNCATED")


# tensorflow_model_server_test.py: testClassify, testRegress.
def test_classify_and_regress(server, spec):
    request = example_request(
        protos.classification_pb2.ClassificationRequest,
        spec("half", "classify_x_to_y", version=123), [2.0],
    )  # fmt: skip
    response = server.call(f"{PREDICTION}/Classify", request,
                           protos.classification_pb2.ClassificationResponse)  # fmt: skip
    assert [c.score for c in response.result.classifications[0].classes] == [3.0]
    check_spec(response.model_spec, "half", "classify_x_to_y", 123)

    request = example_request(
        protos.regression_pb2.RegressionRequest, spec("half", "regress_x_to_y", version=123),
        [2.0, 4.0],
    )  # fmt: skip
    response = server.call(f"{PREDICTION}/Regress", request,
                           protos.regression_pb2.RegressionResponse)  # fmt: skip
    assert [entry.value for entry in response.result.regressions] == [3.0, 4.0]
    check_spec(response.model_spec, "half", "regress_x_to_y", 123)


def test_an_empty_input_is_refused(server, spec):
    """classifier_test.cc, regressor_test.cc: EmptyInput."""
    request = protos.regression_pb2.RegressionRequest(model_spec=spec("half", "regress_x_to_y"))
    call = f"{PREDICTION}/Regress"
    code, details = refused(
        lambda: server.call(call, request, protos.regression_pb2.RegressionResponse)
    )
    assert (code, details) == (INVALID, "Input is empty.")


def multi_request(spec, *tasks):
    request = protos.inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.CopyFrom(spec(name, signature))
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(2.0)
    return request


REGRESS_TASK = ("half", "regress_x_to_y", "regress")
CLASSIFY_TASK = ("half", "classify_x_to_y", "classify")


def test_multi_inference(server, spec):
    """tensorflow_model_server_test.py: testMultiInference."""
    response = server.call(
        f"{PREDICTION}/MultiInference", multi_request(spec, REGRESS_TASK, CLASSIFY_TASK),
        protos.inference_pb2.MultiInferenceResponse,
    )  # fmt: skip
    regress, classify = response.results
    assert regress.regression_result.regressions[0].value == 4.0
    assert classify.classification_result.classifications[0].classes[0].score == 4.0
    check_spec(regress.model_spec, "half", "regress_x_to_y", 124)
    check_spec(classify.model_spec, "half", "classify_x_to_y", 124)


# multi_inference_test.cc.
@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([REGRESS_TASK, REGRESS_TASK], "Duplicate evaluation of signature: regress_x_to_y"),
        ([REGRESS_TASK, ("dense", "x", "regress")],
         "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
        ([REGRESS_TASK, ("", "x", "regress")], "Found ModelSpec with an empty model name."),
        ([("half", "no", "regress")], "Requested signature not found in model graph: no"),
        ([("half", "regress_x_to_y", "predict")],
         "Unsupported signature method_name: tensorflow/serving/predict"),
    ],
)  # fmt: skip
def test_multi_inference_refusals(server, spec, tasks, text):
    request = multi_request(spec, *tasks)
    call = f"{PREDICTION}/MultiInference"
    _, details = refused(
        lambda: server.call(call, request, protos.inference_pb2.MultiInferenceResponse)
    )
    assert details == text


def test_model_status(server, spec):
    def status(model_spec):
        request = protos.get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec)
        kind = protos.get_model_status_pb2.GetModelStatusResponse
        return server.call(f"{MODEL}/GetModelStatus", request, kind)

    found = status(spec("half")).model_version_status
    assert [(entry.version, entry.state, entry.status.error_code) for entry in found] == [
        (124, 30, 0), (123, 30, 0),
    ]  # fmt: skip
    assert len(status(spec("half", version=123)).model_version_status) == 1
    assert refused(lambda: status(None)) == (INVALID, "Missing ModelSpec")
    for missing in (spec("nonexistent_model"), spec("half", version=999)):
        assert refused(lambda spec=missing: status(spec))[0] == grpc.StatusCode.NOT_FOUND


def test_model_metadata(server, spec):
    def metadata(model_spec, *fields):
        request = protos.get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec, metadata_field=fields
        )
        kind = protos.get_model_metadata_pb2.GetModelMetadataResponse
        return server.call(f"{PREDICTION}/GetModelMetadata", request, kind)

    response = metadata(spec("dense"), "signature_def")
    assert (response.model_spec.name, response.model_spec.version.value) == ("dense", 5)
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == FLOAT
    assert refused(lambda: metadata(spec("dense")))[0] == INVALID
    assert refused(lambda: metadata(spec("dense"), "other")) == (
        INVALID, "Metadata field other is not supported",
    )  # fmt: skip
    assert refused(lambda: metadata(spec("no"), "signature_def"))[0] == grpc.StatusCode.NOT_FOUND


def test_a_callers_deadline_ends_the_session_run(server, spec):
    """prediction_service_impl.cc: the deadline becomes the run's timeout."""
    request = predict_request(spec("zoo", "slow"), {})
    rounds = Tensor(protos.types_pb2.DT_INT32, (1,), np.array([50_000_000], "i4"))
    request.inputs["rounds"].CopyFrom(new_proto(rounds))
    call = f"{PREDICTION}/Predict"
    with pytest.raises(grpc.RpcError) as caught:
        server.call(call, request, protos.predict_pb2.PredictResponse, timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    # The run has ended too: the same threads answer the next call.
    assert predict(server, spec("half"), {"x": tensor([2.0])}).outputs["y"].float_val == [4.0]


def test_health(server):
    """server.cc sets these two names besides the server's own."""

    def check(name):
        request = protos.HealthCheckRequest(service=name)
        return server.call("grpc.health.v1.Health/Check", request, protos.HealthCheckResponse)

    for name in ("", "ModelService", "PredictionService"):
        assert check(name).status == 1
    assert refused(lambda: check("other"))[0] == grpc.StatusCode.NOT_FOUND
