"""What a store can answer, and what is made of it: by the operator's reads and by the fetcher.

A small HTTP server gives the answers that versitygw never would; codes are those of the S3 API's
list of error responses.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bucket_server import HASTY, KEY
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import Access, StorageError, StoredObject
from savedmodel_operator.storage.fetch import fetch
from savedmodel_operator.storage.lock import fingerprint_objects
from savedmodel_operator.storage.s3 import open_s3
from savedmodel_operator.storage.transfer import Transfer

ETAG = "0123456789abcdef0123456789abcdef"
INJECTED = "words of the store"


class Answering:
    """Answers every request with one status, S3 error code and extra headers."""

    def __init__(self) -> None:
        self.status, self.code = 200, ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.seen: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                xml = f"<Error><Code>{outer.code}</Code><Message>{INJECTED}</Message></Error>"
                body = outer.body or xml.encode()
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.access = Access(
            "models", endpoint=f"http://127.0.0.1:{self.server.server_port}", credentials=KEY
        )


@pytest.fixture
def answering() -> Iterator[Answering]:
    made = Answering()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


ANSWERS = [
    (403, "AccessDenied", Reason.Forbidden, "s3:ListBucket", False),
    (403, "ExpiredToken", Reason.Forbidden, "renew it", False),
    (400, "ExpiredToken", Reason.Forbidden, "renew it", False),
    (403, "InvalidAccessKeyId", Reason.Forbidden, "AWS_ACCESS_KEY_ID", False),
    (403, "SignatureDoesNotMatch", Reason.Forbidden, "AWS_SECRET_ACCESS_KEY", False),
    (403, "RequestTimeTooSkewed", Reason.Forbidden, "clock", False),
    (403, "SomethingNew", Reason.Forbidden, "refuses", False),
    (400, "AuthorizationHeaderMalformed", Reason.Forbidden, "spec.source.region", False),
    (301, "PermanentRedirect", Reason.Forbidden, "spec.source.region", False),
    (404, "NoSuchBucket", Reason.NoSuchBucket, "spec.source.uri", False),
    (503, "SlowDown", Reason.StorageUnavailable, "throttling", True),
    (429, "TooManyRequests", Reason.StorageUnavailable, "throttling", True),
    (500, "InternalError", Reason.StorageUnavailable, "HTTP 500", True),
]


@pytest.mark.parametrize(("status", "code", "reason", "said", "transient"), ANSWERS)
def test_listing(
    answering: Answering, status: int, code: str, reason: Reason, said: str, transient: bool
):
    answering.status, answering.code = status, code
    with pytest.raises(StorageError) as caught:
        open_s3(answering.access, ["127.0.0.1"]).directories("flowers/")
    error = caught.value
    assert (error.reason, error.transient) == (reason, transient)
    assert said in error.message
    assert INJECTED not in error.message
    assert len(answering.seen) <= 3


FETCHED = [
    (403, "AccessDenied", Reason.Forbidden),
    (400, "ExpiredToken", Reason.Forbidden),
    (401, "Unauthorized", Reason.Forbidden),
    (301, "PermanentRedirect", Reason.Forbidden),
    (404, "NoSuchBucket", Reason.NoSuchBucket),
    (404, "NoSuchKey", Reason.ObjectGone),
    (404, "NoSuchVersion", Reason.ObjectGone),
    (412, "PreconditionFailed", Reason.ObjectChanged),
    (416, "InvalidRange", Reason.ObjectChanged),
    (503, "SlowDown", Reason.StorageUnavailable),
    (500, "InternalError", Reason.StorageUnavailable),
]


def lock_of(size: int) -> Lock:
    objects = (LockedObject("saved_model.pb", size, ETAG),)
    return Lock("models", "flowers/1/", 1, "1", fingerprint_objects(objects), objects)


@pytest.mark.parametrize(("status", "code", "reason"), FETCHED)
def test_fetching(answering: Answering, tmp_path: Path, status: int, code: str, reason: Reason):
    answering.status, answering.code = status, code
    with pytest.raises(StorageError) as caught:
        fetch(lock_of(5), tmp_path, Transfer(answering.access, "flowers/1/", HASTY))
    assert caught.value.reason is reason
    assert INJECTED not in caught.value.message
    assert all(headers["if-match"] == f'"{ETAG}"' for _, headers in answering.seen)


@pytest.mark.parametrize(
    ("etag", "size", "passes"),
    [(ETAG, 5, True), ("f" * 32, 5, False), (ETAG, 6, False)],
    ids=["the same", "another ETag", "another size"],
)
def test_a_store_that_ignores_if_match(
    answering: Answering, tmp_path: Path, etag: str, size: int, passes: bool
):
    answering.status, answering.body = 206, b"bytes"
    answering.headers = {
        "ETag": f'"{etag}"',
        "Content-Range": f"bytes 0-4/{size}",
        "Last-Modified": "Sat, 21 Nov 2026 08:53:01 GMT",
    }
    transfer = Transfer(answering.access, "flowers/1/", HASTY)
    reader = open_s3(answering.access, ["127.0.0.1"]).open(StoredObject("x", 5, ETAG))
    if passes:
        assert (
            fetch(lock_of(5), tmp_path, transfer).path / "saved_model.pb"
        ).read_bytes() == b"bytes"
        assert reader.read(0, 5) == b"bytes"
        assert [headers["if-match"] for _, headers in answering.seen] == [f'"{ETAG}"'] * 2
        assert {headers["range"] for _, headers in answering.seen} == {"bytes=0-4"}
        return
    with pytest.raises(StorageError) as caught:
        fetch(lock_of(5), tmp_path, transfer)
    assert caught.value.reason is Reason.ObjectChanged
    if etag != ETAG:
        with pytest.raises(StorageError) as caught:
            reader.read(0, 5)
        assert caught.value.reason is Reason.ObjectChanged
    assert not (tmp_path / "1").exists()


def test_a_store_without_etags_is_refused(answering: Answering):
    answering.body = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>a/x</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    with pytest.raises(StorageError) as caught:
        list(open_s3(answering.access, ["127.0.0.1"]).objects("a/"))
    assert "without usable ETags" in caught.value.message
