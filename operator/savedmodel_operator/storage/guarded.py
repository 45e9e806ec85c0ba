"""boto3's HTTP over guarded connections: `s3` sends every request through a `GuardedSession`.

The connection goes to an address that `guard` judged; Host header and TLS server name stay the
host's own. No proxy of the environment is used (it would resolve the name again, elsewhere) and
no redirect is followed. A store is not trusted to behave: each
exchange has a deadline, which ends it whatever it is waiting for, and an answer has a size. It
must not decide what is allowed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

from botocore import awsrequest
from botocore.exceptions import ConnectionClosedError, HTTPClientError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)

from savedmodel_operator.storage.guard import EndpointGuard, EndpointRefusedError, SocketAddress

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A page of 1,000 keys of 1,024 bytes, each byte written as an entity of 6: 6 MiB, and the rest."""

_ERRORS = 300  # statuses from here on have a short text, whatever was asked for
_here = threading.local()


class DeadlineExceededError(Exception):
    """An exchange took too long. Not an OSError: urllib3 would try again."""


class Deadline:
    """Limits what this thread exchanges inside the block; a trickle of bytes does not extend it.

    After `seconds` the connection in use is shut down, which wakes the thread wherever it reads,
    and nothing more is sent. Leaving the block then raises DeadlineExceededError.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._connection: Any = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        _here.deadline = self
        self._timer.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _here.deadline = None
        self._timer.cancel()
        if self.expired:
            raise DeadlineExceededError

    def attach(self, connection: Any) -> None:
        """The connection that is about to send a request. Raises DeadlineExceededError."""
        self._connection = connection
        if self.expired:
            raise DeadlineExceededError

    def _expire(self) -> None:
        self.expired = True
        opened = getattr(self._connection, "sock", None)
        if opened is not None:
            with contextlib.suppress(OSError):
                # SSLSocket's own would take the session from under the reading thread.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)


def _guarded(base: type[Any], guard: EndpointGuard) -> type[Any]:
    """A connection class that connects to judged addresses only."""

    class GuardedConnection(base):  # type: ignore[misc]  # base is one of botocore's two classes
        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

        def request(self, *args: Any, **kwargs: Any) -> None:
            deadline = getattr(_here, "deadline", None)
            if deadline is not None:
                deadline.attach(self)
            super().request(*args, **kwargs)

    return GuardedConnection


def _pool(base: type[Any], connection: type[Any]) -> type[Any]:
    """A pool of guarded connections that hands redirects out as answers.

    botocore asks for no retries, which urllib3 takes to hold for redirects too, but on its way
    there a 303 fails on botocore's headers.
    """

    class GuardedPool(base):  # type: ignore[misc]  # base is one of botocore's two classes
        ConnectionCls = connection

        def urlopen(self, *args: Any, **kwargs: Any) -> Any:
            return super().urlopen(*args, **{**kwargs, "redirect": False})

    return GuardedPool


def _connect(connection: Any, guard: EndpointGuard) -> socket.socket:
    """Opens the socket of a urllib3 connection, in the way and with the errors of urllib3."""
    host = connection.host
    try:
        addresses = guard.addresses(host, connection.port)
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    failure: OSError | None = None
    for family, address in addresses:
        try:
            return _open(family, address, connection)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"Connection to {host} timed out") from failure
    raise NewConnectionError(connection, f"Failed to connect: {failure}") from failure


def _open(family: int, address: SocketAddress, connection: Any) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in connection.socket_options or ():
            opened.setsockopt(*option)
        opened.settimeout(connection.timeout)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


_Session: Any = URLLib3Session  # its stubs know neither the hooks nor a pair of timeouts


class GuardedSession(_Session):  # type: ignore[misc]  # as above
    """botocore's HTTP session over guarded connections, without proxies, with an own CA bundle.

    ca_bundle: PEM certificates trusted in addition to the public ones.
    """

    def __init__(
        self,
        guard: EndpointGuard,
        *,
        timeout: tuple[float, float],
        connections: int,
        ca_bundle: bytes | None = None,
    ) -> None:
        self._guard = guard
        self._ca_bundle = ca_bundle
        super().__init__(timeout=timeout, max_pool_connections=connections)
        self._manager.pool_classes_by_scheme = {
            "http": _pool(
                awsrequest.AWSHTTPConnectionPool, _guarded(awsrequest.AWSHTTPConnection, guard)
            ),
            "https": _pool(
                awsrequest.AWSHTTPSConnectionPool, _guarded(awsrequest.AWSHTTPSConnection, guard)
            ),
        }

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()
        if self._ca_bundle is not None:
            context.load_verify_locations(cadata=self._ca_bundle.decode("ascii", "ignore"))
        return context

    def send(self, request: Any) -> Any:
        """Sends one prepared request. Raises EndpointRefusedError and botocore's own errors."""
        url = urlsplit(request.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self._guard.check_scheme(url.scheme, url.hostname or "", port)
        streamed, request.stream_output = request.stream_output, True
        try:
            response = super().send(request)
        except HTTPClientError as error:
            refusal = error.kwargs.get("error")
            if isinstance(refusal, EndpointRefusedError | DeadlineExceededError):
                raise refusal from None
            raise
        if not streamed or response.status_code >= _ERRORS:
            response._content = _read_all(request, response.raw)  # where AWSResponse keeps it
        return response


def _read_all(request: Any, raw: Any) -> bytes:
    """The body of an answer, of a bounded size."""
    body = bytearray()
    try:
        for piece in raw.stream(64 * 1024):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raw.close()
                raise HTTPClientError(error="the answer is too long")
    except (OSError, HTTPError) as error:
        raise ConnectionClosedError(
            error=error, request=request, endpoint_url=request.url
        ) from error
    return bytes(body)
