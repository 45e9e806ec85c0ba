"""The campaign's proxy before a real S3 server: what is injected happens, and nothing else does."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from bucket_server import KEY, Bucket
from lab.injection.store_faults import (
    AddKey,
    Corrupt,
    Delay,
    LoseAnswer,
    Match,
    OmitKey,
    Partition,
    Redirect,
    Refuse,
    RepeatKey,
    Request,
    Trickle,
    Truncate,
)
from lab.injection.store_proxy import StoreProxy

LISTING = Match(listing=True)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[StoreProxy]:
    with StoreProxy(bucket.server.endpoint) as made:
        yield made


@pytest.fixture
def client(proxy: StoreProxy) -> Iterator[Any]:
    """boto3 through the proxy, which asks each thing once."""
    made = boto3.client(
        "s3",
        endpoint_url=proxy.endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY.access_key_id,
        aws_secret_access_key=KEY.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=20, proxies={}),
    )
    yield made
    made.close()


def keys(client: Any, bucket: Bucket) -> list[str]:
    page = client.list_objects_v2(Bucket=bucket.name)
    return [entry["Key"] for entry in page.get("Contents", ())]


def raw(proxy: StoreProxy, path: str) -> tuple[int, dict[str, str], bytes]:
    """One anonymous GET without any client's own wisdom. Raises OSError, HTTPException."""
    place = urlsplit(proxy.endpoint)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_without_a_fault_it_is_the_store(client: Any, proxy: StoreProxy, bucket: Bucket):
    """Signatures, checksums of uploads, ranges, HEADs and odd keys pass."""
    body = bytes(range(256)) * 5000
    client.put_object(Bucket=bucket.name, Key="a/ü %2F+&", Body=body, ChecksumAlgorithm="CRC32")
    assert keys(client, bucket) == ["a/ü %2F+&"]
    head = client.head_object(Bucket=bucket.name, Key="a/ü %2F+&", ChecksumMode="ENABLED")
    assert head["ContentLength"] == len(body)
    assert head["ChecksumCRC32"]
    got = client.get_object(Bucket=bucket.name, Key="a/ü %2F+&", Range="bytes=1000-1999")
    assert got["Body"].read() == body[1000:2000]
    client.delete_object(Bucket=bucket.name, Key="a/ü %2F+&")
    assert keys(client, bucket) == []
    methods = " ".join(entry.request.method for entry in proxy.log)
    assert methods == "PUT GET HEAD GET DELETE GET"
    assert proxy.log[0].request == Request(
        "PUT", bucket.name, "a/ü %2F+&", False, KEY.access_key_id
    )
    assert {entry.fault for entry in proxy.log} == {None}


def test_it_refuses_so_many_times_and_only_what_matches(
    client: Any, proxy: StoreProxy, bucket: Bucket
):
    bucket.put("x", b"1")
    with proxy.inject(Refuse(503, "SlowDown", retry_after=7), LISTING, times=2) as injected:
        assert client.get_object(Bucket=bucket.name, Key="x")["Body"].read() == b"1"
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                keys(client, bucket)
            assert caught.value.response["Error"]["Code"] == "SlowDown"
            told = caught.value.response["ResponseMetadata"]
            assert (told["HTTPStatusCode"], told["HTTPHeaders"]["retry-after"]) == (503, "7")
        assert keys(client, bucket) == ["x"]
    assert injected.hits == 2
    assert [e.status for e in proxy.log if e.fault == injected.fault] == [503, 503]


def test_a_removed_injection_is_gone(client: Any, proxy: StoreProxy, bucket: Bucket):
    with proxy.inject(Refuse(403, "AccessDenied")), pytest.raises(ClientError):
        keys(client, bucket)
    assert keys(client, bucket) == []


def test_a_delay_ends_with_its_injection(proxy: StoreProxy):
    with proxy.inject(Delay(0.2)):
        begun = time.monotonic()
        raw(proxy, "/")
        assert time.monotonic() - begun >= 0.2
    answers: list[int] = []
    long = proxy.inject(Delay(600))
    asking = threading.Thread(target=lambda: answers.append(raw(proxy, "/")[0]))
    asking.start()
    assert long.wait(1, 20)
    assert answers == []
    long.remove()
    asking.join(20)
    assert answers == [403]


def test_a_lost_answer_was_done(client: Any, proxy: StoreProxy, bucket: Bucket):
    with proxy.inject(LoseAnswer(), Match(methods=("PUT",))):
        with pytest.raises(Exception, match=r"[Cc]onnection"):
            client.put_object(Bucket=bucket.name, Key="x", Body=b"1")
        with pytest.raises(ConnectionResetError) as caught:
            put(proxy, "/x")
        assert not isinstance(caught.value, http.client.RemoteDisconnected), "ended, not reset"
    assert bucket.client.get_object(Bucket=bucket.name, Key="x")["Body"].read() == b"1"


