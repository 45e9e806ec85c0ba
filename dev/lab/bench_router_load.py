"""The client of `dev/bench router`: so many small requests per second, on time, at little cost.

Neighbours: `bench_router` calls it, `bench_router_envoy` has what answers. Open loop: a request's time
runs from the moment when it was due, so that a stall of anybody counts for all that it held up. It
speaks HTTP/1.1 (16 keep-alive connections) and HTTP/2 (one connection) by itself, with ready-made
bytes, because a library's client takes more time than a router. REST bodies are compared; of a gRPC
answer, which has nothing but headers here, only that it is whole, and the router's counters tell the
rest.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import statistics
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lab.bench_router_envoy import MODEL, REST_ANSWER
from lab.errors import LabError
from savedmodel_operator.api import names

CONNECTIONS = 16
_PATIENCE = 10.0

_ROW = b'{"instances": [5.1, 3.5]}'
_REST = (
    b"POST /v1/models/%s:predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (MODEL.encode(), len(_ROW), _ROW)
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_MESSAGE = b"\x00" + struct.pack(">I", 32) + b"m" * 32


@dataclass
class Timing:
    """What came of one run: seconds from due to answered, and how late the client itself was."""

    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failed: int = 0
    client_cpu: float = 0.0
    lasted: float = 0.0

    def quantile(self, share: float) -> float:
        """Seconds."""
        return _quantile(self.seconds, share)

    @property
    def lag(self) -> float:
        """The 99th percentile of how late the client sent, in seconds."""
        return _quantile(self.late, 0.99)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.lasted if self.lasted else 0.0


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1] if len(values) > 1 else 0.0


class Line(Protocol):
    """A protocol's way to send requests; each is told to its run when it ends."""

    async def open(self) -> None: ...
    def send(self, due: float) -> None: ...
    async def close(self) -> None: ...


class Run:
    """Counts the answers of one run."""

    def __init__(self) -> None:
        self.timing, self.open, self.clock = Timing(), 0, asyncio.get_running_loop().time

    def sent(self, due: float) -> None:
        """A request was handed to its socket."""
        self.timing.late.append(self.clock() - due)

    def ended(self, due: float, *, right: bool) -> None:
        """Its answer is there, or will never be."""
        self.open -= 1
        self.timing.seconds.append(self.clock() - due)
        self.timing.failed += not right


class _Http1(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, pool: Http1Pool) -> None:
        self.pool, self.buffer = pool, b""
        self.due: float | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, due: float) -> None:
        self.due, self.buffer = due, b""
        self.transport.write(_REST)
        self.pool.run.sent(due)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < len(REST_ANSWER) or self.due is None:
            return
        right = head.startswith(b"HTTP/1.1 200") and body == REST_ANSWER
        due, self.due = self.due, None
        self.pool.run.ended(due, right=right)
        if b"connection: close" in head:
            self.transport.close()
        else:
            self.pool.release(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.pool.lost(self)
        if self.due is not None:
            due, self.due = self.due, None
            self.pool.run.ended(due, right=False)


class Http1Pool:
    """Keep-alive connections, replaced as they are closed; what finds none free waits for one."""

    def __init__(self, address: str, run: Run) -> None:
        self.address, self.run = address, run
        self._all: list[_Http1] = []
        self._free: list[_Http1] = []
        self._waiting: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self) -> None:
        await asyncio.gather(*(self._connect() for _ in range(CONNECTIONS)))

    def send(self, due: float) -> None:
        if self._free:
            self._free.pop().send(due)
        else:
            self._waiting.append(due)

    def release(self, one: _Http1) -> None:
        if self._waiting:
            one.send(self._waiting.popleft())
        else:
            self._free.append(one)

    def lost(self, one: _Http1) -> None:
        self._all.remove(one)
        if one in self._free:
            self._free.remove(one)
        if not self._closing:
            task = asyncio.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: _Http1(self), self.address, names.PORT_REST)
        self._all.append(made)
        self.release(made)

    async def close(self) -> None:
        self._closing = True
        await asyncio.gather(*self._tasks)
        for one in self._all:
            one.transport.abort()
        while self._all:
            await asyncio.sleep(0)


