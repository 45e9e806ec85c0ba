"""REST against the real process: answers, refusals and transport.

Vectors: model_servers/http_rest_api_handler_test.cc, model_servers/tensorflow_model_server_test.py
and servables/tensorflow/predict_util_test.cc of TensorFlow Serving, on a model with the formulas
and names of its `saved_model_half_plus_two_2_versions` (version 123: x/2 + 2, 124: x/2 + 3).
"""

from __future__ import annotations

import gzip
import json
import threading

import pytest

from savedmodel_operator.traffic import serving_metrics


def available(version: str) -> dict:
    status = {"error_code": "OK", "error_message": ""}
    return {"version": version, "state": "AVAILABLE", "status": status}


# http_rest_api_handler_test.cc: Predict, Regress, Classify; *_server_test.py: the REST tests.
@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("half/versions/123:predict", {"instances": [[1.0, 2.0], [3.0, 4.0]]},
         {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ("half/versions/123:predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
        ("half/labels/stable:predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
        ("half/versions/123:predict",
         {"signature_name": "serving_default", "instances": [3.0, 4.0]},
         {"predictions": [3.5, 4.0]}),
        ("half/versions/123:predict",
         {"signature_name": "serving_default", "inputs": [3.0, 4.0]}, {"outputs": [3.5, 4.0]}),
        ("half/versions/123:predict", {"instances": [2.0, 3.0, 4.0]},
         {"predictions": [3.0, 3.5, 4.0]}),
        ("half/versions/123:regress",
         {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}, {"results": [42.0]}),
        ("half/labels/stable:classify",
         {"signature_name": "classify_x_to_y", "examples": [{"x": 10.0}]},
         {"results": [[["", 7.0]]]}),
        ("half/versions/123:classify",
         {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]},
         {"results": [[["", 12.0]]]}),
        # Without a version the highest ready one answers.
        ("half:predict", {"instances": [1.0, 2.0]}, {"predictions": [3.5, 4.0]}),
        ("half:regress", {"signature_name": "regress_x_to_y", "context": {"x": 80.0},
                          "examples": [{}, {"x": 2.0}]}, {"results": [43.0, 4.0]}),
        ("dense:predict", {"instances": [[1, 2, 3]]}, {"predictions": [[4.5, 4.5]]}),
        ("zoo:predict", {"signature_name": "two", "instances": [
            {"text": "a", "count": 1}, {"text": "b", "count": 9007199254740993}]},
         {"predictions": [{"joined_bytes": {"b64": "YTE="}, "next": 2},
                          {"joined_bytes": {"b64": "YjkwMDcxOTkyNTQ3NDA5OTM="},
                           "next": 9007199254740994}]}),
        ("zoo:predict", {"signature_name": "scalar", "inputs": [1, 2]}, {"outputs": 3.0}),
        ("defaulted:predict", {"inputs": {"x": [1, 2], "factor": 2}}, {"outputs": [2.0, 4.0]}),
    ],
)  # fmt: skip
def test_answers(server, path, body, answer):
    reply = server.rest("POST", f"/v1/models/{path}", body)
    assert (reply.status, reply.json) == (200, answer)
    assert reply.headers["content-type"] == "application/json"


# UnsupportedApiCalls, PredictModelNameVersionErrors and PredictRequestErrors of the handler test;
# http_server.cc for the HTTP codes; facts of the C++ session for the last group.
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("GET", "/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", b"", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/debug/model_name", None, 400, "Malformed request"),
        ("POST", "/v1/models", b"", 400, "Malformed request"),
        ("GET", "/v1/models/foo:predict", None, 400, "Malformed request"),
        ("POST", "/v1/models/foo/version/50:regress", b"", 400, "Malformed request"),
        ("POST", "/v1/models/foo/versions/HELLO:regress", b"", 400, "Malformed request"),
        ("POST", "/v1/models/foo/versions/18446744073709551615:regress", b"", 400,
         "Failed to convert version: 18446744073709551615 to numeric."),
        ("PUT", "/v1/models/half", b"", 400, "Malformed request: PUT /v1/models/half"),
        ("GET", "/v1/models/half?x=1", None, 404, "Could not find any versions of model half?x=1"),
        ("POST", "/v1/models/foo:predict", b'{"instances": [1]}', 404,
         "Servable not found for request: Latest(foo)"),
        ("POST", "/v1/models/half/versions/99:predict", b'{"instances": [1]}', 404,
         "Servable not found for request: Specific(half, 99)"),
        ("GET", "/v1/models/half/versions/99", None, 404,
         "Could not find version 99 of model half"),
        ("POST", "/v1/models/half:predict", b"", 400, "JSON Parse error: The document is empty"),
        ("POST", "/v1/models/half:predict", b"instances = [1, 2]", 400,
         "JSON Parse error: Invalid value. at offset: 0"),
        ("POST", "/v1/models/half:predict", b'{ "instances": ["x", "y"] }', 400,
         "not of expected type: float"),
        ("POST", "/v1/models/half/labels/none:predict", b'{ "instances": ["x"] }', 400,
         "Unrecognized servable version label: none"),
        ("POST", "/v1/models/half:predict", b'{ "signature_name": 100 }', 400,
         "'signature_name' key must be a string value."),
        ("POST", "/v1/models/half:predict", b'{"signature_name": "no", "instances": [1]}', 400,
         'Serving signature name: "no" not found in signature def'),
        ("POST", "/v1/models/half:classify",
         b'{"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}]}', 400,
         'Expected classification signature outputs to contain at least one of "classes" or '
         '"scores". Signature was: '),
        ("POST", "/v1/models/half:regress", b'{"signature_name": "no", "examples": [{}]}', 400,
         "No signature was found with the name: no"),
        ("POST", "/v1/models/half:regress",
         b'{"signature_name": "regress_x2_to_y3", "examples": [{"x": 1.0}]}', 400,
         "Expects arg[0] to be float but string is provided"),
        ("POST", "/v1/models/zoo:predict", b'{"signature_name": "python", "instances": [1]}', 400,
         "No OpKernel was registered to support Op 'EagerPyFunc'"),
        ("POST", "/v1/models/zoo:predict", b'{"signature_name": "numpy", "instances": [1]}', 400,
         "No OpKernel was registered to support Op 'PyFunc'"),
        # The placeholder's shape [2] is not enforced; the kernel decides.
        ("POST", "/v1/models/zoo:predict",
         b'{"signature_name": "pair", "instances": [1, 2, 3]}', 400,
         "Matrix size-incompatible: In[0]: [2,2], In[1]: [3,1]"),
        ("POST", "/v1/models/zoo:predict", b'{"signature_name": "half", "instances": [1]}', 400,
         "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: half"),
        ("POST", "/v1/models/zoo:predict", b'{"signature_name": "half", "inputs": [1]}', 501,
         "Conversion of JSON Value: 1 to type: half"),
        ("POST", "/v1/models/zoo:predict", b'{"signature_name": "scalar", "instances": [1]}', 400,
         "Tensor name: total has no shape information "),
        # A row needs every input, whether it has a default or not.
        ("POST", "/v1/models/defaulted:predict", b'{"instances": [{"x": 1}]}', 400,
         "keys must be equal to: factor,x"),
        ("POST", "/v1/models/index_gone:predict", b'{"instances": [1]}', 400,
         "Could not find variable "),
    ],
)  # fmt: skip
def test_refusals(server, method, path, body, status, text):
    reply = server.rest(method, path, body)
    assert reply.status == status
    assert text in reply.error


