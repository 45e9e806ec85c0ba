"""The kinds of client that are kept whole: REST with and without keep-alive, one that reads slowly,
gRPC on one HTTP/2 connection.

Neighbours: `load` paces them, `questions` makes and judges their bodies. A client tries each request
once: a retry of ours would hide what a user sees. Must not decide when to send.
"""

import asyncio
import io
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import aiohttp
import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from lab.questions import Arrays, Question, judge, read_grpc, read_rest, write_grpc

VERSION_HEADER, REVISION_HEADER = "x-savedmodel-version", "x-savedmodel-revision"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
REST_PORT, GRPC_PORT = 8501, 8500

SLOWLY = 96 * 1024
"""Bytes per second that a slow reader takes of an answer: a phone's line on a bad day."""

_SIP = 16 * 1024
"""Bytes that a slow reader takes at once, and about what it lets the kernel keep for it."""

_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Its own connection, also beside other channels of this process to the same address.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


class Transport(StrEnum):
    """How requests travel."""

    REST = "REST"
    REST_ONE_SHOT = "REST one-shot"
    REST_SLOW = "REST slow reader"
    GRPC = "gRPC"


@dataclass(frozen=True)
class Outcome:
    """Who answered, by the router's headers, and what was wrong with it; None: nothing was.

    A failure without a version came from nobody, as a connection that broke.
    """

    version: int | None = None
    revision: str = ""
    failure: str | None = None


class Client(Protocol):
    """Asks one question and judges the answer; never raises for what a server does."""

    async def ask(self, index: int) -> Outcome: ...
    async def close(self) -> None: ...


class RestClient:
    """POST :predict in row format; with keep-alive a pool of connections, else one each.

    `read_rate`: bytes per second at which the answer is read, so that whoever sends it has to wait;
    None: as fast as it comes. A unary gRPC call has no such client: it takes its message whole.
    """

    def __init__(
        self,
        address: str,
        question: Question,
        timeout: float,
        *,
        keep_alive: bool,
        port: int = REST_PORT,
        read_rate: float | None = None,
    ) -> None:
        self._url = f"http://{address}:{port}/v1/models/{question.model}:predict"
        self._question, self._read_rate = question, read_rate
        connector = aiohttp.TCPConnector(
            limit=0,
            force_close=not keep_alive,
            socket_factory=None if read_rate is None else _narrow_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout),
            read_bufsize=2**16 if read_rate is None else _SIP,
        )

    async def ask(self, index: int) -> Outcome:
        try:
            body = io.BytesIO(self._question.rest(index))  # sent piece by piece, however large
            async with self._session.post(self._url, data=body) as answer:
                text = await self._read(answer)
                headers = answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(failure=f"{type(error).__name__}: {error}")
        if answer.status != 200:
            words = f"HTTP {answer.status}: {text[:300].decode(errors='replace')}"
            return _outcome(headers, words)

        def read(version: int) -> Arrays:
            return read_rest(self._question, index, version, text)

        return _judged(self._question, index, headers, read)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        if self._read_rate is None:
            return await answer.read()
        loop, taken = asyncio.get_running_loop(), bytearray()
        begin = loop.time()
        async for piece in answer.content.iter_chunked(_SIP):
            taken += piece
            await asyncio.sleep(begin + len(taken) / self._read_rate - loop.time())
        return bytes(taken)

    async def close(self) -> None:
        await self._session.close()


class GrpcClient:
    """PredictionService.Predict on one HTTP/2 channel."""

    def __init__(
        self, address: str, question: Question, timeout: float, *, port: int = GRPC_PORT
    ) -> None:
        self._question, self._timeout = question, timeout
        self._channel = grpc.aio.insecure_channel(f"{address}:{port}", options=_CHANNEL)
        self._predict = self._channel.unary_unary(PREDICT, None, None)

    async def ask(self, index: int) -> Outcome:
        call = self._predict(write_grpc(self._question, index), timeout=self._timeout)
        try:
            body = await call
            metadata = await call.initial_metadata()
        except grpc.aio.AioRpcError as error:
            # An answer that is nothing but a failure has its headers among the trailers.
            told = (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ()))
            return _outcome(_texts(told), f"{error.code().name}: {error.details()}")

        def read(_: int) -> Arrays:
            return read_grpc(body)

        return _judged(self._question, index, _texts(metadata), read)

    async def close(self) -> None:
        await self._channel.close(None)


def _narrow_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for which the kernel keeps next to nothing: what is not read, the sender keeps."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP)
    return made


def _judged(
    question: Question, index: int, headers: Mapping[str, str], read: Callable[[int], Arrays]
) -> Outcome:
    """What came of an answer that looks well; `read` gives its tensors as of a version."""
    outcome = _outcome(headers, None)
    if outcome.version is None:
        return Outcome(failure=f"{VERSION_HEADER} is {headers.get(VERSION_HEADER, '')!r}")
    try:
        seen = read(outcome.version)
    except (DecodeError, ValueError, KeyError, TypeError) as error:
        return replace(outcome, failure=f"not an answer: {error!r}"[:300])
    return replace(outcome, failure=judge(question, index, outcome.version, seen))


def _outcome(headers: Mapping[str, str], failure: str | None) -> Outcome:
    version = headers.get(VERSION_HEADER, "")
    number = int(version) if version.isdecimal() else None
    return Outcome(number, headers.get(REVISION_HEADER, ""), failure)


def _texts(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    return {key: str(value) for key, value in metadata or ()}


def connect(transport: Transport, address: str, question: Question, timeout: float) -> Client:
    """A client to the Service at `address`, on the ports that every deployment has."""
    if transport is Transport.GRPC:
        write_grpc(question, 0)  # imports TensorFlow before the first request counts
        return GrpcClient(address, question, timeout)
    return RestClient(
        address,
        question,
        timeout,
        keep_alive=transport is not Transport.REST_ONE_SHOT,
        read_rate=SLOWLY if transport is Transport.REST_SLOW else None,
    )
