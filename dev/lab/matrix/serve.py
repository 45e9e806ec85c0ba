"""The TensorFlow Serving-compatible server over many models, as a process of its own on loopback.

Neighbours: `judge` asks. REST connections and the gRPC channel are kept open. The models are named
m0, m1, … in the order given, because family names are no model names.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from lab.errors import LabError
from lab.matrix.ask import Request
from lab.matrix.protos import PROGRAM, messages
from lab.matrix.read import Answer

START_DEADLINE = 180.0
"""Seconds. Two hundred small models take about five on two idle cores."""

_CALLS = {
    "predict": ("Predict", "predict_pb2", "PredictRequest"),
    "classify": ("Classify", "classification_pb2", "ClassificationRequest"),
    "regress": ("Regress", "regression_pb2", "RegressionRequest"),
}


@dataclass
class Server:
    """The open connections to a server that runs."""

    names: dict[Path, str]
    rest: http.client.HTTPConnection
    channel: grpc.Channel
    calls: int = 0
    _stubs: dict[str, Any] = field(default_factory=dict)

    def ask(self, version: Path, request: Request) -> Answer:
        """Sends the request to that version and waits for the answer."""
        self.calls += 1
        name = self.names[version]
        return self._grpc(name, request) if request.client == "GRPC" else self._rest(name, request)

    def _rest(self, name: str, request: Request) -> Answer:
        self.rest.request("POST", f"/v1/models/{name}:{request.call}", request.body)
        response = self.rest.getresponse()
        body = response.read()
        if response.status == http.client.OK:
            return Answer("", body)
        return Answer(f"{response.status} {body.decode(errors='replace')}")

    def _grpc(self, name: str, request: Request) -> Answer:
        method, module, kind = _CALLS[request.call]
        message = getattr(getattr(messages, module), kind).FromString(request.body)
        message.model_spec.name = name
        try:
            return Answer("", self._stub(method)(message.SerializeToString(), timeout=60))
        except grpc.RpcError as error:
            return Answer(f"{error.code().name} {error.details()}")

    def _stub(self, method: str) -> Any:
        path = f"/tensorflow.serving.PredictionService/{method}"
        if method not in self._stubs:
            self._stubs[method] = self.channel.unary_unary(path, None, None)
        return self._stubs[method]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, versions: Sequence[Path]) -> Iterator[Server]:
    """A server of these models, their versions' parent folders being the base paths; `folder` takes
    its configuration and log. Raises LabError when it does not come up."""
    names = {path: f"m{index}" for index, path in enumerate(versions)}
    entries = "\n".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for path, name in names.items()
    )
    config = folder / "models.txt"
    config.write_text(f"model_config_list {{\n{entries}\n}}\n")
    rest, port = _free_port(), _free_port()
    flags = [f"--rest_api_port={rest}", f"--port={port}", f"--model_config_file={config}",
             "--file_system_poll_wait_seconds=0", "--max_num_load_retries=0"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM), "TF_CPP_MIN_LOG_LEVEL": "2"}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tensorflow_serving_compatible", *flags],
            stdout=output, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)])
    try:
        _wait_until_open(rest, process, log)
        connection = http.client.HTTPConnection("127.0.0.1", rest, timeout=60)
        yield Server(names, connection, channel)
        connection.close()
    finally:
        channel.close()
        process.kill()
        process.wait()


def _wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"the server did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