def test_a_path_outside_v1_is_not_found_and_not_json(server):
    reply = server.rest("GET", "/statuspage")
    assert reply.status == 404
    assert reply.headers["content-type"].startswith("text/html")


# GetStatus of the handler test; get_model_status_impl_test.cc.
@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("half", ["124", "123"]),
        ("half/versions/123", ["123"]),
        ("half/labels/stable", ["124", "123"]),  # labels are not read for the status
        ("dense", ["5"]),
    ],
)
def test_status(server, path, versions):
    reply = server.rest("GET", f"/v1/models/{path}")
    assert reply.status == 200
    assert reply.json == {"model_version_status": [available(v) for v in versions]}


def test_metadata(server):
    """Facts: testdata/saved_model_half_plus_two_2_versions_metadata.json."""
    reply = server.rest("GET", "/v1/models/half/labels/stable/metadata")
    column = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
              "unknown_rank": False}  # fmt: skip
    signatures = reply.json["metadata"]["signature_def"]["signature_def"]
    assert reply.status == 200
    assert reply.json["model_spec"] == {"name": "half", "signature_name": "", "version": "123"}
    assert set(signatures) == {
        "serving_default", "regress_x_to_y", "classify_x_to_y", "regress_x2_to_y3",
        "classify_x2_to_y3",
    }  # fmt: skip
    assert signatures["serving_default"] == {
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": column, "name": "x:0"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": column, "name": "y:0"}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert signatures["classify_x_to_y"]["inputs"]["inputs"]["tensor_shape"] == {
        "dim": [], "unknown_rank": True,
    }  # fmt: skip
    assert signatures["regress_x2_to_y3"]["method_name"] == "tensorflow/serving/regress"


def test_metadata_needs_a_ready_version(server):
    assert server.rest("GET", "/v1/models/half/versions/9/metadata").status == 404


def test_row_answers_have_the_layout_of_rapidjson(server):
    reply = server.predict("half/versions/123", {"instances": [1.0, 2.0]})
    assert reply.body == b'{\n    "predictions": [2.5, 3.0\n    ]\n}'


