"""What a store is to the rest of the operator: a few nouns, one protocol, one error.

`s3` implements the protocol, `discover` uses it. Errors are mapped to a reason and a sentence
exactly once, at the edge; a sentence names the bucket, endpoint or secret and what to do, and
never carries a response body, a key or a URL with credentials.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Source
from savedmodel_operator.storage.versions import key_fault

Addressing = Literal["Auto", "Path", "Virtual"]


class StorageError(Exception):
    """A store could not be used: `reason`, one sentence, and whether waiting may help."""

    def __init__(self, reason: Reason, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.transient = transient


@dataclass(frozen=True)
class Credentials:
    """An explicit key; its parts never show in a repr, log or message."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Words:
    """What messages call the settings that a person can mend; the CLI has options in their place."""

    source: str = "spec.source"
    uri: str = "spec.source.uri"
    endpoint: str = "spec.source.endpoint"
    region: str = "spec.source.region"
    ca_bundle: str = "spec.source.caBundle"
    key: str = "the given key"


@dataclass(frozen=True)
class Access:
    """Everything that is needed to open one bucket. `endpoint` None means AWS itself.

    `credentials` None is only allowed with `anonymous`: the operator's own cloud identity is
    never used for a tenant's bucket (design.md §6). `secret` is the Secret's name, for messages.
    """

    bucket: str
    endpoint: str | None = None
    region: str = "us-east-1"
    addressing: Addressing = "Auto"
    anonymous: bool = False
    credentials: Credentials | None = None
    ca_bundle: bytes | None = field(default=None, repr=False)
    secret: str | None = None
    words: Words = Words()

    @property
    def path_style(self) -> bool:
        """Whether the bucket stands in the path; Auto means so for every own endpoint."""
        if self.addressing == "Auto":
            return self.endpoint is not None
        return self.addressing == "Path"

    @property
    def where(self) -> str:
        """The store in words for messages: bucket and endpoint."""
        at = self.endpoint.rstrip("/") if self.endpoint else f"AWS region {self.region}"
        return f"bucket {self.bucket} at {at}"

    @property
    def key_name(self) -> str:
        """The credential in words for messages."""
        if self.anonymous:
            return "anonymous access"
        return f"the key in Secret {self.secret}" if self.secret else self.words.key


def access_of(
    source: Source, credentials: Credentials | None, ca_bundle: bytes | None = None
) -> tuple[Access, str]:
    """A source as the API has it → how to open its bucket, and the prefix of its versions.

    The prefix ends in "/" or is empty. Raises StorageError(InvalidSpec), with what to write.
    """
    scheme, _, place = source.uri.partition("://")
    bucket, _, path = place.partition("/")
    path = path.strip("/")
    if scheme != "s3" or not bucket or (path and key_fault(path) is not None):
        raise StorageError(
            Reason.InvalidSpec,
            "spec.source.uri must be s3://BUCKET/PREFIX without empty, “.” or “..” segments",
        )
    access = Access(
        bucket=bucket,
        endpoint=source.endpoint,
        region=source.region,
        addressing=source.addressing,
        anonymous=source.anonymous,
        credentials=credentials,
        ca_bundle=ca_bundle,
        secret=source.secret_ref.name if source.secret_ref else None,
    )
    return access, f"{path}/" if path else ""


@dataclass(frozen=True)
class StoredObject:
    """One line of a listing: full key, size in bytes, ETag without quotes."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class ObjectDetail:
    """What only a HEAD tells: the version id of a versioned bucket, a full-object checksum."""

    version_id: str | None
    checksum: str | None


class RangeSource(Protocol):
    """Random access to one object's bytes, for the header readers of `savedmodel`."""

    @property
    def size(self) -> int:
        """Bytes of the object."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, or a StorageError (ObjectChanged and others)."""


class Store(Protocol):
    """A bucket as discovery needs it. Prefixes end in "/" or are empty. Safe to share by threads.

    Every method raises StorageError.
    """

    @property
    def access(self) -> Access:
        """What this store was opened with."""

    def directories(self, prefix: str) -> list[str]:
        """Names of the directories right under `prefix`, without slash."""

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects under `prefix`, in key order, zero-byte ones included."""

    def detail(self, item: StoredObject) -> ObjectDetail:
        """HEAD with If-Match on the listed ETag; ObjectChanged where it is another object now."""

    def confirm(self, item: StoredObject, version_id: str) -> None:
        """HEAD of one version of an object. ObjectGone or ObjectChanged where it is not that."""

    def open(self, item: StoredObject) -> RangeSource:
        """A reader of the listed object's bytes, every range with If-Match on its ETag."""
