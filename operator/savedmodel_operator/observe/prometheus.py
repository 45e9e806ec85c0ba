"""Asks a Prometheus one query at one moment and makes one number of what comes back.

The address is a tenant's word: only hosts that the administrator listed are asked, their addresses
are judged by `storage.guard`, and the connection goes to a judged one. No redirects, no proxy, no
cookies; a token goes over https only. Bounded in time and size. `analysis.answer` reads what comes
back. Must not judge numbers and must not raise for what a server does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from savedmodel_operator.analysis.answer import read
from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.storage.guard import EndpointGuard, EndpointRefusedError

PATIENCE = 10.0
CONNECT = 3.0
MAX_BYTES = 256 * 1024
"""One number takes 200 bytes; a query that gives a thousand series is a mistake anyhow."""

PATH = "/api/v1/query"
_PROVE = "its certificate is not trusted; rollout.analysis.prometheus.caBundle names what proves it"
_ALLOW = "the administrator can list it in the chart value prometheus.allowedAddresses"


@dataclass(frozen=True)
class Server:
    """Whom to ask. `token`: sent as a bearer token; `ca_bundle`: PEM, instead of the system's."""

    address: str
    token: str | None = field(default=None, repr=False)
    ca_bundle: str | None = field(default=None, repr=False)


class _Resolver(AbstractResolver):
    """Names to judged addresses, in a thread: the system's resolver blocks."""

    def __init__(self, guard: EndpointGuard) -> None:
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp passes it
    ) -> list[ResolveResult]:
        found = await asyncio.to_thread(self._guard.addresses, host, port)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=int(kind),
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class PrometheusClient:
    """One connection pool for all Prometheus servers. guard: with the administrator's list."""

    def __init__(self, guard: EndpointGuard, patience: float = PATIENCE) -> None:
        self._guard = guard
        self._timeout = aiohttp.ClientTimeout(total=patience, sock_connect=CONNECT)
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, server: Server, query: str) -> Answer:
        """The answer of now. Never raises."""
        try:
            host, port = _place(server.address)
            if server.token is not None and not server.address.startswith("https://"):
                return Answer(trouble="a token is sent over https only")
            if not self._guard.listed(host, port):
                return Answer(trouble=f"{host} is no address that the operator may ask; {_ALLOW}")
            _check_literal(self._guard, host, port)
            return await self._ask(server, query)
        except EndpointRefusedError as error:
            return Answer(trouble=f"{error}, which the operator must not ask")
        except TimeoutError:
            return Answer(trouble=f"no whole answer within {self._patience:g} s")
        except aiohttp.ClientConnectorDNSError:
            return Answer(trouble=f"the name {host} cannot be resolved")
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return Answer(trouble=_PROVE)
        except (aiohttp.ClientError, OSError):
            return Answer(trouble=f"{host}:{port} cannot be reached")
        except ValueError:
            return Answer(trouble="the address is no http(s)://HOST[:PORT]")

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, server: Server, query: str) -> Answer:
        url = server.address.rstrip("/") + PATH
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        params = {"query": query, "timeout": f"{self._patience:g}s"}
        session = self._get_session()
        async with session.get(
            url,
            params=params,
            headers=headers,
            timeout=self._timeout,
            allow_redirects=False,
            ssl=_trust(server.ca_bundle) if server.ca_bundle else True,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    return Answer(trouble="the answer is longer than 256 KiB")
            return read(response.status, bytes(body))

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Resolver(self._guard), use_dns_cache=False, limit=32
                ),
                cookie_jar=aiohttp.DummyCookieJar(),  # one tenant's would reach another's server
                trust_env=False,
            )
        return self._session


@lru_cache(maxsize=16)
def _trust(ca_bundle: str) -> ssl.SSLContext:
    """Kept, because connections are shared by context. Raises ssl.SSLError."""
    return ssl.create_default_context(cadata=ca_bundle)


def _place(address: str) -> tuple[str, int]:
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(address)
    return url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _check_literal(guard: EndpointGuard, host: str, port: int) -> None:
    """Literal addresses pass by the resolver. Raises EndpointRefusedError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    guard.addresses(host, port)
