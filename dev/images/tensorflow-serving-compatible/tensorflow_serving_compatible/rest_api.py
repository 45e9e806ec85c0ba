"""The REST API without a network: a method, a path and a body in, a status and a body out.

Paths and dispatch of model_servers/http_rest_api_util.cc and http_rest_api_handler.cc. The
transport is `rest`; what requests mean is `service`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format

from tensorflow_serving_compatible.errors import (
    Code,
    StatusError,
    invalid_argument,
)
from tensorflow_serving_compatible.json_example import fill_request
from tensorflow_serving_compatible.json_result import (
    classification_json,
    error_json,
    regression_json,
    tensors_json,
)
from tensorflow_serving_compatible.json_tensor import read_predict
from tensorflow_serving_compatible.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)
from tensorflow_serving_compatible.service import SIGNATURE_DEF, Service

_FLAGS = re.IGNORECASE | re.ASCII
# RE2's FullMatch; `.` does not match a line feed there either.
API = re.compile(r"/v1/.*", _FLAGS)
_VERSION = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", _FLAGS
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<part>metadata))?", _FLAGS)


@dataclass
class Answer:
    """`model` and `method` label the metrics; they are filled even where the call fails."""

    code: Code = Code.OK
    body: str = ""
    model: str = ""
    method: str = ""


@dataclass(frozen=True)
class Target:
    """What a path names. `version` is still text: its range is checked after the metrics' labels
    are known."""

    model: str = ""
    version: str | None = None
    label: str | None = None
    verb: str = ""
    metadata: bool = False


def parse_target(method: str, path: str) -> Target:
    """Model, version or label, and verb of a path. Raises StatusError for any other path."""
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise _malformed(method, path)
    found = match.groupdict()
    return Target(
        model=_unquote(found["name"] or ""),
        version=found["version"],
        label=_unquote(found["label"]) if found["label"] else None,
        verb=found.get("method") or "",
        metadata=bool(found.get("part")),
    )


def _malformed(method: str, path: str) -> StatusError:
    return invalid_argument(f"Malformed request: {method} {path}")


class RestApi:
    def __init__(self, service: Service, timeout_ms: int) -> None:
        self._service, self._timeout_ms = service, max(timeout_ms, 0)

    def handle(self, method: str, path: str, body: bytes) -> Answer:
        """One call. `path` is the request target, query included, still percent-encoded."""
        answer = Answer()
        try:
            answer.body = self._dispatch(method, path, body, answer)
        except StatusError as error:
            answer.code, answer.body = error.code, error_json(error.message)
        return answer

    def _dispatch(self, method: str, path: str, body: bytes, answer: Answer) -> str:
        target = parse_target(method, path)
        answer.model, answer.method = target.model, target.verb
        spec = model_pb2.ModelSpec(name=target.model)
        if target.version is not None:
            spec.version.value = _version(target.version)
        if target.label is not None:
            spec.version_label = target.label
        if method == "GET":
            return self._get(spec, metadata=target.metadata)
        # The pattern ignores case, the dispatch does not.
        verbs = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        if target.verb not in verbs:
            raise _malformed(method, path)
        return verbs[target.verb](spec, body)

    def _predict(self, spec: Any, body: bytes) -> str:
        request = read_predict(body, lambda name: self._service.input_dtypes(spec, name))
        spec.signature_name = request.signature_name
        outputs = self._service.predict_tensors(spec, request.inputs, self._timeout_ms)
        return tensors_json(outputs, request.format)

    def _classify(self, spec: Any, body: bytes) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        response = classification_pb2.ClassificationResponse()
        fill_request(body, request)
        self._service.classify_or_regress("Classify", request, response, self._timeout_ms)
        return classification_json(response.result)

    def _regress(self, spec: Any, body: bytes) -> str:
        request = regression_pb2.RegressionRequest(model_spec=spec)
        response = regression_pb2.RegressionResponse()
        fill_request(body, request)
        self._service.classify_or_regress("Regress", request, response, self._timeout_ms)
        return regression_json(response.result)

    def _get(self, spec: Any, *, metadata: bool) -> str:
        if not spec.name:
            raise invalid_argument("Missing model name in request.")
        if not metadata:
            request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            return _json(self._service.status(request)) + "\n"
        wanted = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[SIGNATURE_DEF]
        )
        response = self._service.metadata(wanted)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        return (
            '{\n"model_spec":' + _json(response.model_spec) + "\n,\n"
            '"metadata": {"signature_def": ' + _json(signatures) + "\n}\n}\n"
        )


def _json(message: Any) -> str:
    """Protobuf's JSON with every field, as MessageToJsonString prints it there."""
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=1,
        ensure_ascii=False,
        sort_keys=False,
    )


def _unquote(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _version(digits: str) -> int:
    version = int(digits)
    if version >= 2**63:
        raise invalid_argument(f"Failed to convert version: {digits} to numeric.")
    return version
