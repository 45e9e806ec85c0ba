"""The gRPC listener: PredictionService, ModelService and, when asked for, the health check.

Methods run in threads; messages have no size limit but protobuf's. Status codes and the cut of
long messages follow model_servers/grpc_status_util.cc, metrics prediction_service_impl.cc. The
health service is written out here because it needs one method, not one more dependency.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc

from tensorflow_serving_compatible.errors import (
    Code,
    StatusError,
    invalid_argument,
)
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.protos import (
    HealthCheckRequest,
    HealthCheckResponse,
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving_compatible.service import Service

log = logging.getLogger(__name__)

_SERVING = 1
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Call = Callable[[Any, int], Any]
Handler: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"


def _timeout_ms(context: grpc.ServicerContext) -> int:
    """The caller's deadline as the session run's timeout; 0 where there is none."""
    remaining = context.time_remaining()
    if remaining is None or remaining > 1e9:
        return 0
    return max(int(remaining * 1000), 1)


class GrpcApi:
    """The handlers of all methods."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics

    def handlers(self) -> list[Handler]:
        methods: dict[str, dict[str, tuple[Any, Call, bool]]] = {
            "tensorflow.serving.PredictionService": {
                "Predict": (predict_pb2.PredictRequest, self._predict, True),
                "Classify": (classification_pb2.ClassificationRequest, self._classify, True),
                "Regress": (regression_pb2.RegressionRequest, self._regress, True),
                "MultiInference": (
                    inference_pb2.MultiInferenceRequest, self._service.multi_inference, False,
                ),
                "GetModelMetadata": (
                    get_model_metadata_pb2.GetModelMetadataRequest,
                    lambda request, _: self._service.metadata(request), False,
                ),
            },
            "tensorflow.serving.ModelService": {
                "GetModelStatus": (
                    get_model_status_pb2.GetModelStatusRequest,
                    lambda request, _: self._service.status(request), False,
                ),
                "HandleReloadConfigRequest": (
                    model_management_pb2.ReloadConfigRequest, self._reload, False,
                ),
            },
        }  # fmt: skip
        return [
            grpc.method_handlers_generic_handler(
                service,
                {
                    name: grpc.unary_unary_rpc_method_handler(
                        self._method(name, call, counted=counted),
                        request_deserializer=request.FromString,
                        response_serializer=lambda message: message.SerializeToString(),
                    )
                    for name, (request, call, counted) in found.items()
                },
            )
            for service, found in methods.items()
        ]

    def _predict(self, request: Any, timeout_ms: int) -> Any:
        response = predict_pb2.PredictResponse()
        self._service.predict(request, response, timeout_ms)
        return response

    def _classify(self, request: Any, timeout_ms: int) -> Any:
        response = classification_pb2.ClassificationResponse()
        self._service.classify_or_regress("Classify", request, response, timeout_ms)
        return response

    def _regress(self, request: Any, timeout_ms: int) -> Any:
        response = regression_pb2.RegressionResponse()
        self._service.classify_or_regress("Regress", request, response, timeout_ms)
        return response

    def _reload(self, request: Any, _: int) -> Any:
        if request.metric_names:
            raise invalid_argument(
                "metric_names is not implemented by tensorflow-serving-compatible"
            )
        response = model_management_pb2.ReloadConfigResponse()
        error = self._service.reload(request, response)
        if error is not None:
            raise error
        return response

    def _method(
        self, name: str, call: Call, *, counted: bool
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        def method(request: Any, context: grpc.ServicerContext) -> Any:
            start = time.monotonic_ns()
            code, response, message = Code.OK, None, ""
            try:
                response = call(request, _timeout_ms(context))
            except StatusError as error:
                code, message = error.code, error.grpc_message
            except Exception:
                log.exception("a bug in this server, not a property of TensorFlow Serving")
                code, message = Code.INTERNAL, "internal error, see the log"
            if counted:
                self._count(request.model_spec.name, name, code, start)
            if response is None:
                context.abort(_CODES[int(code)], message)
            return response

        return method

    def _count(self, model: str, api: str, code: Code, start: int) -> None:
        if code == Code.OK:
            elapsed = (time.monotonic_ns() - start) // 1000
            self._metrics.request_latency.add(elapsed, model, api, "GRPC")
        self._metrics.requests.add(1, model, code.name)


class Health:
    """grpc.health.v1.Health/Check with the names that model_servers/server.cc sets.

    Not Watch: it would hold a thread of the pool for as long as a client likes, and clients
    take its absence for "healthy".
    """

    NAMES = ("", "ModelService", "PredictionService")

    def handler(self) -> Handler:
        check = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=HealthCheckRequest.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})

    def _check(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.service not in self.NAMES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return HealthCheckResponse(status=_SERVING)


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """`key=value,…`; whole numbers as such, like parseGrpcChannelArgs of server.cc."""
    pairs: list[tuple[str, int | str]] = []
    for entry in filter(None, text.split(",")):
        key, _, value = entry.partition("=")
        whole = value.lstrip("-").isdigit() and -(2**31) <= int(value) < 2**31
        pairs.append((key, int(value) if whole else value))
    return pairs


class GrpcServer:
    def __init__(self, api: GrpcApi, *, threads: int, arguments: str, health: bool) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(max(threads, 1), thread_name_prefix="grpc"),
            handlers=[*api.handlers(), *([Health().handler()] if health else [])],
            options=_UNLIMITED + channel_arguments(arguments),
        )

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        """Binds. Raises StatusError where the address is taken."""
        try:
            if credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise invalid_argument("Failed to BuildAndStart gRPC server") from error

    def start(self) -> None:
        self._server.start()

    def wait(self) -> None:
        """Until the process ends; nothing here stops the server."""
        self._server.wait_for_termination()
