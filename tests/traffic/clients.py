"""Clients that never stop asking: one keep-alive HTTP/1.1 connection, one gRPC channel.

Every request counts, every failure is kept with its words. No retries of their own.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import grpc
import grpc.aio

from traffic.backends import PREDICT, UNLIMITED


@dataclass
class Tally:
    """What the clients saw."""

    servers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Answers of any kind."""
        return self.servers.total() + len(self.failures)

    def since(self, earlier: Counter[str]) -> Counter[str]:
        """Answers since a copy of `servers` was taken."""
        return self.servers - earlier


@asynccontextmanager
async def busy_clients(
    host: str, pause: float = 0.002, rest_port: int = 8501, grpc_port: int = 8500
) -> AsyncIterator[Tally]:
    """Both clients run until the block ends; then each finishes its last request."""
    tally, done = Tally(), asyncio.Event()
    tasks = [
        asyncio.create_task(_rest(f"http://{host}:{rest_port}", tally, done, pause)),
        asyncio.create_task(_grpc(f"{host}:{grpc_port}", tally, done, pause)),
    ]
    try:
        yield tally
    finally:
        done.set()
        await asyncio.gather(*tasks)


async def _rest(url: str, tally: Tally, done: asyncio.Event, pause: float) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        while not done.is_set():
            try:
                # POST: aiohttp repeats nothing of it by itself
                async with session.post(f"{url}/v1/models/flowers:predict", data=b"{}") as answer:
                    body = await answer.read()
                    if answer.status == 200:
                        tally.servers[json.loads(body)["server"]] += 1
                    else:
                        tally.failures.append(f"REST {answer.status} {body.decode()}")
            except aiohttp.ClientError as error:
                tally.failures.append(f"REST {error!r}")
            await asyncio.sleep(pause)


async def _grpc(target: str, tally: Tally, done: asyncio.Event, pause: float) -> None:
    options = (*UNLIMITED, ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary(PREDICT)
        while not done.is_set():
            try:
                answer = json.loads(await call(b"x", timeout=10))
                tally.servers[answer["server"]] += 1
            except grpc.aio.AioRpcError as error:
                tally.failures.append(f"gRPC {error.code().name} {error.details()}")
            await asyncio.sleep(pause)
