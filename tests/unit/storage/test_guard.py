"""Every form an address can take, and who may still be connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

import pytest

from savedmodel_operator.storage.guard import EndpointGuard, EndpointRefusedError, judge_address

ADDRESSES = [
    ("8.8.8.8", None),
    ("52.218.0.1", None),
    ("2600:1fa0::1", None),
    ("127.0.0.1", "a loopback address"),
    ("127.255.255.254", "a loopback address"),
    ("::1", "a loopback address"),
    ("::ffff:127.0.0.1", "a loopback address"),
    ("::127.0.0.1", "a loopback address"),
    ("::ffff:8.8.8.8", None),
    ("169.254.1.1", "a link-local address"),
    ("fe80::1", "a link-local address"),
    ("fe80::1%eth0", "a link-local address"),
    ("2600::1%eth0", "a link-local address"),
    ("169.254.169.254", "a metadata service"),
    ("::ffff:169.254.169.254", "a metadata service"),
    ("64:ff9b::a9fe:a9fe", "a metadata service"),
    ("2002:a9fe:a9fe::1", "a metadata service"),
    ("fd00:ec2::254", "a metadata service"),
    ("169.254.170.2", "a metadata service"),
    ("100.100.100.200", "a metadata service"),
    ("168.63.129.16", "a metadata service"),
    ("10.96.0.1", "a private address"),
    ("172.16.0.1", "a private address"),
    ("172.32.0.1", None),
    ("192.168.1.1", "a private address"),
    ("100.64.0.1", "a private address"),
    ("fd12:3456::1", "a private address"),
    ("fec0::1", "a private address"),
    ("64:ff9b::a00:1", "a private address"),
    ("64:ff9b:1::a00:1", "a private address"),
    ("2002:a00:1::", "a private address"),
    ("2001:0:808:808::f5ff:fffe", "a private address"),  # Teredo client 10.0.0.1
    ("0.0.0.0", "an unspecified address"),
    ("0.1.2.3", "an unspecified address"),
    ("::", "an unspecified address"),
    ("224.0.0.1", "a multicast address"),
    ("ff02::1", "a multicast address"),
    ("255.255.255.255", "a reserved address"),
    ("240.0.0.1", "a reserved address"),
    ("192.0.2.1", "a reserved address"),
    ("198.18.0.1", "a reserved address"),
    ("2001:db8::1", "a reserved address"),
    ("1234::1", "a reserved address"),
]


@pytest.mark.parametrize(("address", "word"), ADDRESSES)
def test_addresses(address: str, word: str | None):
    assert judge_address(ipaddress.ip_address(address)) == word


def answers(*addresses: str) -> Callable[[str, int], Sequence[tuple[int, tuple[str, int]]]]:
    """A name server that has these addresses for every name."""
    return lambda _, port: [(socket.AF_INET, (address, port)) for address in addresses]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]"]
)
def test_spellings_of_loopback(host: str):
    """The system's own resolver decides what a spelling means, then the address is judged."""
    with pytest.raises(EndpointRefusedError, match="loopback"):
        EndpointGuard().addresses(host, 80)


@pytest.mark.parametrize(
    ("allowed", "host", "resolved", "passes"),
    [
        ((), "s3.example", "8.8.8.8", True),
        ((), "s3.example", "10.0.0.1", False),
        (("s3.example",), "s3.example", "10.0.0.1", True),
        (("s3.example",), "S3.Example.", "10.0.0.1", True),
        (("S3.EXAMPLE",), "s3.example", "10.0.0.1", True),
        (("s3.example",), "evil-s3.example", "10.0.0.1", False),
        (("s3.example",), "s3.example.evil", "10.0.0.1", False),
        (("*.corp.example",), "s3.corp.example", "10.0.0.1", True),
        (("*.corp.example",), "a.b.corp.example", "10.0.0.1", True),
        (("*.corp.example",), "corp.example", "10.0.0.1", False),
        (("*.corp.example",), "evilcorp.example", "10.0.0.1", False),
        (("s3.example:9000",), "s3.example", "10.0.0.1", True),
        (("s3.example:9001",), "s3.example", "10.0.0.1", False),
        (("10.0.0.1",), "10.0.0.1", "10.0.0.1", True),
        (("10.0.0.1:9000",), "10.0.0.1", "10.0.0.1", True),
        (("10.0.0.2",), "10.0.0.1", "10.0.0.1", False),
        (("[::1]:9000",), "[::1]", "::1", True),
        (("::1",), "[::1]", "::1", True),
        (("127.0.0.1",), "s3.example", "127.0.0.1", False),
        (("s3.example",), "models.s3.example", "10.0.0.1", True),
        (("s3.example",), "other.s3.example", "10.0.0.1", False),
        (("s3.example",), "s3.example", "169.254.169.254", False),
        (("*.example",), "s3.example", "fd00:ec2::254", False),
        (("169.254.169.254",), "169.254.169.254", "169.254.169.254", True),
    ],
)
def test_the_administrators_list(allowed: tuple[str, ...], host: str, resolved: str, passes: bool):
    guard = EndpointGuard(allowed, bucket="models", resolver=answers(resolved))
    if passes:
        assert [a[0] for _, a in guard.addresses(host, 9000)] == [resolved]
    else:
        with pytest.raises(EndpointRefusedError):
            guard.addresses(host, 9000)


def test_one_bad_address_refuses_the_host():
    guard = EndpointGuard(resolver=answers("8.8.8.8", "10.0.0.1"))
    with pytest.raises(EndpointRefusedError, match="is a private address"):
        guard.addresses("s3.example", 443)


def test_private_addresses_of_aws_endpoints():
    """A VPC endpoint puts AWS's names on private addresses; nothing else becomes possible."""
    guard = EndpointGuard(private=True, resolver=answers("10.0.0.1"))
    assert guard.addresses("s3.eu-west-1.amazonaws.com", 443)
    guard = EndpointGuard(private=True, resolver=answers("169.254.169.254"))
    with pytest.raises(EndpointRefusedError):
        guard.addresses("s3.eu-west-1.amazonaws.com", 443)


@pytest.mark.parametrize(
    ("scheme", "allowed", "passes"),
    [("https", (), True), ("http", (), False), ("http", ("s3.example",), True)],
)
def test_without_tls_only_to_listed_hosts(scheme: str, allowed: tuple[str, ...], passes: bool):
    guard = EndpointGuard(allowed)
    if passes:
        guard.check_scheme(scheme, "s3.example", 80)
    else:
        with pytest.raises(EndpointRefusedError, match="without TLS"):
            guard.check_scheme(scheme, "s3.example", 80)
