"""The real server in processes of its own, on loopback, with models made for the run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving_compatible import protos

HERE = Path(__file__).parent
PROGRAM = HERE.parents[2] / "dev" / "images" / "tensorflow-serving-compatible"
# A start takes about two seconds; a busy machine may need many times that.
START_DEADLINE = 120.0


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of versions: half (00000123, 124), zoo, defaulted, dense, warm and broken ones."""
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run(
        [sys.executable, str(HERE / "make_serving_models.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    grpc_port: int
    rest_port: int
    log: Path
    _channels: list[grpc.Channel] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=120)

    def rest(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, response.read(), found)
        finally:
            connection.close()

    def predict(self, model: str, body: Any) -> Reply:
        return self.rest("POST", f"/v1/models/{model}:predict", body)

    def call(self, method: str, request: Any, response: type, timeout: float = 60) -> Any:
        """One gRPC call; `method` is Service/Method."""
        if not self._channels:
            options = [("grpc.max_receive_message_length", -1)]
            self._channels.append(grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options))
        stub = self._channels[0].unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,  # type: ignore[attr-defined]
        )
        return stub(request, timeout=timeout)

    def stop(self) -> int:
        """Ends the process; its exit code, negative for a signal."""
        for channel in self._channels:
            channel.close()
        self.process.terminate()
        return self.process.wait(30)


def launch(log: Path, *flags: str) -> subprocess.Popen[bytes]:
    """The program with its output in `log`, without waiting for it."""
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM), "TF_CPP_MIN_LOG_LEVEL": "1"}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tensorflow_serving_compatible", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def wait_until(condition: Callable[[], bool], server: Server, what: str) -> None:
    """Polls a process that has no other way to tell us; fails when it ends or never does."""
    deadline = time.monotonic() + START_DEADLINE
    while not condition():
        ended = server.process.poll()
        assert ended is None, f"ended with {ended}: {server.log.read_text()}"
        assert time.monotonic() < deadline, f"{what}: {server.log.read_text()}"
        time.sleep(0.05)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    """A server with these flags whose REST port is open; stopped afterwards."""
    grpc_port, rest_port = free_port(), free_port()
    log = folder / "server.log"
    process = launch(log, f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags)
    server = Server(process, grpc_port, rest_port, log)
    try:
        wait_until(lambda: is_open(rest_port), server, "REST port not open")
        yield server
        if process.poll() is None:
            assert server.stop() == -signal.SIGTERM  # its default effect, there is no handler
    finally:
        process.kill()
        process.wait()


def model_entry(name: str, folder: Path, extra: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" {extra} }}'


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only ask."""
    folder = tmp_path_factory.mktemp("server")
    entries = [
        model_entry("half", models / "half", "model_version_policy { all {} } "
                    'version_labels { key: "stable" value: 123 }'),
        *(model_entry(name, models / name)
          for name in ("zoo", "defaulted", "dense", "warm", "index_gone")),
    ]  # fmt: skip
    config = folder / "models.txt"
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    monitoring = folder / "monitoring.txt"
    monitoring.write_text("prometheus_config { enable: true }")
    with serving(
        folder,
        f"--model_config_file={config}",
        f"--monitoring_config_file={monitoring}",
        "--allow_version_labels_for_unavailable_models",
        "--file_system_poll_wait_seconds=0",
        "--enable_grpc_healthcheck_service",
        "--num_request_iterations_for_warmup=3",
    ) as running:
        yield running


@pytest.fixture
def spec() -> Callable[..., Any]:
    """Builds a ModelSpec."""

    def build(name: str, signature: str = "", **choice: Any) -> Any:
        made = protos.model_pb2.ModelSpec(name=name, signature_name=signature)
        if "version" in choice:
            made.version.value = choice["version"]
        if "label" in choice:
            made.version_label = choice["label"]
        return made

    return build
