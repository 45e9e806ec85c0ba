"""A version directory in an S3 bucket: its listing, and its objects as ranged reads.

One of the places of `target`. It works with the rights of whoever calls: key, profile, region,
endpoint, proxy and trusted certificates are found as AWS's own tools find them. The operator's
guard against hostile endpoints has no place here, and redirects are followed here neither. It
must not judge what it reads, and never says what a store says in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import botocore.session
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import BotoCoreError

from savedmodel_operator.cli.reading import (
    GRAPH_FILES,
    MAX_FILES,
    NotReadableError,
    looks_like_version,
    no_version,
)
from savedmodel_operator.savedmodel import Source
from savedmodel_operator.storage.base import Access, StorageError, StoredObject, Words
from savedmodel_operator.storage.s3 import ATTEMPTS, CONNECT_SECONDS, READ_SECONDS, S3Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from savedmodel_operator.cli.target import StoreOptions

WORDS = Words(
    source="the URL and the options",
    uri="the URL",
    endpoint="--endpoint-url",
    region="--region",
    ca_bundle="AWS_CA_BUNDLE",
    key="the key of your AWS environment",
)

EXCHANGE_SECONDS = 300.0
"""For one range of at most `BucketPlace.chunk` bytes: 28 kB/s."""

FIRST_PAGE = 1000
"""Keys of one answer; a folder of versions shows in the first."""


def open_bucket(url: str, options: StoreOptions) -> BucketPlace:
    """The version directory at s3://BUCKET/PATH. Opens no connection yet.

    Raises NotReadableError for a URL or options that lead nowhere, and without a key.
    """
    bucket, _, path = url.removeprefix("s3://").partition("/")
    folder, _, last = path.rstrip("/").rpartition("/")
    path = folder if last in GRAPH_FILES else path.rstrip("/")
    if not bucket:
        raise NotReadableError(f"{url} names no bucket: write s3://BUCKET/PATH/OF/VERSION")
    with _set_up():
        client = _client(options)
    access = Access(
        bucket=bucket,
        endpoint=None if _is_aws(client) else client.meta.endpoint_url,
        region=client.meta.region_name,
        anonymous=options.anonymous,
        words=WORDS,
    )
    return BucketPlace(S3Store(access, client, client, EXCHANGE_SECONDS), path)


class BucketPlace:
    """See `target.Place`."""

    chunk = 8 * 1024 * 1024  # a round trip counts little beside that many

    def __init__(self, store: S3Store, path: str) -> None:
        self._store = store
        self._path = path
        self._objects: dict[str, StoredObject] = {}

    @property
    def name(self) -> str:
        """The URL, without a slash at its end."""
        return f"s3://{self._store.access.bucket}/{self._path}".rstrip("/")

    def listing(self) -> dict[str, int]:
        """Relative key → size in bytes, without the markers that consoles make for folders."""
        prefix = f"{self._path}/" if self._path else ""
        with _answered():
            found = self._store.objects(prefix)
            first = list(islice(found, FIRST_PAGE))
            if all(item.key[len(prefix) :].partition("/")[0].isdecimal() for item in first):
                raise self._no_version(prefix, first)
            for item in chain(first, found):
                key = item.key.removeprefix(prefix)
                if key and not (key.endswith("/") and item.size == 0):
                    self._objects[key] = item
                if len(self._objects) > MAX_FILES:
                    raise NotReadableError(f"{self.name} has more than {MAX_FILES} objects")
            if not any(map(looks_like_version, self._objects)):
                raise self._no_version(prefix, first)
        return {key: item.size for key, item in self._objects.items()}

    def open(self, key: str) -> Source:
        """An object of the listing; it is read as it was listed, or not at all."""
        return _Answered(self._store.open(self._objects[key]))

    def _no_version(self, prefix: str, first: list[StoredObject]) -> NotReadableError:
        if not first:
            return NotReadableError(
                f"there is nothing under {self.name}/: check the path; the bucket can be read"
            )
        return no_version(self.name, self._store.directories(prefix))


class _Answered:
    """A `Source` whose storage errors are answers to the person who called."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def size(self) -> int:
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        with _answered():
            return self._source.read(offset, length)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise NotReadableError(f"{error.reason.value}: {error.message}") from error


@contextmanager
def _set_up() -> Iterator[None]:
    """Errors of the AWS environment; their texts name profiles and files, never keys."""
    try:
        yield
    except (BotoCoreError, ValueError) as error:
        raise NotReadableError(f"the AWS environment cannot be used: {error}") from error


def _client(options: StoreOptions) -> S3Client:
    session = botocore.session.Session()
    if not options.anonymous:
        _expect_key(session)
    styles: dict[str, Literal["auto", "path", "virtual"]] = {"Path": "path", "Virtual": "virtual"}
    style = styles.get(options.addressing, "auto")
    client: Any = session.create_client(
        "s3",
        region_name=options.region or session.get_config_variable("region") or "us-east-1",
        endpoint_url=options.endpoint_url,
        config=Config(
            signature_version=UNSIGNED if options.anonymous else "s3v4",
            s3={"addressing_style": style},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra="savedmodel",
        ),
    )
    found: S3Client = client
    return found


def _expect_key(session: Any) -> None:
    key = session.get_credentials()
    if key is None:
        raise NotReadableError(
            "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or say --anonymous for a public bucket"
        )
    key.get_frozen_credentials()  # an expired login shows here, in botocore's words


def _is_aws(client: S3Client) -> bool:
    host = client.meta.endpoint_url.partition("://")[2]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
