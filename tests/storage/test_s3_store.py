"""The store through boto3 and the guard, against a real S3 server: bytes, refusals, sentences."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bucket_server import HASTY, KEY, Bucket, S3Server
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import Access, Credentials, StorageError, StoredObject
from savedmodel_operator.storage.fetch import fetch
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.storage.guarded import GuardedSession
from savedmodel_operator.storage.lock import fingerprint_objects
from savedmodel_operator.storage.s3 import S3Store, make_client, open_s3
from savedmodel_operator.storage.transfer import Transfer

from .proxy import Proxy
from .test_fetch import PREFIX, make_lock


def test_listing_pages_and_odd_keys(bucket: Bucket):
    names = [f"{n:04d} %2F+ü&=" for n in range(2100)]
    bucket.place_tree("a/", dict.fromkeys(names, b""))
    assert [o.key for o in bucket.store().objects("a/")] == [f"a/{n}" for n in sorted(names)]


def test_a_prefix_without_slash_is_a_mistake(bucket: Bucket):
    with pytest.raises(ValueError, match="ends in /"):
        bucket.store().directories("model/1")


def test_ranges(bucket: Bucket):
    body = bytes(range(256))
    bucket.put("x", body)
    item = next(bucket.store().objects(""))
    source = bucket.store().open(item)
    assert source.size == 256
    for offset, length in [(0, 256), (255, 1), (10, 0), (100, 50)]:
        assert source.read(offset, length) == body[offset : offset + length]
    with pytest.raises(ValueError, match="of 256 bytes"):
        source.read(200, 57)


def test_reads_of_an_overwritten_object_fail(bucket: Bucket):
    bucket.put("x", b"before")
    store = bucket.store()
    item = next(store.objects(""))
    bucket.put("x", b"after!")
    for read in (lambda: store.open(item).read(0, 6), lambda: store.detail(item)):
        with pytest.raises(StorageError) as caught:
            read()
        assert caught.value.reason is Reason.ObjectChanged


def test_a_deleted_object_is_gone(bucket: Bucket):
    with pytest.raises(StorageError) as caught:
        bucket.store().detail(StoredObject("x", 1, "0" * 32))
    assert caught.value.reason is Reason.ObjectGone


CASES: list[tuple[str, dict[str, Any], tuple[str, ...], Reason, str]] = [
    ("bucket", {"bucket": "not-there"}, ("127.0.0.1",), Reason.NoSuchBucket, "spec.source.uri"),
    (
        "key",
        {"credentials": Credentials("AKIDNOBODY", "x")},
        ("127.0.0.1",),
        Reason.Forbidden,
        "AWS_ACCESS_KEY_ID",
    ),
    (
        "secret",
        {"credentials": Credentials("AKIDTEST", "x")},
        ("127.0.0.1",),
        Reason.Forbidden,
        "AWS_SECRET_ACCESS_KEY",
    ),
    (
        "anonymous",
        {"credentials": None, "anonymous": True},
        ("127.0.0.1",),
        Reason.Forbidden,
        "anonymous access",
    ),
    (
        "port",
        {"endpoint": "http://127.0.0.1:1"},
        ("127.0.0.1",),
        Reason.Unreachable,
        "spec.source.endpoint",
    ),
    (
        "name",
        {"endpoint": "http://nobody.invalid"},
        ("nobody.invalid",),
        Reason.Unreachable,
        "spec.source.endpoint",
    ),
    ("unlisted", {}, (), Reason.EndpointForbidden, "storage.allowedEndpoints"),
    (
        "loopback",
        {"endpoint": "https://localhost:1"},
        (),
        Reason.EndpointForbidden,
        "localhost is a loopback address",
    ),
    (
        "metadata",
        {"endpoint": "http://169.254.169.254"},
        ("*.example",),
        Reason.EndpointForbidden,
        "169.254.169.254",
    ),
]


@pytest.mark.parametrize(
    ("changes", "allowed", "reason", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_refusals(
    bucket: Bucket, changes: dict[str, Any], allowed: tuple[str, ...], reason: Reason, said: str
):
    store = open_s3(replace(bucket.access, **changes), allowed)
    with pytest.raises(StorageError) as caught:
        store.directories("x/")
    assert caught.value.reason is reason
    assert said in caught.value.message
    for secret in ("AKID", KEY.secret_access_key):
        assert secret not in caught.value.message


def test_without_a_key_nothing_is_asked(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    """Keys of the operator's own surroundings are not a tenant's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret_access_key)
    with pytest.raises(StorageError) as caught:
        open_s3(replace(bucket.access, credentials=None), ["127.0.0.1"])
    assert caught.value.reason is Reason.SecretMissing
    with pytest.raises(StorageError) as caught:
        bucket.server.store(bucket.name, credentials=None, anonymous=True).directories("")
    assert caught.value.reason is Reason.Forbidden


