"""Building the server from its flags, in the order of model_servers/server.cc.

Configuration is read and refused first, then models load, and only when every one has an
available version do the ports open. Returns then; the process lives on in its threads.
"""

from __future__ import annotations

import logging
import os
import threading
import time

import grpc

from tensorflow_serving_compatible import config as configs
from tensorflow_serving_compatible.batching import BatchedSession, Scheduler, parameters
from tensorflow_serving_compatible.core import ServerCore
from tensorflow_serving_compatible.errors import StatusError, invalid_argument
from tensorflow_serving_compatible.flags import Flags
from tensorflow_serving_compatible.grpc_service import GrpcApi, GrpcServer
from tensorflow_serving_compatible.inference import Inference
from tensorflow_serving_compatible.metrics import PAGE_PATH, Metrics
from tensorflow_serving_compatible.model import ModelLoader, WrapSession
from tensorflow_serving_compatible.protos import BatchingParameters, MonitoringConfig, SSLConfig
from tensorflow_serving_compatible.rest import RestServer, listen
from tensorflow_serving_compatible.rest_api import RestApi
from tensorflow_serving_compatible.runtime import Library
from tensorflow_serving_compatible.service import Service
from tensorflow_serving_compatible.warmup import WarmUp

log = logging.getLogger(__name__)


def build_and_start(flags: Flags) -> GrpcServer:
    """Loads the models and opens the ports.

    The caller keeps the result: grpc stops a server that nobody holds. Raises StatusError: why
    the server cannot start.
    """
    _check(flags)
    models = (
        configs.read_models(flags.model_config_file)
        if flags.model_config_file
        else configs.single_model(flags.model_name, flags.model_base_path)
    )
    metrics = Metrics()
    inference = Inference(
        metrics,
        check_method=flags.enable_signature_method_name_check,
        as_content=flags.enable_serialization_as_tensor_content,
    )
    warm_up = WarmUp(inference, metrics, flags.num_request_iterations_for_warmup)
    loader = ModelLoader(
        flags,
        metrics,
        wrap=_batching(flags, metrics),
        warm_up=warm_up.run if flags.enable_model_warmup else None,
    )
    credentials = _credentials(flags)
    metrics_path = _metrics_path(flags)
    if not flags.xla_cpu_compilation_enabled:
        Library.get().disable_xla()
    # num_initial_load_threads of model_servers/server_core.h: 4 × CPUs.
    core = ServerCore(flags, loader, 4 * len(os.sched_getaffinity(0)))
    core.reload(models)
    _watch_config(core, flags)
    service = Service(core, inference)
    server = _start_grpc(flags, GrpcApi(service, metrics), credentials)
    if flags.rest_api_port:
        _start_rest(flags, RestApi(service, flags.rest_api_timeout_in_ms), metrics, metrics_path)
    return server


def _check(flags: Flags) -> None:
    if flags.port == 0 and not flags.grpc_socket_path:
        raise invalid_argument(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must "
            "be set."
        )
    if not flags.model_base_path and not flags.model_config_file:
        raise invalid_argument(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid_argument(
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true."
        )


def _batching(flags: Flags, metrics: Metrics) -> WrapSession | None:
    if not flags.enable_batching:
        return None
    message = BatchingParameters()
    if flags.batching_parameters_file:
        configs.read_text_proto(flags.batching_parameters_file, message)
    scheduler = Scheduler(parameters(message), metrics)
    return lambda session: BatchedSession(session, scheduler)


def _watch_config(core: ServerCore, flags: Flags) -> None:
    if flags.model_config_file_poll_wait_seconds > 0 and flags.model_config_file:
        threading.Thread(
            target=_poll_config, args=(core, flags), name="config_poll", daemon=True
        ).start()


def _poll_config(core: ServerCore, flags: Flags) -> None:
    """Applies the configuration file again and again, changed or not, as TF Serving does."""
    while True:
        time.sleep(flags.model_config_file_poll_wait_seconds)
        try:
            core.reload(configs.read_models(flags.model_config_file))
        except StatusError as error:
            log.error(  # noqa: TRY400 - a configuration error, not a fault with a trace
                "PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error.message
            )


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return None
    config = configs.read_text_proto(flags.monitoring_config_file, MonitoringConfig())
    prometheus = config.prometheus_config
    return (prometheus.path or PAGE_PATH) if prometheus.enable else None


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    config = configs.read_text_proto(flags.ssl_config_file, SSLConfig())
    authority = config.custom_ca.encode() or None
    if config.client_verify and authority is None:
        raise invalid_argument("ssl_config_file: client_verify needs custom_ca")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=authority,
        require_client_auth=config.client_verify,
    )


def _start_grpc(
    flags: Flags, api: GrpcApi, credentials: grpc.ServerCredentials | None
) -> GrpcServer:
    server = GrpcServer(
        api,
        threads=flags.grpc_max_threads,
        arguments=flags.grpc_channel_arguments,
        health=flags.enable_grpc_healthcheck_service,
    )
    if flags.port:
        server.listen(f"0.0.0.0:{flags.port}", credentials)
    if flags.grpc_socket_path:
        server.listen(f"unix:{flags.grpc_socket_path}", credentials)
    server.start()
    log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", flags.port)
    return server


def _start_rest(flags: Flags, api: RestApi, metrics: Metrics, metrics_path: str | None) -> None:
    if flags.rest_api_port == flags.port:
        log.error(
            "server_options.http_port cannot be same as grpc_port. Please use a different port "
            "for HTTP/REST API. Skipped exporting HTTP/REST API."
        )
        return
    try:
        bound = listen(flags.rest_api_port)
    except OSError as error:
        # TensorFlow Serving logs this and goes on without REST; so does this.
        log.error(  # noqa: TRY400
            "Failed to start HTTP Server at localhost:%d: %s", flags.rest_api_port, error
        )
        return
    server = RestServer(api, metrics, threads=flags.rest_api_num_threads, metrics_path=metrics_path)
    server.start(bound)
    log.info("Exporting HTTP/REST API at:localhost:%d ...", flags.rest_api_port)
