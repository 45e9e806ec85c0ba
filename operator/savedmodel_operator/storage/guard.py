"""The endpoint guard: which addresses the operator itself may connect to (design.md §6).

An endpoint is user input, and the operator stands in a better place of the network than its
users. So a host name is resolved here, every address it has is judged, and the connection goes to
a judged address: a name that changes its answer between check and use gains nothing. This module
judges, `guarded` connects. It must not open connections or know about credentials.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SocketAddress = tuple[Any, ...]
Resolver = Callable[[str, int], Sequence[tuple[int, SocketAddress]]]
"""(host, port) → (address family, socket address) pairs; raises socket.gaierror."""

METADATA = frozenset(
    ipaddress.ip_address(a)
    for a in (
        "169.254.169.254",  # AWS, GCP, Azure, OpenStack
        "169.254.170.2",  # ECS task credentials
        "169.254.170.23",  # EKS pod identity
        "fd00:ec2::254",
        "fd00:ec2::23",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure host
        "192.0.0.192",  # Oracle
    )
)

# IANA's special-purpose registries (IPv4 and IPv6), in the words a person gets. First match wins.
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), word)
    for network, word in (
        ("127.0.0.0/8", "a loopback address"),
        ("::1/128", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("100.64.0.0/10", "a private address"),
        ("fc00::/7", "a private address"),
        ("fec0::/10", "a private address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("::/128", "an unspecified address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("198.18.0.0/15", "a reserved address"),
        ("198.51.100.0/24", "a reserved address"),
        ("203.0.113.0/24", "a reserved address"),
        ("240.0.0.0/4", "a reserved address"),
        ("2001:db8::/32", "a reserved address"),
        ("3fff::/20", "a reserved address"),
        ("100::/64", "a reserved address"),
        ("5f00::/16", "a reserved address"),
    )
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_UNICAST = ipaddress.ip_network("2000::/3")


class EndpointRefusedError(Exception):
    """The guard said no; the text names host and kind of address. Not an OSError: urllib3 would
    take that for a broken connection and try again."""


def judge_address(address: Address) -> str | None:
    """Why this address is refused ("a private address", …), or None for a public one.

    IPv4 inside IPv6 (mapped, compatible, 6to4, Teredo, NAT64) is judged as the IPv4 it reaches.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "a link-local address"
        inner = _embedded(address)
        if inner is not None:
            return judge_address(inner)
    if address in METADATA:
        return "a metadata service"
    for network, word in _SPECIAL:
        if address in network:
            return word
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return "a reserved address"
    return None


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    number = int(address)
    if any(address in network for network in _NAT64) or 1 < number < 2**32:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None


def resolve(host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """The system's resolver, TCP only."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class EndpointGuard:
    """Judges hosts and addresses for one store.

    allowed: the administrator's host patterns: `minio.storage.svc`, `*.corp.example`,
      `minio.test:9000`, `10.0.0.5`, `[::1]:7070`. A listed host may be private or loopback; a
      metadata service is reached only where its very address is listed.
    private: whether private addresses are fine for unlisted hosts: only for AWS's own hosts,
      which a VPC endpoint puts on private addresses.
    bucket: in virtual addressing the host is BUCKET.ENDPOINT; the pattern names ENDPOINT.
    """

    def __init__(
        self,
        allowed: Sequence[str] = (),
        *,
        private: bool = False,
        bucket: str | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._allowed = tuple(_split_pattern(pattern) for pattern in allowed)
        self._private = private
        self._bucket = bucket
        self._resolver = resolver

    def listed(self, host: str, port: int) -> bool:
        """Whether the administrator's list has this host."""
        name = _plain(host)
        names = {name}
        if self._bucket is not None:
            names.add(name.removeprefix(self._bucket.lower() + "."))
        return any(
            _matches(pattern, name) and wanted in (None, port)
            for name in names
            for pattern, wanted in self._allowed
        )

    def addresses(self, host: str, port: int) -> list[tuple[int, SocketAddress]]:
        """Addresses that the connection may go to.

        One refused address refuses the host: a name that has both is a trap or a mistake.
        Raises EndpointRefusedError, socket.gaierror.
        """
        found = list(self._resolver(_plain(host), port))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        listed = self.listed(host, port)
        for _, address in found:
            self._check(host, listed, str(address[0]))
        return found

    def check_scheme(self, scheme: str, host: str, port: int) -> None:
        """Refuses plain http to a host that is not listed: the key would be open to anyone."""
        if scheme != "https" and not self.listed(host, port):
            raise EndpointRefusedError(f"{host} would be reached without TLS")

    def _check(self, host: str, listed: bool, text: str) -> None:
        address = ipaddress.ip_address(text)
        word = judge_address(address)
        if word is None:
            return
        if word == "a metadata service":
            if self._literally_listed(address):
                return
        elif listed or (word == "a private address" and self._private):
            return
        raise EndpointRefusedError(f"{host} is {word}")

    def _literally_listed(self, address: Address) -> bool:
        return any(_address_of(pattern) == address for pattern, _ in self._allowed)


def _plain(host: str) -> str:
    """A host as names are compared: lower case, no brackets, no root dot."""
    return host.strip("[]").rstrip(".").lower()


def _split_pattern(pattern: str) -> tuple[str, int | None]:
    text = pattern.strip()
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return _plain(host), int(port[1:]) if port.startswith(":") else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return _plain(host), int(port)
    return _plain(text), None


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    address = _address_of(pattern)
    return name == pattern or (address is not None and _address_of(name) == address)


def _address_of(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