def test_a_connection_serves_many_calls(server):
    connection = server.connect()
    connection.connect()
    sock = connection.sock
    for number in range(5):
        connection.request("POST", "/v1/models/half:predict", json.dumps({"instances": [number]}))
        response = connection.getresponse()
        assert json.loads(response.read()) == {"predictions": [number / 2 + 3]}
        assert connection.sock is sock
    connection.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_both_address_families(server, address):
    import http.client

    connection = http.client.HTTPConnection(address, server.rest_port, timeout=30)
    connection.request("GET", "/v1/models/half")
    assert connection.getresponse().status == 200
    connection.close()


def test_gzip_bodies_are_inflated_and_broken_ones_read_as_empty(server):
    body = json.dumps({"instances": [2.0]}).encode()
    headers = {"Content-Encoding": "gzip"}
    path = "/v1/models/half:predict"
    assert server.rest("POST", path, gzip.compress(body), headers).json == {"predictions": [4.0]}
    broken = server.rest("POST", path, body, headers)
    assert (broken.status, broken.error) == (400, "JSON Parse error: The document is empty")


def test_bodies_of_twenty_mebibytes(server):
    row = b"[" + b",".join([b"0.25000000000000000000"] * 1000) + b"]"
    body = b'{"instances": [' + b",".join([row] * 1000) + b"]}"
    assert len(body) > 20 * 2**20
    reply = server.predict("zoo", body)
    assert reply.status == 200
    assert reply.json["predictions"] == [250.0] * 1000


def test_a_slow_request_does_not_hold_up_others(server):
    """A quick call is answered while a long session run is known to be under way."""
    replies = []
    slow = threading.Thread(
        target=lambda: replies.append(
            server.predict("zoo", {"signature_name": "slow", "instances": [60_000]})
        )
    )
    slow.start()
    answered_meanwhile = 0
    while slow.is_alive():
        assert server.predict("half", {"instances": [2.0]}).json == {"predictions": [4.0]}
        answered_meanwhile += slow.is_alive()
    slow.join()
    assert [reply.status for reply in replies] == [200]
    assert answered_meanwhile >= 3


def test_preflight(server):
    """http_server.cc answers OPTIONS without the handler."""
    good = server.rest("OPTIONS", "/v1/models/half:predict", headers={"Origin": "https://x"})
    assert (good.status, good.body) == (200, b"")
    assert server.rest("OPTIONS", "/v1/models/half:predict").status == 400


def test_metrics(server):
    """Names and labels of servables/tensorflow/util.cc, on the default path."""
    path = "/monitoring/prometheus/metrics"

    def value(line: str) -> float:
        page = server.rest("GET", path).body.decode()
        found = [text for text in page.splitlines() if text.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    ok = ':tensorflow:serving:request_count{model_name="dense",status="OK"}'
    bad = ':tensorflow:serving:request_count{model_name="dense",status="INVALID_ARGUMENT"}'
    latency = (
        ":tensorflow:serving:request_latency_count"
        '{model_name="dense",API="predict",entrypoint="REST"}'
    )
    runtime = (
        ':tensorflow:serving:runtime_latency_count{model_name="dense",API="Predict",runtime="TF1"}'
    )
    before = [value(line) for line in (ok, bad, latency, runtime)]
    server.predict("dense", {"instances": [[1, 2, 3]]})
    server.predict("dense", {"instances": "x"})
    server.rest("GET", "/v1/models/dense")
    after = [value(line) for line in (ok, bad, latency, runtime)]
    # A status call counts as a request, under an empty API.
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 1, 1, 1]
    page = server.rest("GET", path).body.decode()
    assert "# TYPE :tensorflow:serving:request_latency histogram" in page
    assert ':tensorflow:cc:saved_model:load_attempt_count{model_path="' in page
    assert 'le="18"' in page
    assert 'le="+Inf"' in page


def test_only_predictions_are_latencies(server):
    """What the operator counts on this page: neither probes nor what went wrong."""

    def timed() -> int:
        page = server.rest("GET", "/monitoring/prometheus/metrics").body
        return serving_metrics.parse(page, "dense").timed

    before = timed()
    server.predict("dense", {"instances": [[1, 2, 3]]})
    assert timed() == before + 1
    server.predict("dense", {"instances": "x"})
    for path in ("", "/metadata", "/versions/1/metadata"):
        server.rest("GET", f"/v1/models/dense{path}")
    assert timed() == before + 1


def test_warm_up_records_were_replayed(server, models):
    """saved_model_warmup_util_test.cc: two records, three iterations each."""
    page = server.rest("GET", "/monitoring/prometheus/metrics").body.decode()
    path = models / "warm" / "1"
    assert (
        f':tensorflow:serving:model_warmup_records_read{{model_path="{path}",status="OK"}} 2'
        in page
    )
    assert (
        ':tensorflow:serving:runtime_latency_count{model_name="warm",API="Predict",runtime="TF1"}'
        " 6" in page
    )
