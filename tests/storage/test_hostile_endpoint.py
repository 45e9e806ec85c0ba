"""Endpoints are user input: one that trickles, floods or never ends must not keep a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from bucket_server import KEY
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.storage.base import Access, StorageError, StoredObject
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.storage.guarded import Deadline, DeadlineExceededError, GuardedSession
from savedmodel_operator.storage.s3 import MAX_PAGES, S3Store, make_client, open_s3

Script = Callable[[socket.socket], None]


class Raw:
    """A server that does with each connection's request what a script says."""

    def __init__(self) -> None:
        self.script: Script = lambda _: None
        self.stopped = threading.Event()
        self.requests = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        port = self._server.getsockname()[1]
        self.access = Access("models", endpoint=f"http://127.0.0.1:{port}", credentials=KEY)

    def store(self) -> S3Store:
        return open_s3(self.access, ["127.0.0.1"])

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._server.close()

    def trickle(self, connection: socket.socket, start: bytes) -> None:
        """One byte each 50 ms: far below any timeout of a single read."""
        connection.sendall(start)
        while not self.stopped.wait(0.05):
            connection.sendall(b"x")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            self.requests += 1
            self.script(connection)


@pytest.fixture
def raw() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.close()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 503 Slow\r\nContent-Length: 1000000\r\n\r\n",
    ],
    ids=["nothing", "status line", "header", "body", "error body"],
)
def test_a_trickle_ends_at_the_deadline(raw: Raw, start: bytes):
    raw.script = lambda connection: raw.trickle(connection, start)
    session = GuardedSession(EndpointGuard(["127.0.0.1"]), timeout=(5, 20), connections=1)
    client = make_client(raw.access, session)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError), Deadline(0.5):
        client.list_objects_v2(Bucket="models")
    assert time.monotonic() - begun < 5
    assert raw.requests == 1


def test_a_trickled_range_ends_too(raw: Raw):
    head = b'HTTP/1.1 206 OK\r\nETag: "e"\r\nContent-Length: 1000000\r\n\r\n'
    raw.script = lambda connection: raw.trickle(connection, head)
    session = GuardedSession(EndpointGuard(["127.0.0.1"]), timeout=(5, 20), connections=1)
    client = make_client(raw.access, session)
    with pytest.raises(DeadlineExceededError), Deadline(0.5):
        client.get_object(Bucket="models", Key="x")["Body"].read(1000)


def test_the_next_exchange_is_free_of_the_last_deadline(raw: Raw):
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
    raw.script = lambda connection: raw.trickle(connection, b"")
    session = GuardedSession(EndpointGuard(["127.0.0.1"]), timeout=(5, 20), connections=1)
    store = S3Store(raw.access, make_client(raw.access, session), session, 0.3)
    with pytest.raises(StorageError) as caught:
        store.directories("")
    assert caught.value.reason is Reason.StorageUnavailable
    raw.script = lambda connection: connection.sendall(answer)
    assert store.directories("") == []


@pytest.mark.parametrize("status", [b"200 OK", b"500 Broken"])
def test_a_flood_is_not_kept(raw: Raw, status: bytes):
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %s\r\nConnection: close\r\n\r\n" % status)
        while not raw.stopped.is_set():
            connection.sendall(b" " * 1_000_000)

    raw.script = flood
    with pytest.raises(StorageError) as caught:
        raw.store().directories("")
    assert caught.value.reason is Reason.StorageUnavailable


def test_what_is_no_s3(raw: Raw):
    page = b"<!doctype html><title>Welcome</title><p>hello"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
    raw.script = lambda connection: connection.sendall(answer)
    with pytest.raises(StorageError) as caught:
        raw.store().directories("")
    assert caught.value.reason is Reason.StorageUnavailable
    with pytest.raises(StorageError) as caught:
        raw.store().detail(StoredObject("x", 1, "e"))
    assert caught.value.reason is Reason.Unreachable
    assert "spec.source.endpoint" in caught.value.message


def listing(entry: str, token: str = "") -> bytes:
    truncated = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    page = (
        f"<ListBucketResult><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{truncated}"
        f"{entry}</ListBucketResult>"
    ).encode()
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
        len(page),
        page,
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("<Contents><Size>1</Size></Contents>", Reason.Unreachable),
        ("<Contents><Key>b/x</Key><Size>1</Size></Contents>", Reason.StorageUnavailable),
        ("<Contents><Key>a/x</Key><Size>-1</Size></Contents>", Reason.StorageUnavailable),
    ],
)
def test_listings_that_make_no_sense(raw: Raw, entry: str, reason: Reason):
    raw.script = lambda connection: connection.sendall(listing(entry))
    with pytest.raises(StorageError) as caught:
        list(raw.store().objects("a/"))
    assert caught.value.reason is reason


def test_a_listing_without_end(raw: Raw):
    tokens = count()
    raw.script = lambda connection: connection.sendall(listing("", f"t{next(tokens)}"))
    with pytest.raises(StorageError) as caught:
        raw.store().directories("")
    assert caught.value.reason is Reason.TooManyObjects
    assert raw.requests == MAX_PAGES