def put(proxy: StoreProxy, path: str) -> None:
    place = urlsplit(proxy.endpoint)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    try:
        connection.request("PUT", path, body=b"1")
        connection.getresponse()
    finally:
        connection.close()


def test_a_trickle_comes_whole_and_slowly(client: Any, proxy: StoreProxy, bucket: Bucket):
    bucket.put("x", b"a" * 1000)
    with proxy.inject(Trickle(2000), Match(key="x")):
        begun = time.monotonic()
        assert client.get_object(Bucket=bucket.name, Key="x")["Body"].read() == b"a" * 1000
        assert time.monotonic() - begun >= 0.4


def test_a_truncated_body_ends_early(client: Any, proxy: StoreProxy, bucket: Bucket):
    bucket.put("x", b"a" * 1000)
    with proxy.inject(Truncate(10)):
        body = client.get_object(Bucket=bucket.name, Key="x")["Body"]
        with pytest.raises(Exception, match="10"):
            body.read()


def test_one_bit_of_one_byte_is_corrupt(client: Any, proxy: StoreProxy, bucket: Bucket):
    body = bytes(range(100))
    bucket.put("x", body)

    def read(span: str) -> bytes:
        return bytes(client.get_object(Bucket=bucket.name, Key="x", Range=span)["Body"].read())

    with proxy.inject(Corrupt(50)):
        assert read("bytes=0-49") == body[:50]
        assert read("bytes=40-59") == body[40:50] + bytes([51]) + body[51:60]
    assert read("bytes=0-99") == body


def test_a_redirect_names_the_place(proxy: StoreProxy):
    with proxy.inject(Redirect("http://127.0.0.1:1/secrets")):
        status, headers, _ = raw(proxy, "/b/x")
    assert (status, headers["Location"]) == (307, "http://127.0.0.1:1/secrets")


def test_listings_omit_and_repeat(client: Any, proxy: StoreProxy, bucket: Bucket):
    for key in ("1/a b", "1/c", "2/d"):
        bucket.put(key, b"x")

    def folders() -> list[str]:
        page = client.list_objects_v2(Bucket=bucket.name, Delimiter="/")
        return [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]

    with proxy.inject(OmitKey("1/a b")):
        assert keys(client, bucket) == ["1/c", "2/d"]
    with proxy.inject(RepeatKey("1/*")):
        assert keys(client, bucket) == ["1/a b", "1/a b", "1/c", "1/c", "2/d"]
        assert folders() == ["1/", "1/", "2/"]
    with proxy.inject(OmitKey("2/")):
        assert folders() == ["1/"]
    with proxy.inject(AddKey("../a\0b")):
        assert keys(client, bucket) == ["1/a b", "1/c", "2/d", "../a\0b"]


def test_requests_are_told_apart_by_their_key(client: Any, proxy: StoreProxy, bucket: Bucket):
    with proxy.inject(Refuse(403, "ExpiredToken"), Match(access_key="AKIDOLD*")):
        assert keys(client, bucket) == []
    with proxy.inject(Refuse(403, "ExpiredToken"), Match(access_key=KEY.access_key_id)):
        with pytest.raises(ClientError, match="ExpiredToken"):
            keys(client, bucket)
        assert raw(proxy, f"/{bucket.name}/x")[0] == 403  # the store's own word
    assert [entry.status for entry in proxy.log] == [200, 403, 403]
    assert proxy.log[-1].fault is None


def test_a_partition_hangs_until_it_ends(client: Any, proxy: StoreProxy, bucket: Bucket):
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(keys(client, bucket))
        except Exception as error:
            outcome.append(type(error).__name__)

    cut = proxy.inject(Partition())
    asking = threading.Thread(target=ask)
    asking.start()
    assert cut.wait(1, 20)
    assert outcome == []
    cut.remove()
    asking.join(20)
    assert outcome == ["ConnectionClosedError"]
    assert keys(client, bucket) == []


def test_it_ends_with_requests_under_way(bucket: Bucket):
    proxy = StoreProxy(bucket.server.endpoint)
    cut = proxy.inject(Partition())
    broken: list[BaseException] = []

    def ask() -> None:
        try:
            raw(proxy, "/")
        except (OSError, http.client.HTTPException) as error:
            broken.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert cut.wait(1, 20)
    proxy.close()
    asking.join(20)
    assert len(broken) == 1
