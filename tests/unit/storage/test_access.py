"""From the API's source to an opened bucket's parameters."""

from __future__ import annotations

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import LocalObjectReference, Source
from savedmodel_operator.storage.base import Credentials, StorageError, access_of
from savedmodel_operator.storage.s3 import open_s3

KEY = Credentials("id", "secret")


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://models", "models", ""),
        ("s3://models/", "models", ""),
        ("s3://models/flowers", "models", "flowers/"),
        ("s3://models/flowers/", "models", "flowers/"),
        ("s3://my.models/a b/ü", "my.models", "a b/ü/"),
    ],
)
def test_places(uri: str, bucket: str, prefix: str):
    access, found = access_of(Source(uri=uri), KEY)
    assert (access.bucket, found) == (bucket, prefix)


@pytest.mark.parametrize(
    "uri", ["", "models", "gs://models", "s3://", "s3:///x", "s3://m/a//b", "s3://m/a/../b"]
)
def test_what_is_no_place(uri: str):
    with pytest.raises(StorageError) as caught:
        access_of(Source(uri=uri), KEY)
    assert caught.value.reason is Reason.InvalidSpec


@pytest.mark.parametrize(
    ("endpoint", "addressing", "path_style"),
    [
        (None, "Auto", False),
        ("https://s3.example", "Auto", True),
        ("https://s3.example", "Virtual", False),
        (None, "Path", True),
    ],
)
def test_addressing(endpoint: str | None, addressing: str, path_style: bool):
    source = Source(uri="s3://m", endpoint=endpoint, addressing=addressing)  # type: ignore[arg-type]
    assert access_of(source, KEY)[0].path_style is path_style


def test_the_secret_is_named_in_words():
    source = Source(uri="s3://m", secret_ref=LocalObjectReference(name="storage"))
    access, _ = access_of(source, None)
    assert access.key_name == "the key in Secret storage"
    with pytest.raises(StorageError) as caught:
        open_s3(access)
    assert caught.value.reason is Reason.SecretMissing


def test_an_endpoint_that_is_no_url():
    access, _ = access_of(Source(uri="s3://m", endpoint="s3.example"), KEY)
    with pytest.raises(StorageError) as caught:
        open_s3(access)
    assert caught.value.reason is Reason.InvalidSpec


def test_the_same_access_is_one_store():
    access, _ = access_of(Source(uri="s3://m", endpoint="https://s3.example"), KEY)
    other, _ = access_of(
        Source(uri="s3://m", endpoint="https://s3.example"), Credentials("id", "x")
    )
    first = open_s3(access, ["s3.example"])
    assert open_s3(access, ("s3.example",)) is first
    assert open_s3(access, ()) is not first
    assert open_s3(other, ["s3.example"]) is not first
