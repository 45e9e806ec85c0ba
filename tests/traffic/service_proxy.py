"""What kube-proxy does, on loopback: new connections go to a present endpoint, old ones stay."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from traffic.envoy_lab import take_address


@dataclass
class Service:
    """`endpoints` are addresses; change the list and new connections follow."""

    endpoints: list[str]
    address: str = field(default_factory=take_address)
    _turn: Any = field(default_factory=itertools.count)
    _pipes: set[asyncio.Task[None]] = field(default_factory=set)

    async def connect(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One client connection, from its first byte to its last."""
        target = self.endpoints[next(self._turn) % len(self.endpoints)]
        far_reader, far_writer = await asyncio.open_connection(target, port)
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    def track(self, work: Coroutine[Any, Any, None]) -> None:
        """Remember a connection, so that it ends with the test."""
        task = asyncio.create_task(work)
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)

    async def close(self) -> None:
        """Cut what is left."""
        for task in tuple(self._pipes):
            task.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; a reset of one side closes the other, as a forwarded packet would."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_service(*endpoints: str) -> AsyncIterator[Service]:
    """A Service with both ports."""
    service = Service(list(endpoints))
    servers = [
        await asyncio.start_server(
            lambda r, w, p=port: service.track(service.connect(p, r, w)), service.address, port
        )
        for port in (8500, 8501)
    ]
    try:
        yield service
    finally:
        for server in servers:
            server.close()
        await service.close()
