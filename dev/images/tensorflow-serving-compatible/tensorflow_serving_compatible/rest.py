"""The REST listener: HTTP/1.1 in, `rest_api` in worker threads, HTTP out.

aiohttp parses and keeps connections alive on one event loop in a thread of its own; calls run in
a pool of --rest_api_num_threads, so that none blocks another. Also serves the metrics page.
Follows model_servers/http_server.cc and util/net_http.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from tensorflow_serving_compatible.errors import Code, http_status
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.rest_api import API, Answer, RestApi

log = logging.getLogger(__name__)

# evhttp has no limit of its own and kMaxUncompressedBytes bounds gzip; a request that TensorFlow
# can parse at all is below 2 GiB, protobuf's limit.
MAX_BODY = (1 << 31) - 1


def listen(port: int) -> socket.socket:
    """A socket on all addresses: `::` for both families, or IPv4 where there is no IPv6."""
    try:
        bound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        address = ("::", port)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("0.0.0.0", port))
    bound.listen(1024)
    return bound


class RestServer:
    def __init__(
        self, api: RestApi, metrics: Metrics, *, threads: int, metrics_path: str | None
    ) -> None:
        self._api, self._metrics, self._metrics_path = api, metrics, metrics_path
        self._pool = ThreadPoolExecutor(max(threads, 1), thread_name_prefix="httprestserver")

    def start(self, bound: socket.socket) -> None:
        """Serves on a listening socket; returns once connections are accepted."""
        ready = threading.Event()
        threading.Thread(
            target=lambda: asyncio.run(self._serve(bound, ready)), name="rest", daemon=True
        ).start()
        ready.wait()

    async def _serve(self, bound: socket.socket, ready: threading.Event) -> None:
        # Bodies are inflated in the worker, where a bad one fails as it does in evhttp.
        server = web.Server(self._handle, auto_decompress=False, access_log=None)
        runner = web.ServerRunner(server, handle_signals=False)
        await runner.setup()
        await web.SockSite(runner, bound).start()
        ready.set()
        await asyncio.Event().wait()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _target(request.raw_path)
        loop = asyncio.get_running_loop()
        if path == self._metrics_path:
            page = await loop.run_in_executor(self._pool, self._metrics.page)
            return web.Response(text=page, content_type="text/plain", charset=None)
        if not API.fullmatch(path):
            return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
        try:
            body = await _read(request)
        except HttpProcessingError:
            return web.Response(status=413)
        encoding = request.headers.get("Content-Encoding", "")
        status, text = await loop.run_in_executor(
            self._pool, self._call, request.method, path, body, encoding,
            request.headers.get("Origin", ""),
        )  # fmt: skip
        return web.Response(status=status, body=text, content_type="application/json")

    def _call(
        self, method: str, path: str, body: bytes, encoding: str, origin: str
    ) -> tuple[int, bytes]:
        start = time.monotonic_ns()
        if method == "OPTIONS":
            # Answered without the handler: the preflight of a browser.
            good = origin.startswith(("http://", "https://"))
            answer = Answer(Code.OK if good else Code.FAILED_PRECONDITION)
        else:
            answer = self._answer(method, path, inflate(body) if "gzip" in encoding else body)
        if answer.code == Code.OK:
            elapsed = (time.monotonic_ns() - start) // 1000
            self._metrics.request_latency.add(elapsed, answer.model, answer.method, "REST")
        self._metrics.requests.add(1, answer.model, answer.code.name)
        return http_status(answer.code), answer.body.encode("utf-8", "surrogateescape")

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        try:
            return self._api.handle(method, path, body)
        except Exception:
            log.exception("a bug in this server, not a property of TensorFlow Serving")
            return Answer(Code.INTERNAL, '{"error": "internal error, see the log"}')


_NOT_FOUND = "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"


def _target(raw: str) -> str:
    """Path and query of a request target; absolute forms lose scheme and authority."""
    if "://" in raw.partition("/")[0] + raw[:8]:
        return "/" + raw.partition("://")[2].partition("/")[2]
    return raw


async def _read(request: web.BaseRequest) -> bytes:
    """The whole body, in chunks: `request.read` has a limit that is set per application."""
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            raise HttpProcessingError(code=413)
        chunks.append(chunk)
    return b"".join(chunks)


def inflate(body: bytes) -> bytes:
    """A gzip body's content; one that is no gzip reads as empty, as in evhttp_request.cc."""
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = reader.decompress(body, MAX_BODY)
    except zlib.error:
        return b""
    return content if reader.eof else b""
