"""One S3 bucket through boto3: listings, HEADs and ranged header reads over guarded connections.

Used by `discover` in worker threads. Credentials are always the given ones: no profile, no
environment, no metadata service is ever asked. It maps every error of boto3 to StorageError by
`failures` and must not decide what a version is or move model bytes (`fetch` does).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakValueDictionary

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.client import Config

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.storage.base import (
    Access,
    ObjectDetail,
    RangeSource,
    StorageError,
    StoredObject,
)
from savedmodel_operator.storage.botodata import slim_loader
from savedmodel_operator.storage.failures import mapped_errors, no_s3
from savedmodel_operator.storage.guard import EndpointGuard
from savedmodel_operator.storage.guarded import Deadline, GuardedSession
from savedmodel_operator.storage.versions import usable_etag

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
ATTEMPTS = 3

EXCHANGE_SECONDS = 60.0
"""For one call with its attempts, and for 2 MiB of headers (35 kB/s): then the thread is freed."""

MAX_PAGES = 200
"""Of one listing, twice of what is ever needed: tokens could be handed out for ever."""

CONNECTIONS = 10

MAX_DIRECTORIES = 100_000
"""100 pages of 1,000 names: about 5 s and 10 MiB. More versions than that is a mistake."""

_CHECKSUMS = (  # cheapest to verify over parallel ranges first
    ("crc32c", "ChecksumCRC32C"),
    ("crc32", "ChecksumCRC32"),
    ("sha256", "ChecksumSHA256"),
    ("sha1", "ChecksumSHA1"),
)
_ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?")
"""Narrower than a URL: of `http://a\\@b` two libraries see two hosts, and other letters than ASCII
become these in more than one way. The host that is judged must be the one that is reached."""

_making = threading.Lock()  # botocore sessions make clients one at a time
_shared_session: boto3.session.Session | None = None
_opened: WeakValueDictionary[tuple[Access, tuple[str, ...]], S3Store] = WeakValueDictionary()


def open_s3(access: Access, allowed_endpoints: Sequence[str] = ()) -> S3Store:
    """The bucket of `access`, reached only where the administrator's list lets it be.

    Opens no connection. Whoever asks for the same gets the same store while anyone holds it: a
    client takes 0.35 MiB, and a thousand objects often read one bucket with one key.
    Raises StorageError(SecretMissing) without an explicit credential and StorageError(InvalidSpec)
    for an endpoint that is no URL of a host.
    """
    if access.credentials is None and not access.anonymous:
        raise StorageError(
            Reason.SecretMissing,
            f"{access.where} needs a key: name a Secret in spec.source.secretRef or set "
            "spec.source.anonymous for a public bucket",
        )
    if access.endpoint is not None and not _ENDPOINT.fullmatch(access.endpoint):
        raise _no_url()
    key = (access, tuple(allowed_endpoints))
    with _making:
        store = _opened.get(key)
        if store is None:
            guard = EndpointGuard(
                allowed_endpoints, private=access.endpoint is None, bucket=access.bucket
            )
            session = GuardedSession(
                guard,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                connections=CONNECTIONS,
                ca_bundle=access.ca_bundle,
            )
            try:
                client = make_client(access, session)
            except ValueError as error:  # botocore's idea of a host is narrower still
                raise _no_url() from error
            _opened[key] = store = S3Store(access, client, session)
        return store


def _no_url() -> StorageError:
    return StorageError(
        Reason.InvalidSpec, "spec.source.endpoint must be a URL such as https://s3.example"
    )


def _session() -> boto3.session.Session:
    """One session for all clients (its models take 10 MiB), blind to environment and files."""
    global _shared_session  # noqa: PLW0603  # made once, under _making
    if _shared_session is None:
        blind = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
            "ignore_configured_endpoint_urls": (None, None, True, None),
        }
        core = botocore.session.Session(session_vars=blind)
        core.register_component("data_loader", slim_loader())
        _shared_session = boto3.session.Session(botocore_session=core)
    return _shared_session


def make_client(access: Access, http: GuardedSession) -> S3Client:
    """A boto3 client whose every request goes through `http`. One at a time."""
    style: Literal["path", "virtual", "auto"] = "path" if access.path_style else "auto"
    if access.addressing == "Virtual":
        style = "virtual"
    config = Config(
        signature_version=UNSIGNED if access.anonymous else "s3v4",
        s3={"addressing_style": style},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        proxies={},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="savedmodel-operator",
    )
    key = None if access.anonymous else access.credentials
    client: S3Client = _session().client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint,
        aws_access_key_id=key.access_key_id if key else None,
        aws_secret_access_key=key.secret_access_key if key else None,
        aws_session_token=key.session_token if key else None,
        config=config,
    )
    # botocore's own hook for sending a request by other means; errors keep their way.
    client.meta.events.register("before-send.s3", lambda request, **_: http.send(request))
    if access.endpoint is not None:
        client.meta.events.register("before-call.s3", _stay)
    return client


def _stay(context: dict[str, Any], **_: object) -> None:
    """Tells botocore that the request was redirected already.

    Else it asks for the bucket's region after a redirect, by a HEAD that a store which redirects
    everything redirects, too, whereupon it asks again, and so on until the deadline.
    """
    context["s3_redirect"] = {**context.get("s3_redirect", {}), "redirected": True}


class Closable(Protocol):
    """What holds the connections of a store: a guarded session, or the client itself."""

    def close(self) -> None:
        """Closes idle ones."""


class S3Store:
    """A bucket of an S3-compatible store; see `base.Store`. Safe to share by threads."""

    def __init__(
        self,
        access: Access,
        client: S3Client,
        http: Closable,
        exchange_seconds: float = EXCHANGE_SECONDS,
    ) -> None:
        self._access = access
        self._exchange_seconds = exchange_seconds
        self._client = client
        self._http = http

    @property
    def access(self) -> Access:
        """What this store was opened with."""
        return self._access

    def close(self) -> None:
        """Closes idle connections; the store can go on being used."""
        self._http.close()

    def directories(self, prefix: str) -> list[str]:
        """Names of the directories right under `prefix`, without slash, in key order."""
        names: list[str] = []
        for page in self._pages(prefix, delimiter="/"):
            entries = page.get("CommonPrefixes", ())
            names += [self._need(entry, "Prefix")[len(prefix) : -1] for entry in entries]
            if len(names) > MAX_DIRECTORIES:
                raise StorageError(
                    Reason.TooManyObjects,
                    f"{self._access.where} has more than {MAX_DIRECTORIES} directories under "
                    f"{prefix or 'its root'}: delete old versions or name a directory of its own",
                )
        return names

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects under `prefix`, in key order, zero-byte ones included."""
        for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                key, size = self._need(entry, "Key"), self._need(entry, "Size")
                if not key.startswith(prefix) or size < 0:
                    raise StorageError(
                        Reason.StorageUnavailable,
                        f"{self._access.where} lists objects that it was not asked for",
                    )
                yield StoredObject(key, size, self._etag(entry.get("ETag", "")))

    def detail(self, item: StoredObject) -> ObjectDetail:
        """HEAD with If-Match: version id, and the full-object checksum or a trustworthy MD5."""
        with mapped_errors(self._access, item.key), Deadline(self._exchange_seconds):
            head = self._client.head_object(
                Bucket=self._access.bucket,
                Key=item.key,
                IfMatch=f'"{item.etag}"',
                ChecksumMode="ENABLED",
            )
        found = (self._etag(self._need(head, "ETag")), self._need(head, "ContentLength"))
        if found != (item.etag, item.size):
            raise changed(self._access, item.key)  # a store that does not honour If-Match
        return ObjectDetail(head.get("VersionId"), self._checksum(item, head))

    def confirm(self, item: StoredObject, version_id: str) -> None:
        """HEAD of one version of an object: it is there, with this size and ETag."""
        with mapped_errors(self._access, item.key), Deadline(self._exchange_seconds):
            head = self._client.head_object(
                Bucket=self._access.bucket, Key=item.key, VersionId=version_id
            )
        found = (self._etag(self._need(head, "ETag")), self._need(head, "ContentLength"))
        if found != (item.etag, item.size):
            raise changed(self._access, item.key)

    def open(self, item: StoredObject) -> RangeSource:
        """A reader of the listed object's bytes."""
        return _RangeReader(self, item)

    def read_range(self, item: StoredObject, offset: int, length: int) -> bytes:
        """Exactly these bytes of the listed object, with If-Match on its ETag."""
        if offset < 0 or length <= 0 or offset + length > item.size:
            raise ValueError(f"range {offset}+{length} of {item.size} bytes")
        with mapped_errors(self._access, item.key), Deadline(self._exchange_seconds):
            answer = self._client.get_object(
                Bucket=self._access.bucket,
                Key=item.key,
                IfMatch=f'"{item.etag}"',
                Range=f"bytes={offset}-{offset + length - 1}",
            )
            data = answer["Body"].read(length + 1)
            answer["Body"].close()
        if self._etag(self._need(answer, "ETag")) != item.etag:
            raise changed(self._access, item.key)
        if len(data) != length:
            raise StorageError(
                Reason.StorageUnavailable,
                f"{self._access.where} sent {len(data)} of {length} bytes of a range",
                transient=True,
            )
        return data

    def _pages(self, prefix: str, delimiter: str = "") -> Iterator[Any]:
        if prefix and not prefix.endswith("/"):
            raise ValueError("a prefix ends in /: model/1 is not model/10")
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._access.bucket, Prefix=prefix, Delimiter=delimiter
            )
        )
        for _ in range(MAX_PAGES):
            with mapped_errors(self._access), Deadline(self._exchange_seconds):
                page = next(pages, None)
            if page is None:
                return
            yield page
        raise StorageError(
            Reason.TooManyObjects,
            f"the listing of {self._access.where} has more than {MAX_PAGES} pages",
        )

    def _checksum(self, item: StoredObject, head: Any) -> str | None:
        """What `checksum.Checksum` can verify, from a HEAD's answer.

        An ETag is the MD5 only of a single-part object that is not encrypted with a customer's
        key (Amazon S3 API, ETag).
        """
        for name, field in _CHECKSUMS:
            value = head.get(field)
            if not value:
                continue
            if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in value:
                return f"{name}:{value}"
            part = self._part_bytes(item) if name.startswith("crc32") else None
            if part is not None:
                return f"{name}:{value.partition('-')[0]}@{part}"
        if head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head:
            return None
        return md5_of_etag(item.etag)

    def _part_bytes(self, item: StoredObject) -> int | None:
        """The size of the parts of a multipart upload; None where they are not all alike."""
        with mapped_errors(self._access, item.key), Deadline(self._exchange_seconds):
            head = self._client.head_object(
                Bucket=self._access.bucket, Key=item.key, IfMatch=f'"{item.etag}"', PartNumber=1
            )
        part, count = self._need(head, "ContentLength"), head.get("PartsCount", 0)
        return part if part > 0 and -(-item.size // part) == count else None

    def _need(self, answer: Any, field: str) -> Any:
        """A field that every S3 store sends."""
        if field not in answer:
            raise no_s3(self._access)
        return answer[field]

    def _etag(self, text: str) -> str:
        etag = text.removeprefix("W/").strip('"')
        if not usable_etag(etag):
            raise StorageError(
                Reason.StorageUnavailable,
                f"{self._access.where} lists objects without usable ETags; they identify the "
                "bytes of a version, so this store cannot be used",
            )
        return etag


def md5_of_etag(etag: str) -> str | None:
    """`md5:HEX` where the ETag has the form of an MD5."""
    return f"md5:{etag.lower()}" if re.fullmatch(r"[0-9a-fA-F]{32}", etag) else None


def changed(access: Access, key: str) -> StorageError:
    """The object is another one than the one listed."""
    return StorageError(
        Reason.ObjectChanged,
        f"an object of {access.where} was overwritten after it was listed: …/{key[-64:]}",
    )


class _RangeReader:
    """One object as a `base.RangeSource`; the header readers bring their own buffer."""

    def __init__(self, store: S3Store, item: StoredObject) -> None:
        self._store = store
        self._item = item

    @property
    def size(self) -> int:
        return self._item.size

    def read(self, offset: int, length: int) -> bytes:
        return self._store.read_range(self._item, offset, length) if length else b""
