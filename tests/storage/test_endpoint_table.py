"""Where an endpoint may lead: every way to write an address, through the whole client.

Nothing here leaves the machine. Names are resolved by a resolver of the test's own, which answers
for what it knows and else reads numbers as the system does; and an audit hook of the interpreter
records every connect and lets none go but to loopback. So "refused" means: before a connect.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from bucket_server import KEY
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.storage.base import Access, StorageError
from savedmodel_operator.storage.guard import EndpointGuard, Resolver, SocketAddress
from savedmodel_operator.storage.guarded import GuardedSession
from savedmodel_operator.storage.s3 import S3Store, make_client, open_s3

connects: list[str] = []
_watching = False


class LeftTheMachineError(Exception):
    """Not an OSError: nothing takes it for a broken connection."""


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and _watching and args[0] is not None:
        _numbers_only(args[0])
    if event == "socket.connect" and _watching and isinstance(args[1], tuple):
        host = str(args[1][0])
        connects.append(host)
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            raise LeftTheMachineError(host)


def _numbers_only(host: str | bytes) -> None:
    """No name server is asked: whoever owned it would see the test."""
    text = host.decode() if isinstance(host, bytes) else host
    if not re.fullmatch(r"[0-9a-fA-FxX.:]+(%\w+)?", text):
        raise LeftTheMachineError(text)


sys.addaudithook(_audit)  # it cannot be taken away again, so it asks whether to watch


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    global _watching  # read by the hook
    connects.clear()
    _watching = True
    yield
    _watching = False


Answers = Mapping[str, Sequence[str]]


def resolver(names: Answers) -> Resolver:
    """These names have these addresses; anything else is a number or has none."""

    def resolved(host: str, port: int) -> list[tuple[int, SocketAddress]]:
        texts = names.get(host, [host])
        found = [
            socket.getaddrinfo(t, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            for t in texts
        ]
        return [(family, address) for each in found for family, _, _, _, address in each]

    return resolved


def store(url: str, names: Answers | Resolver, allowed: Sequence[str] = ()) -> S3Store:
    """A client whose endpoint is this, as `open_s3` makes it but for the resolver."""
    access = Access("models", endpoint=url, credentials=KEY)
    known = names if callable(names) else resolver(names)
    guard = EndpointGuard(allowed, bucket="models", resolver=known)
    session = GuardedSession(guard, timeout=(2, 2), connections=1)
    return S3Store(access, make_client(access, session), session)


def refusal(opened: Callable[[], S3Store]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        opened().directories("")
    return caught.value


WRITTEN = {
    # Loopback, in every base and length that inet_aton reads.
    "127.0.0.1": "loopback",
    "127.0.0.1.": "loopback",
    "127.1": "loopback",
    "127.0.1": "loopback",
    "127.255.255.254": "loopback",
    "2130706433": "loopback",
    "0x7f000001": "loopback",
    "0X7F.0.0.1": "loopback",
    "0x7f.1": "loopback",
    "017700000001": "loopback",
    "0177.0.0.1": "loopback",
    "0177.0.0x0.1": "loopback",
    "127.0.0.01": "loopback",
    "[::1]": "loopback",
    "[0:0:0:0:0:0:0:1]": "loopback",
    "[::ffff:127.0.0.1]": "loopback",
    "[::ffff:7f00:1]": "loopback",
    "[::127.0.0.1]": "loopback",
    "[64:ff9b::7f00:1]": "loopback",
    "[2002:7f00:1::]": "loopback",
    # Metadata services.
    "169.254.169.254": "metadata",
    "169.254.169.254.": "metadata",
    "2852039166": "metadata",
    "0xa9fea9fe": "metadata",
    "0xa9.0xfe.0xa9.0xfe": "metadata",
    "0251.0376.0251.0376": "metadata",
    "169.254.43518": "metadata",
    "169.16689662": "metadata",
    "[::ffff:169.254.169.254]": "metadata",
    "[::ffff:a9fe:a9fe]": "metadata",
    "[::169.254.169.254]": "metadata",
    "[64:ff9b::169.254.169.254]": "metadata",
    "[64:ff9b:1::a9fe:a9fe]": "metadata",
    "[2002:a9fe:a9fe::1]": "metadata",
    "[2001:0:808:808::5601:5601]": "metadata",  # a Teredo client: its address is inverted
    "[fd00:ec2::254]": "metadata",
    "[FD00:0EC2:0:0:0:0:0:254]": "metadata",
    "[fd00:ec2::23]": "metadata",
    "169.254.170.2": "metadata",
    "169.254.170.23": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "192.0.0.192": "metadata",
    # Link-local, private (clusters are made of these), reserved.
    "169.254.1.1": "link-local",
    "[fe80::1]": "link-local",
    "[::ffff:169.254.1.1]": "link-local",
    "10.96.0.1": "private",
    "167772161": "private",
    "10.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "0300.0250.1.1": "private",
    "100.64.0.1": "private",
    "[fd12:3456::1]": "private",
    "[fec0::1]": "private",
    "[::ffff:10.96.0.1]": "private",
    "[64:ff9b::a60:1]": "private",
    "[2002:a60:1::]": "private",
    "0.0.0.0": "unspecified",
    "0": "unspecified",
    "[::]": "unspecified",
    "0.1.2.3": "unspecified",
    "224.0.0.1": "multicast",
    "[ff02::1]": "multicast",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "[2001:db8::1]": "reserved",
    "[100::1]": "reserved",
}


def test_the_table_is_long_enough():
    assert len(WRITTEN) >= 60


@pytest.mark.parametrize("written", WRITTEN)
def test_an_address_however_it_is_written(written: str):
    found = refusal(lambda: store(f"https://{written}", {}))
    assert (found.reason, connects) == (Reason.EndpointForbidden, []), found.message
    assert f"is a {WRITTEN[written]}" in found.message.replace("is an ", "is a ")


TRICKS: dict[str, tuple[str, Answers, Sequence[str], str]] = {
    "a name of an inner address": (
        "https://store.example", {"store.example": ["10.96.0.1"]}, (), "private"),
    "a name with a root dot": (
        "https://store.example.", {"store.example": ["127.0.0.1"]}, (), "loopback"),
    "capital letters": (
        "https://STORE.Example", {"store.example": ["127.0.0.1"]}, (), "loopback"),
    "one good and one bad address": (
        "https://store.example", {"store.example": ["8.8.8.8", "10.0.0.1"]}, (), "private"),
    "a bad address of the other family": (
        "https://store.example", {"store.example": ["8.8.8.8", "::1"]}, (), "loopback"),
    "a listed name of a metadata service": (
        "https://store.example", {"store.example": ["169.254.169.254"]}, ("store.example",),
        "metadata"),
    "a listed suffix, and a metadata service": (
        "https://a.corp.example", {"a.corp.example": ["fd00:ec2::254"]}, ("*.corp.example",),
        "metadata"),
    "a user that is a listed host": (
        "https://store.example@127.0.0.1", {}, ("store.example",), "loopback"),
    "a user and a password": (
        "https://store.example:443@127.0.0.1", {}, ("store.example",), "loopback"),
    "a listed host behind a #": (
        "https://127.0.0.1#.store.example", {}, ("*.store.example",), "loopback"),
    "a listed host as a path": (
        "https://127.0.0.1/store.example", {}, ("store.example",), "loopback"),
    "a listed name as an ending": (
        "https://evil-store.example", {"evil-store.example": ["10.0.0.1"]}, ("store.example",),
        "private"),
    "a listed name as a beginning": (
        "https://store.example.evil", {"store.example.evil": ["10.0.0.1"]}, ("store.example",),
        "private"),
    "another port than the listed one": (
        "https://store.example:9001", {"store.example": ["10.0.0.1"]}, ("store.example:9000",),
        "private"),
    "a listed address does not list the names of it": (
        "https://store.example", {"store.example": ["10.0.0.1"]}, ("10.0.0.1",), "private"),
    "the API server": (
        "https://kubernetes.default.svc", {"kubernetes.default.svc": ["10.96.0.1"]}, (), "private"),
    "localhost": ("https://localhost", {"localhost": ["127.0.0.1", "::1"]}, (), "loopback"),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks(trick: str):
    url, names, allowed, word = TRICKS[trick]
    found = refusal(lambda: store(url, names, allowed))
    assert (found.reason, connects) == (Reason.EndpointForbidden, []), found.message
    assert f"is a {word}" in found.message


@pytest.mark.parametrize("url", ["http://8.8.8.8", "http://store.example", "http://s3.example:80"])
def test_no_key_travels_without_tls(url: str):
    found = refusal(lambda: store(url, {"store.example": ["8.8.8.8"], "s3.example": ["8.8.8.8"]}))
    assert (found.reason, connects) == (Reason.EndpointForbidden, [])
    assert "without TLS" in found.message


NO_URLS = [
    "https://",
    "https:///x",
    "https://[::1",
    "https://a b",
    "https://[::1]x",
    "https://x:port",
    "https://x:99999",
    "https://127.0.0.1?.store.example",
    "https://127.0.0.1\\@store.example",
    "https://１２７.０.０.１",
    "https://①②⑦.⓪.⓪.①",
    "https://127。0。0。1",
    "https://ѕ3.example",
    "//127.0.0.1",
    "127.0.0.1",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_of_a_host_is_a_fault_of_the_spec(url: str):
    """Of most of these, libraries differ in which host they see, if any."""
    with pytest.raises(StorageError) as caught:
        open_s3(Access("models", endpoint=url, credentials=KEY)).directories("")
    assert (caught.value.reason, connects) == (Reason.InvalidSpec, []), caught.value.message


PAGE = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


class Script(BaseHTTPRequestHandler):
    """Answers with the class's status and headers, and notes the Host that was asked for."""

    status = 200
    location = ""
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.headers["Host"])
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Tests are quiet."""


@pytest.fixture
def server() -> Iterator[tuple[type[Script], int]]:
    kind = type("Own", (Script,), {"asked": []})
    made = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield kind, made.server_address[1]
    made.shutdown()
    thread.join(20)
    made.server_close()


def test_the_connection_goes_to_the_address_that_was_checked(server: tuple[type[Script], int]):
    """A name that changes its answer between check and use: there is nothing between them."""
    script, port = server
    turns = iter([["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]])
    asked: list[list[str]] = []

    def rebinding(host: str, port: int) -> Sequence[tuple[int, SocketAddress]]:
        asked.append(next(turns))
        return resolver({host: asked[-1]})(host, port)

    opened = store(f"http://store.example:{port}", rebinding, ["store.example"])
    assert opened.directories("") == []
    assert (connects, asked) == (["127.0.0.1"], [["127.0.0.1"]])
    refused = refusal(lambda: opened)
    assert (refused.reason, connects) == (Reason.EndpointForbidden, ["127.0.0.1"])
    assert opened.directories("") == []
    assert connects == ["127.0.0.1"] * 2
    assert script.asked == [f"store.example:{port}"] * 2
    assert next(turns, None) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "http://10.96.0.1/", ""])
def test_redirects_are_not_followed(server: tuple[type[Script], int], status: int, location: str):
    """An empty location stands for a host that would be allowed: it is not followed either."""
    script, port = server
    script.status = status
    script.location = location or f"http://other.example:{port}/"
    names = {"store.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    url = f"http://store.example:{port}"
    found = refusal(lambda: store(url, names, ["store.example", "other.example"]))
    assert "redirects are not followed" in found.message
    assert script.location not in found.message
    assert set(connects) == {"127.0.0.1"}
    assert set(script.asked) == {f"store.example:{port}"}
