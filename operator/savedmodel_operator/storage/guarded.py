"""boto3's HTTP over guarded connections: `s3` sends every request through a `GuardedSession`.

The connection goes to an address that `guard` judged; Host header and TLS server name stay the
host's own. No proxy of the environment is used (it would resolve the name again, elsewhere) and
no redirect is followed (botocore asks urllib3 not to). It must not decide what is allowed.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from botocore import awsrequest
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from savedmodel_operator.storage.guard import EndpointGuard, EndpointRefusedError, SocketAddress


def _guarded(base: type[Any], guard: EndpointGuard) -> type[Any]:
    """A connection class that connects to judged addresses only."""

    class GuardedConnection(base):  # type: ignore[misc]  # base is one of botocore's two classes
        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

    return GuardedConnection


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
        http = _guarded(awsrequest.AWSHTTPConnection, guard)
        https = _guarded(awsrequest.AWSHTTPSConnection, guard)
        self._manager.pool_classes_by_scheme = {
            "http": type(
                "GuardedPool", (awsrequest.AWSHTTPConnectionPool,), {"ConnectionCls": http}
            ),
            "https": type(
                "GuardedTLSPool", (awsrequest.AWSHTTPSConnectionPool,), {"ConnectionCls": https}
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
        try:
            return super().send(request)
        except HTTPClientError as error:
            refusal = error.kwargs.get("error")
            if isinstance(refusal, EndpointRefusedError):
                raise refusal from None
            raise