class _Http2(asyncio.Protocol):
    """One connection with all requests on it. Only what a gRPC call needs; headers stay encoded."""

    def __init__(self, line: Http2Line) -> None:
        self.line, self.buffer = line, bytearray()
        self.under_way: dict[int, float] = {}
        self.next_stream, self.leaving = 1, False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        window = _frame(_WINDOW, 0, 0, struct.pack(">I", 2**30))
        transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + window)

    def send(self, due: float) -> None:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.under_way[stream] = due
        head = _frame(_HEADERS, _END_HEADERS, stream, _CALL)
        self.transport.write(head + _frame(_DATA, _END_STREAM, stream, _MESSAGE))
        self.line.run.sent(due)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            body = bytes(self.buffer[9 : 9 + length])
            del self.buffer[: 9 + length]
            self._take(kind, flags, stream, body)

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.transport.write(_frame(_PING, _ACK, 0, body))
        elif kind == _GOAWAY:
            self.leaving = True
        elif kind == _RESET:
            self._end(stream, right=False)
        elif kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._end(stream, right=True)

    def _end(self, stream: int, *, right: bool) -> None:
        due = self.under_way.pop(stream, None)
        if due is not None:
            self.line.run.ended(due, right=right)
        if self.leaving and not self.under_way:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self.leaving = True
        self.line.lost(self)
        for stream in list(self.under_way):
            self._end(stream, right=False)


class Http2Line:
    """One connection; the next one is made as soon as the server asks this one to leave."""

    def __init__(self, address: str, run: Run) -> None:
        self.address, self.run = address, run
        self.current: _Http2
        self._all: list[_Http2] = []
        self._next: asyncio.Task[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        _, self.current = await loop.create_connection(
            lambda: _Http2(self), self.address, names.PORT_GRPC
        )
        self._all.append(self.current)

    def lost(self, one: _Http2) -> None:
        self._all.remove(one)

    def send(self, due: float) -> None:
        if self.current.leaving and (self._next is None or self._next.done()):
            self._next = asyncio.create_task(self.open())
        if self.current.transport.is_closing():
            self.run.ended(due, right=False)
        else:
            # GOAWAY is sent some seconds before the connection ends: what is sent meanwhile counts.
            self.current.send(due)

    async def close(self) -> None:
        if self._next is not None:
            await self._next
        for one in self._all:
            one.transport.abort()
        while self._all:
            await asyncio.sleep(0)


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that no table remembers (RFC 7541 6.2.2), of at most 126 bytes each."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_CALL = (
    b"\x83\x86"  # :method POST, :scheme http
    + _literal(b":path", b"/tensorflow.serving.PredictionService/Predict")
    + _literal(b":authority", b"bench")
    + _literal(b"content-type", b"application/grpc")
    + _literal(b"te", b"trailers")
)

LINES: dict[str, Callable[[str, Run], Line]] = {"REST": Http1Pool, "gRPC": Http2Line}


def drive(protocol: str, address: str, rate: float, seconds: float) -> Timing:
    """So many requests per second for so long. Raises LabError where answers stay away."""
    # select() waits for microseconds, where epoll, as asyncio uses it, waits for whole milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    gc.disable()
    try:
        return loop.run_until_complete(_drive(protocol, address, rate, seconds))
    except OSError as error:
        raise LabError(f"{protocol} at {address}: {error}") from error
    finally:
        gc.enable()
        loop.close()


async def _drive(protocol: str, address: str, rate: float, seconds: float) -> Timing:
    run = Run()
    line = LINES[protocol](address, run)
    await line.open()
    cpu, begin = time.process_time(), run.clock()
    try:
        for index in range(int(rate * seconds)):
            due = begin + index / rate
            # Also where it is behind: answers are read, too.
            await asyncio.sleep(max(0.0, due - run.clock()))
            run.open += 1
            line.send(due)
        end = run.clock() + _PATIENCE
        while run.open and run.clock() < end:
            await asyncio.sleep(0.005)
        if run.open:
            raise LabError(f"{run.open} requests to {address} were never answered")
        run.timing.client_cpu = time.process_time() - cpu
        run.timing.lasted = run.clock() - begin
    finally:
        await line.close()
    return run.timing
