"""Asking TensorFlow Serving over gRPC, without TensorFlow: metadata and predict.

grpcio carries the messages of `messages`. Used through `GrpcClient` as a context, so that the
channel's threads end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from savedmodel_operator.client.arrays import Array
from savedmodel_operator.client.errors import (
    NoAnswerError,
    RefusedError,
    TimedOutError,
    load,
    shorten,
)
from savedmodel_operator.client.messages import message
from savedmodel_operator.client.metadata import Served, from_messages
from savedmodel_operator.client.surface import Choice
from savedmodel_operator.client.tensor_proto import from_proto, to_proto
from savedmodel_operator.savedmodel.facts import Signature

_SERVICE = "/tensorflow.serving.PredictionService"
_SIGNATURES = "signature_def"

_JUDGED = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"})
"""Codes with which Serving judges the request itself, as over REST."""

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""Serving's own limit is INT32_MAX; grpcio's default of 4 MiB is less than one image batch."""


class GrpcClient:
    """One server and one model there. `timeout` is in seconds, for each call."""

    def __init__(
        self,
        address: str,
        choice: Choice,
        *,
        timeout: float = 60.0,
        tls: bool = False,
        ca_bundle: Path | None = None,
    ) -> None:
        self._grpc: Any = load("grpc", "grpc", "asking over gRPC")
        self._address, self._choice, self._timeout = address, choice, timeout
        if tls:
            roots = ca_bundle.read_bytes() if ca_bundle else None
            credentials = self._grpc.ssl_channel_credentials(roots)
            self._channel = self._grpc.secure_channel(address, credentials, _UNLIMITED)
        else:
            self._channel = self._grpc.insecure_channel(address, _UNLIMITED)

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._channel.close()

    def metadata(self) -> Served:
        """The signatures of the chosen version. Raises NoAnswerError."""
        request = message("GetModelMetadataRequest")(
            model_spec=self._spec(), metadata_field=[_SIGNATURES]
        )
        try:
            answer = self._call("GetModelMetadata", request, "GetModelMetadataResponse")
        except RefusedError as error:  # metadata judges no request
            raise NoAnswerError(str(error)) from None
        packed = answer.metadata[_SIGNATURES]
        if not packed.type_url.endswith("/tensorflow.serving.SignatureDefMap"):
            raise NoAnswerError(f"{self._address} sent no signatures as metadata")
        found = message("SignatureDefMap").FromString(packed.value)
        version = answer.model_spec.version.value if answer.model_spec.HasField("version") else None
        return Served(answer.model_spec.name, version, from_messages(found.signature_def))

    def predict(
        self, name: str, signature: Signature, feeds: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The outputs of one request. Raises RefusedError or NoAnswerError.

        Outputs without a tensor of their own are left out by `output_filter`: Serving fails on
        them.
        """
        request = message("PredictRequest")(model_spec=self._spec(name))
        for key, array in feeds.items():
            to_proto(array, signature.inputs[key].dtype, request.inputs[key])
        dense = sorted(key for key, tensor in signature.outputs.items() if tensor.kind == "Dense")
        if len(dense) < len(signature.outputs):
            request.output_filter.extend(dense)
        answer = self._call("Predict", request, "PredictResponse")
        return {key: from_proto(tensor)[1] for key, tensor in sorted(answer.outputs.items())}

    def _spec(self, signature_name: str = "") -> Any:
        spec = message("ModelSpec")(name=self._choice.name, signature_name=signature_name)
        if self._choice.version is not None:
            spec.version.value = self._choice.version
        elif self._choice.label is not None:
            spec.version_label = self._choice.label
        return spec

    def _call(self, method: str, request: Any, response: str) -> Any:
        stub = self._channel.unary_unary(
            f"{_SERVICE}/{method}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message(response).FromString,
        )
        try:
            return stub(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            raise self._mapped(error) from None

    def _mapped(self, error: Any) -> Exception:
        code = error.code().name
        if code == "DEADLINE_EXCEEDED":
            return TimedOutError(f"{self._address} did not answer within {self._timeout:g} s")
        text = f"{self._address} answered {code}: {shorten(error.details() or 'without a message')}"
        return RefusedError(text) if code in _JUDGED else NoAnswerError(text)
