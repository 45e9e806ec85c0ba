"""The development cluster's S3 server behaves as a store: versions, ranges, conditions, refusals."""

import hashlib
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from lab import s3
from lab.instance import current
from lab.provider import recorded

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def store() -> s3.Store:
    assert recorded(current()), "start the cluster first: dev/cluster up"
    return s3.ensure()


@pytest.fixture
def client(store: s3.Store) -> "S3Client":
    return store.client()


@pytest.fixture
def bucket(client: "S3Client") -> Iterator[str]:
    name = f"test-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    yield name
    versions = client.list_object_versions(Bucket=name)
    for found in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        client.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    for item in client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_object(Bucket=name, Key=item["Key"])
    client.delete_bucket(Bucket=name)


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def test_a_range_and_a_checksum_come_back(client: "S3Client", bucket: str) -> None:
    body = bytes(range(256)) * 64
    client.put_object(Bucket=bucket, Key="m/1/x", Body=body, ChecksumAlgorithm="SHA256")
    part = client.get_object(Bucket=bucket, Key="m/1/x", Range="bytes=300-399")
    assert part["Body"].read() == body[300:400]
    head = client.head_object(Bucket=bucket, Key="m/1/x", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == b64encode(hashlib.sha256(body).digest()).decode()


def test_a_changed_object_is_refused_to_who_expects_the_old(
    client: "S3Client", bucket: str
) -> None:
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket=bucket, Key="k", IfMatch=old)
    assert code(caught.value) == "PreconditionFailed"


def test_a_versioned_bucket_keeps_what_was_overwritten(client: "S3Client", bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = client.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert client.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    assert client.head_object(Bucket=bucket, Key="k")["VersionId"] == second


def test_another_account_is_refused(store: s3.Store, client: "S3Client", bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    other = s3.account("stranger").client()
    with pytest.raises(ClientError) as caught:
        other.get_object(Bucket=bucket, Key="k")
    assert code(caught.value) == "AccessDenied"


def test_a_wrong_secret_is_refused(store: s3.Store, bucket: str) -> None:
    wrong = s3.Store(store.endpoint, store.host_endpoint, secret_key="wrong").client()
    with pytest.raises(ClientError) as caught:
        wrong.list_objects_v2(Bucket=bucket)
    assert code(caught.value) == "SignatureDoesNotMatch"


def test_without_credentials_nothing_is_seen(store: s3.Store, bucket: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(f"{store.host_endpoint}/{bucket}?list-type=2", timeout=5)
    with caught.value:
        assert caught.value.code == 403


def test_asking_again_gives_the_same_server(store: s3.Store) -> None:
    assert s3.ensure() == store