def test_the_environment_does_not_redirect_us(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    bucket.put("1/x", b"x")
    assert bucket.store().directories("") == ["1"]


def test_the_environment_names_no_endpoint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    access = Access("models", region="eu-west-1", credentials=KEY)
    session = GuardedSession(EndpointGuard(), timeout=(5, 5), connections=1)
    url = make_client(access, session).meta.endpoint_url
    assert url == "https://s3.eu-west-1.amazonaws.com"


def test_without_tls_not_even_a_name_is_asked():
    asked: list[str] = []

    def resolver(host: str, _: int) -> list[tuple[int, tuple[str, int]]]:
        asked.append(host)
        return []

    access = Access("models", endpoint="http://public.test", credentials=KEY)
    session = GuardedSession(EndpointGuard(resolver=resolver), timeout=(5, 5), connections=1)
    with pytest.raises(StorageError) as caught:
        S3Store(access, make_client(access, session), session).directories("")
    assert caught.value.reason is Reason.EndpointForbidden
    assert "without TLS" in caught.value.message
    assert asked == []


class _Redirect(BaseHTTPRequestHandler):
    paths: list[str] = []  # noqa: RUF012  # of all requests, on purpose

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(307)
        self.send_header("Location", "http://127.0.0.1:1/secrets")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:  # what botocore asks where it believes in another region
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def redirecting() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Redirect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_redirects_are_not_followed(server: S3Server, redirecting: str):
    with pytest.raises(StorageError) as caught:
        server.store("models", endpoint=redirecting).directories("x/")
    assert caught.value.reason is Reason.Forbidden
    assert "redirects are not followed" in caught.value.message
    [path] = _Redirect.paths
    assert path.startswith("/models?")


def test_the_connection_goes_to_the_judged_address(bucket: Bucket):
    """A name that says 8.8.8.8 first and loopback later (DNS rebinding) is asked only once."""
    bucket.put("1/x", b"x")
    port = bucket.server.port
    asked: list[str] = []

    def resolver(host: str, _: int) -> list[tuple[int, tuple[str, int]]]:
        asked.append(host)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    access = bucket.server.access(bucket.name, endpoint=f"http://rebinding.test:{port}")
    guard = EndpointGuard(["rebinding.test"], resolver=resolver)
    session = GuardedSession(guard, timeout=(5, 5), connections=1)
    store = S3Store(access, make_client(access, session), session)
    assert store.directories("") == ["1"]
    assert asked == ["rebinding.test"]


def test_virtual_addressing(bucket: Bucket, tmp_path: Path):
    """BUCKET.s3.test is the host; the list names s3.test."""
    bucket.put("1/x", b"x")
    port = bucket.server.port
    hosts: list[str] = []

    def resolver(host: str, _: int) -> list[tuple[int, tuple[str, int]]]:
        hosts.append(host)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    access = bucket.server.access(
        bucket.name, endpoint=f"http://s3.test:{port}", addressing="Virtual"
    )
    guard = EndpointGuard(["s3.test"], bucket=bucket.name, resolver=resolver)
    session = GuardedSession(guard, timeout=(5, 5), connections=1)
    assert S3Store(access, make_client(access, session), session).directories("") == ["1"]
    assert hosts == [f"{bucket.name}.s3.test"]


def test_an_own_certificate_authority(tls: tuple[S3Server, bytes], tmp_path: Path):
    server, pem = tls
    trusting = Bucket(server, "models", ca_bundle=pem, folder=tmp_path)
    trusting.put(f"{PREFIX}x", b"secure")
    lock = make_lock(trusting)
    done = fetch(lock, tmp_path / "m", Transfer(trusting.access, PREFIX, HASTY))
    assert (done.path / "x").read_bytes() == b"secure"


def test_an_unknown_certificate_is_said(tls: tuple[S3Server, bytes], tmp_path: Path):
    server, _ = tls
    with pytest.raises(StorageError) as caught:
        server.store("models").directories("")
    assert caught.value.reason is Reason.Unreachable
    assert "spec.source.caBundle" in caught.value.message
    one = LockedObject("x", 1, "0" * 32)
    lock = Lock("models", PREFIX, 7, "7", fingerprint_objects((one,)), (one,))
    with pytest.raises(StorageError) as caught:
        fetch(lock, tmp_path, Transfer(server.access("models"), PREFIX, HASTY))
    assert caught.value.reason is Reason.StorageUnavailable
    assert "spec.source.caBundle" in caught.value.message


def test_a_store_that_stops_answering(bucket: Bucket):
    """The body of a listing is cut again and again: transient, and no half listing is believed."""
    bucket.place_tree("a/", {f"{n:05d}": b"" for n in range(900)})
    proxy = Proxy(bucket.server.port, limit=10_000, mode="cut", cuts=10**6)
    try:
        with pytest.raises(StorageError) as caught:
            list(bucket.server.store(bucket.name, endpoint=proxy.endpoint).objects("a/"))
    finally:
        proxy.close()
    assert (caught.value.reason, caught.value.transient) == (Reason.StorageUnavailable, True)


def test_nothing_secret_in_reprs():
    access = Access("b", credentials=Credentials("AKID", "hush", "token"), ca_bundle=b"PEM")
    for word in ("AKID", "hush", "token", "PEM"):
        assert word not in repr(access)
