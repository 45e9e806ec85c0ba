"""Small model servers on loopback: real HTTP/1.1 (aiohttp) and real gRPC (grpcio) on real ports.

They say who they are and what reached them, which is all that routing tests need to know.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
from aiohttp import web

from traffic.envoy_lab import take_address

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METHODS = {
    "tensorflow.serving.PredictionService": (
        "Predict",
        "Classify",
        "Regress",
        "MultiInference",
        "GetModelMetadata",
    ),
    "tensorflow.serving.ModelService": ("GetModelStatus", "HandleReloadConfigRequest"),
}
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


@dataclass
class Server:
    """One model pod. `calls` counts paths; `slow` seconds pass before each answer,
    `status` is that of every REST answer, `code` of every gRPC answer."""

    name: str
    address: str = field(default_factory=take_address)
    slow: float = 0.0
    status: int = 200
    code: grpc.StatusCode = grpc.StatusCode.OK
    calls: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _grpc: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Open both ports."""
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, 8501).start()
        self._grpc = grpc.aio.server(options=UNLIMITED)
        for service, methods in METHODS.items():
            handlers = {m: grpc.unary_unary_rpc_method_handler(self._call(m)) for m in methods}
            handler = grpc.method_handlers_generic_handler(service, handlers)
            self._grpc.add_generic_rpc_handlers((handler,))
        assert self._grpc.add_insecure_port(f"{self.address}:8500") == 8500
        await self._grpc.start()

    async def stop(self) -> None:
        """Close both ports at once, connections included, as a killed process does."""
        if self._grpc is not None:
            await self._grpc.stop(None)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls[f"{request.method} {request.path}"] += 1
        self.headers.append({k.lower(): v for k, v in request.headers.items()})
        await asyncio.sleep(self.slow)
        answer = {"server": self.name, "path": request.path, "bytes": len(body)}
        return web.json_response(
            answer, status=self.status, headers={"x-savedmodel-version": "what a server claims"}
        )

    def _call(self, method: str):  # type: ignore[no-untyped-def]
        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.calls[method] += 1
            await asyncio.sleep(self.slow)
            if self.code is not grpc.StatusCode.OK:
                await context.abort(self.code, f"{self.name} says so")
            return json.dumps({"server": self.name, "bytes": len(request)}).encode()

        return answer


@asynccontextmanager
async def running_servers(*names: str, slow: float = 0.0) -> AsyncIterator[list[Server]]:
    """Servers that answer on both ports."""
    servers = [Server(name, slow=slow) for name in names]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            await server.stop()
