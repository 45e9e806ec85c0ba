"""The command line: TensorFlow Serving's flags, their defaults, and which of them work here.

Parsing follows xla/tsl/util/command_line_flags.cc: `--name=value` only, and for booleans also
`--name`; `true`, `1`, `false`, `0` in any case. `--name value` and `--noname` are unknown there
and here. Unlike the real server, which prints its usage and goes on, an unknown flag ends the
process, and so does a known flag that this server cannot honour and that asks for something
other than the default: nothing is ignored silently.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any


class FlagError(Exception):
    """A command line that cannot be served; the message is for the terminal."""


def _flag(default: Any, kind: str, text: str, *, works: bool = True) -> Any:
    return field(default=default, metadata={"kind": kind, "text": text, "works": works})


def _threads() -> int:
    """4 × CPUs, the default of model_servers/server.h for both thread pools."""
    return 4 * len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Flags:
    """Every flag of model_servers/main.cc with its default from model_servers/server.h."""

    port: int = _flag(8500, "int32", "TCP port of the gRPC API; 0 disables it.")
    grpc_socket_path: str = _flag("", "string", "UNIX socket of the gRPC API.")
    rest_api_port: int = _flag(0, "int32", "TCP port of the REST API; 0 disables it.")
    rest_api_num_threads: int = _flag(_threads(), "int32", "Threads that work on REST calls.")
    rest_api_timeout_in_ms: int = _flag(30000, "int32", "Timeout of a REST call's session run.")
    rest_api_enable_cors_support: bool = _flag(False, "bool", "Send CORS headers.", works=False)
    enable_batching: bool = _flag(False, "bool", "Batch runs along dimension 0.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "bool", "Allow unused labels on versions that are not available yet."
    )
    batching_parameters_file: str = _flag("", "string", "Text BatchingParameters; see batching.")
    enable_per_model_batching_parameters: bool = _flag(
        False, "bool", "Read batching_params.pbtxt of each model.", works=False
    )
    model_config_file: str = _flag("", "string", "Text ModelServerConfig: the models to serve.")
    model_config_file_poll_wait_seconds: int = _flag(
        0, "int32", "Seconds between readings of the model config file; 0 reads it once."
    )
    model_name: str = _flag("default", "string", "Name of the one model without a config file.")
    model_base_path: str = _flag("", "string", "Folder of its versions.")
    num_load_threads: int = _flag(0, "int32", "Threads that load; 0 loads in the manager's own.")
    num_unload_threads: int = _flag(0, "int32", "Threads that unload.")
    max_num_load_retries: int = _flag(5, "int32", "Retries of a load after its first failure.")
    load_retry_interval_micros: int = _flag(60_000_000, "int64", "Microseconds between retries.")
    file_system_poll_wait_seconds: int = _flag(
        1, "int32", "Seconds between looks at the versions; 0 looks once, negative never."
    )
    flush_filesystem_caches: bool = _flag(True, "bool", "Accepted; local files need no flush.")
    tensorflow_session_parallelism: int = _flag(0, "int64", "Threads of a session; 0 is automatic.")
    tensorflow_session_config_file: str = _flag("", "string", "Text ConfigProto.")
    tensorflow_intra_op_parallelism: int = _flag(0, "int64", "Threads within one op.")
    tensorflow_inter_op_parallelism: int = _flag(0, "int64", "Ops that run at the same time.")
    use_alts_credentials: bool = _flag(False, "bool", "Google ALTS.", works=False)
    ssl_config_file: str = _flag("", "string", "Text SSLConfig of the gRPC API.")
    platform_config_file: str = _flag("", "string", "Text PlatformConfigMap.", works=False)
    per_process_gpu_memory_fraction: float = _flag(0.0, "float", "Share of the GPU's memory.")
    saved_model_tags: str = _flag("serve", "string", "Tags of the graph, comma-separated.")
    grpc_channel_arguments: str = _flag("", "string", "key=value,… for the gRPC server.")
    grpc_max_threads: int = _flag(_threads(), "int32", "Threads that work on gRPC calls.")
    enable_model_warmup: bool = _flag(True, "bool", "Replay warm-up records at load.")
    num_request_iterations_for_warmup: int = _flag(0, "int32", "Replays of each record if > 0.")
    version: bool = _flag(False, "bool", "Print what this is and end.")
    monitoring_config_file: str = _flag("", "string", "Text MonitoringConfig.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        True, "bool", "Accepted; only signatures are kept here."
    )
    prefer_tflite_model: bool = _flag(False, "bool", "TensorFlow Lite.", works=False)
    num_tflite_pools: int = _flag(_threads() // 4, "int32", "TensorFlow Lite.", works=False)
    num_tflite_interpreters_per_pool: int = _flag(1, "int32", "TensorFlow Lite.", works=False)
    enable_signature_method_name_check: bool = _flag(
        False, "bool", "Check the method_name of signatures."
    )
    xla_cpu_compilation_enabled: bool = _flag(False, "bool", "Allow XLA:CPU compilation.")
    xla_gpu_compilation_enabled: bool = _flag(False, "bool", "XLA:GPU.", works=False)
    enable_profiler: bool = _flag(True, "bool", "Accepted; there is no profiler service here.")
    thread_pool_factory_config_file: str = _flag("", "string", "Thread pools.", works=False)
    mixed_precision: str = _flag("", "string", "Mixed precision.", works=False)
    skip_initialize_tpu: bool = _flag(False, "bool", "TPU.", works=False)
    enable_grpc_healthcheck_service: bool = _flag(False, "bool", "grpc.health.v1.Health.")
    enable_serialization_as_tensor_content: bool = _flag(
        False, "bool", "Answer with tensor_content instead of typed fields."
    )


def _integer(text: str, bits: int) -> int | None:
    """What sscanf("%d%c") accepts: leading space and a sign, nothing behind the digits."""
    if not re.fullmatch(r"[ \t\n\v\f\r]*[+-]?\d+", text):
        return None
    value = int(text)
    return value if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None


def _number(text: str) -> float | None:
    try:
        return float(text) if text == text.rstrip() and "_" not in text else None
    except ValueError:
        return None


def _value(kind: str, text: str) -> Any:
    if kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if kind == "int32":
        return _integer(text, 32)
    if kind == "int64":
        return _integer(text, 64)
    return _number(text) if kind == "float" else text


def parse(arguments: Sequence[str]) -> Flags:
    """The flags of a command line (without the program's name).

    Raises FlagError for an unknown argument, an unreadable value, or a flag that this server
    cannot honour.
    """
    known = {entry.name: entry for entry in fields(Flags)}
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        entry = known.get(name) if argument.startswith("--") else None
        if entry is None or (not equals and entry.metadata["kind"] != "bool"):
            raise FlagError(f"unknown argument: {argument}")
        value = _value(entry.metadata["kind"], text if equals else "true")
        if value is None:
            raise FlagError(f"Couldn't interpret value {text} for flag {name}.")
        if not entry.metadata["works"] and value != entry.default:
            raise FlagError(
                f"--{name} is a flag of TensorFlow Serving that tensorflow-serving-compatible, "
                "which is for development and tests only, does not implement"
            )
        values[name] = value
    return Flags(**values)


def usage(program: str) -> str:
    """The text that follows an error, one line per flag with default and type."""
    lines = [f"usage: {program}", "Flags:"]
    for entry in fields(Flags):
        kind, default = entry.metadata["kind"], entry.default
        if kind == "bool":
            shown = str(default).lower()
        elif kind == "float":
            shown = f"{default:f}"
        else:
            shown = f'"{default}"' if kind == "string" else str(default)
        note = "" if entry.metadata["works"] else " Not implemented here."
        lines.append(f"\t--{entry.name + '=' + shown:<31}\t{kind}\t{entry.metadata['text']}{note}")
    return "\n".join(lines) + "\n"
