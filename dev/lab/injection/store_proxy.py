"""A proxy before a real S3 server that answers late, wrongly, partly or not at all, as it is told.

    with StoreProxy(endpoint, "127.0.0.1") as proxy:
        with proxy.inject(Refuse(503, "SlowDown"), Match(listing=True)) as slow:
            …                                      # clients of proxy.endpoint
            assert slow.hits

Neighbours: `store_faults` has the faults. Requests go on as they came, Host header included, so that
their signatures hold. A body is in memory as a whole: the fetcher's ranges have 16 MiB. Must not
know what a test expects.
"""

import contextlib
import http.client
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from lab.injection.store_faults import (
    AddKey,
    Corrupt,
    Delay,
    Fault,
    Injection,
    LoseAnswer,
    Match,
    OmitKey,
    Partition,
    Redirect,
    Refuse,
    RepeatKey,
    Request,
    Trickle,
    Truncate,
    corrupt,
    falsify,
)

UPSTREAM_SECONDS = 60.0
TICK = 0.05
"""Seconds between the pieces of a trickle."""

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
EVERYTHING = Match()


@dataclass(frozen=True)
class Logged:
    """One request that was dealt with: `status` 0 where no answer was given."""

    at: float
    request: Request
    status: int
    fault: Fault | None


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    length: int


class StoreProxy:
    """Listens at `address` until it is closed. `upstream`: the URL of the S3 server."""

    def __init__(self, upstream: str, address: str = "127.0.0.1") -> None:
        url = urlsplit(upstream)
        self.upstream = (str(url.hostname), url.port or 80)
        self.log: list[Logged] = []
        self.bugs: list[BaseException] = []
        self.closing = threading.Event()
        self._injections: list[Injection] = []
        self._server = _Server((address, 0), self)
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http://{address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> "StoreProxy":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and the server. Raises what broke in the proxy itself."""
        self.closing.set()
        for injection in self._injections:
            injection.remove()
        self._server.shutdown()
        self._server.end_connections()
        self._thread.join()
        self._server.server_close()
        if self.bugs:
            raise self.bugs[0]

    def inject(
        self, fault: Fault, match: Match = EVERYTHING, times: int | None = None
    ) -> Injection:
        """Let the fault meet these requests from now on; the oldest that covers one meets it."""
        made = Injection(fault, match, times)
        self._injections.append(made)
        return made

    def find(self, request: Request) -> Injection | None:
        """The injection that this request meets."""
        return next((i for i in self._injections[:] if i.take(request)), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, place: tuple[str, int], proxy: StoreProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(place, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake the threads that read from clients."""
        for opened in self._open.copy():
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError | http.client.HTTPException):
            self.proxy.bugs.append(error)


class _Handler(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Silent: `StoreProxy.log` has it."""

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request.of(self.command, self.path, self.headers.get("Authorization", ""))
        self._request, self._injection = request, proxy.find(request)
        self._meet(self._injection, body)

    def _note(self, status: int) -> None:
        """Into the log, before the client can know the answer."""
        fault = self._injection.fault if self._injection else None
        self.server.proxy.log.append(Logged(time.time(), self._request, status, fault))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _meet(self, injection: Injection | None, body: bytes) -> None:
        fault = injection.fault if injection else None
        match fault:
            case Partition():
                assert injection is not None
                injection.removed.wait()
                self._reset()
                return
            case Refuse() | Redirect():
                self._send(_made_up(fault), None)
                return
            case Delay():
                assert injection is not None
                injection.removed.wait(fault.seconds)
        answer = self._forward(body)
        if isinstance(fault, LoseAnswer):
            self._reset()
        else:
            self._send(_altered(fault, answer), fault)

    def _forward(self, body: bytes) -> _Answer:
        """The store's answer. An OSError ends the client's connection, as the store's end would."""
        connection = http.client.HTTPConnection(
            *self.server.proxy.upstream, timeout=UPSTREAM_SECONDS
        )
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
            headers = tuple((n, v) for n, v in answer.getheaders() if n.lower() not in _HOP)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            return _Answer(answer.status, headers, content, int(length or len(content)))
        finally:
            connection.close()

    def _send(self, answer: _Answer, fault: Fault | None) -> None:
        self._note(answer.status)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer.body, fault)

    def _send_body(self, body: bytes, fault: Fault | None) -> None:
        if isinstance(fault, Truncate) and fault.after < len(body):
            self.wfile.write(body[: fault.after])
            self.close_connection = True
        elif isinstance(fault, Trickle):
            self._trickle(body, fault.bytes_per_second)
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes, pace: float) -> None:
        begun, sent = time.monotonic(), 0
        while sent < len(body) and not self.server.proxy.closing.wait(TICK):
            due = min(len(body), int((time.monotonic() - begun) * pace))
            self.wfile.write(body[sent:due])
            sent = due
        self.close_connection = sent < len(body)

    def _reset(self) -> None:
        """End the connection with RST: closed without lingering, and before anything shuts it down."""
        self._note(0)
        no_linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self.connection.close()
        self.close_connection = True


def _made_up(fault: Refuse | Redirect) -> _Answer:
    if isinstance(fault, Redirect):
        return _Answer(307, (("Location", fault.to),), b"", 0)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{fault.code}</Code>'
        "<Message>as injected</Message></Error>"
    ).encode()
    headers = [("Content-Type", "application/xml")]
    if fault.retry_after is not None:
        headers.append(("Retry-After", str(fault.retry_after)))
    return _Answer(fault.status, tuple(headers), body, len(body))


def _altered(fault: Fault | None, answer: _Answer) -> _Answer:
    if isinstance(fault, OmitKey | RepeatKey | AddKey):
        body = falsify(fault, answer.body)
    elif isinstance(fault, Corrupt):
        ranged = {name.lower(): value for name, value in answer.headers}.get("content-range")
        body = corrupt(fault, answer.body, ranged)
    else:
        return answer
    return _Answer(answer.status, answer.headers, body, len(body) or answer.length)
