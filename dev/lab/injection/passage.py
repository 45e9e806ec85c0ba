"""The way of one request through the proxy: what befalls it, the real server, its answer.

Neighbours: `api_proxy` accepts connections and owns the injections, `upstream` is the real server,
`watching` passes watches on. Runs in the proxy's event loop only.
"""

import asyncio
import io
import json
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from lab.injection import faults
from lab.injection.calls import Call, parse
from lab.injection.injections import Injection
from lab.injection.upstream import Upstream
from lab.injection.watching import pass_watch

_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_OURS = frozenset({"host", "content-length", "expect"})


class Road(Protocol):
    """What `ApiProxy` is to a passage."""

    @property
    def injections(self) -> Iterable[Injection]:
        """All that were made, in order."""

    async def changed(self) -> None:
        """Returns after the next injection or removal."""

    async def passable(self, call: Call | None = None) -> bool:
        """Returns once there is no partition; False where one made an end of what waited."""


@dataclass
class Way:
    """What was decided for one request."""

    body: bytes
    query: str
    lost: bool = False
    shift: float = 0.0
    dropped: list[str] = field(default_factory=list)
    refusal: faults.Refuse | None = None


@dataclass(frozen=True)
class Passage:
    """Handles every request of one proxy. `token`: who brings it is the administrator."""

    road: Road
    upstream: Upstream
    token: str
    note: Callable[[Call], None]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request from its arrival to its answer."""
        body = await request.content.read()
        call = self._call(request, body)
        self.note(call)
        began = time.monotonic()
        try:
            return await self._pass(request, call, body)
        except aiohttp.ClientError as error:  # the real server cannot be reached, or hung up
            call.fault = f"{call.fault} {type(error).__name__}".strip()
            return reset(request)
        finally:
            call.seconds = time.monotonic() - began

    def _call(self, request: web.BaseRequest, body: bytes) -> Call:
        url = request.rel_url
        kind = request.headers.get("Content-Type", "")
        call = parse(time.time(), request.method, url.raw_path, url.raw_query_string, kind, body)
        call.agent = request.headers.get("User-Agent", "")
        return call

    async def _pass(self, request: web.BaseRequest, call: Call, body: bytes) -> web.StreamResponse:
        if not await self.road.passable(call):
            return reset(request)
        way = await self._decide(call, Way(body, request.rel_url.raw_query_string))
        if way.refusal is not None:
            call.code = way.refusal.code
            return _refusal(way.refusal)
        async with self._ask(request, way) as answer:
            call.code = answer.status
            if call.verb == "watch" and answer.status == 200:
                return await self._watch(request, call, way, answer)
            data = await answer.read()
        if not await self.road.passable(call) or way.lost or _left(request):
            return reset(request)
        return web.Response(
            status=answer.status, body=_without(data, way.dropped), headers=_headers(answer, way)
        )

    async def _decide(self, call: Call, way: Way) -> Way:
        """Waits as long as it should, and finds out what is to be done then."""
        for injection in list(self.road.injections):
            if isinstance(injection.fault, faults.WatchFault | faults.Partition):
                continue
            if isinstance(injection.fault, faults.OldList) and call.verb != "list":
                continue
            if injection.take(call):
                await self._suffer(injection, way)
            if way.refusal is not None:
                break
        return way

    async def _suffer(self, injection: Injection, way: Way) -> None:
        match injection.fault:
            case faults.Delay(seconds):
                await asyncio.sleep(seconds)
            case faults.Hold():
                while injection.on:
                    await self.road.changed()
            case faults.LoseAnswer():
                way.lost = True
            case faults.ShiftDate(seconds):
                way.shift += seconds
            case faults.OldList(version):
                if "continue=" not in way.query:  # a further page is as old as the first
                    exact = f"resourceVersion={version}&resourceVersionMatch=Exact"
                    way.query = "&".join([*_without_version(way.query), exact])
            case faults.DropField(path):
                way.dropped.append(path)
                way.body = _without(way.body, [path])
            case faults.Refuse() as refusal:
                way.refusal = refusal

    def _ask(self, request: web.BaseRequest, way: Way) -> Any:
        """The same request to the real server."""
        headers = CIMultiDict(
            (k, v) for k, v in request.headers.items() if k.lower() not in _HOP | _OURS
        )
        session = self.upstream.bearer
        if headers.get("Authorization") == f"Bearer {self.token}":
            del headers["Authorization"]
            session = self.upstream.administrator
        if way.dropped:
            headers.popall("Accept-Encoding", None)
        target = self.upstream.server + request.rel_url.raw_path
        url = URL(f"{target}?{way.query}" if way.query else target, encoded=True)
        return session.request(
            request.method,
            url,
            headers=headers,
            data=io.BytesIO(way.body) if way.body else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def _watch(
        self, request: web.BaseRequest, call: Call, way: Way, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers=_headers(answer, way))
        response.enable_chunked_encoding()
        if not await self.road.passable(call) or _left(request):
            return reset(request)
        await response.prepare(request)
        if not await pass_watch(self.road, call, answer, response, lambda: _left(request)):
            reset(request)
        return response


def reset(request: web.BaseRequest) -> web.StreamResponse:
    """The client sees its connection reset. The response is for the server's own use: nobody gets it."""
    transport = request.transport
    if transport is not None:
        hang_up(transport)
    return web.Response()


def hang_up(transport: asyncio.BaseTransport) -> None:
    """A reset instead of an orderly end; nothing where it has ended already."""
    if transport.is_closing():
        return
    opened = transport.get_extra_info("socket")
    if opened is not None and opened.fileno() >= 0:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.Transport):
        transport.abort()


def _left(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _refusal(fault: faults.Refuse) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": fault.message,
        "reason": fault.reason,
        "code": fault.code,
    }
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.json_response(status, status=fault.code, headers=headers)


def _headers(answer: aiohttp.ClientResponse, way: Way) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (k, v) for k, v in answer.headers.items() if k.lower() not in _HOP | _OURS
    )
    if way.shift and "Date" in headers:
        shifted = parsedate_to_datetime(headers["Date"]) + timedelta(seconds=way.shift)
        headers["Date"] = format_datetime(shifted, usegmt=True)
    return headers


def _without(data: bytes, paths: Iterable[str]) -> bytes:
    """A JSON object without these fields; whatever is no JSON object stays."""
    wanted = list(paths)
    try:
        body = json.loads(data) if wanted and data else None
    except ValueError:
        return data
    if not isinstance(body, dict):
        return data
    for path in wanted:
        *parents, last = path.split(".")
        place: Any = body
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(last, None)
    return json.dumps(body).encode()


def _without_version(query: str) -> list[str]:
    return [part for part in query.split("&") if part and not part.startswith("resourceVersion")]
