"""Object bytes through obstore: one range of one locked object into an open file.

Used by `fetch`. Every request carries If-Match (and the version id where the lock has one) and
its answer's ETag and size are compared again, for stores that ignore If-Match. Memory is one chunk
per running call. obstore's errors are mapped to StorageError here; it must not know about
directories.
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import LockedObject
from savedmodel_operator.storage.base import Access, StorageError
from savedmodel_operator.storage.checksum import Running

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, S3Config

CHUNK_BYTES = 256 * 1024
"""Bytes handed on at once: they stay in the processor's cache between socket, checksum and file
(2 GiB with CRC32C: 2.0 s of CPU; with 1 MiB 3.0 s)."""

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_STATUS = re.compile(r"status code: ([0-9]{3})")
_KEY_UNKNOWN = {"InvalidAccessKeyId", "XAdminUserNotFound", "InvalidClientTokenId"}


@dataclass(frozen=True)
class Patience:
    """How long a transient fault is endured before StorageUnavailable.

    Each range is asked for `attempts` times; each time obstore itself tries `retries` times more
    while the connection or the store fails (429 and 5xx), with backoff and jitter.
    """

    attempts: int = 3
    retries: int = 6
    connect_seconds: float = 5.0
    stall_seconds: float = 30.0  # without a byte
    range_seconds: float = 600.0  # a 16 MiB range in 600 s is 28 kB/s: slower is a broken store


class Transfer:
    """Reads the objects of one version. Safe to share by threads."""

    def __init__(self, access: Access, prefix: str, patience: Patience | None = None) -> None:
        if access.credentials is None and not access.anonymous:
            raise StorageError(
                Reason.SecretMissing,
                f"{access.where} needs a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "or say --anonymous",
            )
        self._access = access
        self._prefix = prefix
        self._patience = patience or Patience()
        self._store = _open(access, self._patience)

    def copy(
        self,
        item: LockedObject,
        target: int,
        span: tuple[int, int],
        running: Running | None,
        stop: Event,
    ) -> None:
        """Writes bytes span = (start, end) of the object to the same place of file `target`.

        `running` takes the bytes in order where the first attempt gets through; a broken range
        continues where it broke. Raises StorageError, and OSError of the file system.
        """
        start, end = span
        for attempt in range(1, self._patience.attempts + 1):
            try:
                for chunk in self._stream(item, start, end):
                    if stop.is_set():  # another object failed: an error, so that nothing is whole
                        raise self._unavailable("was not asked to the end")
                    _write(target, chunk, start)
                    if running is not None:
                        running.update(chunk)
                    start += len(chunk)
                if start == end:
                    return
                raise self._unavailable("sent fewer bytes than asked for")
            except StorageError as error:
                if not error.transient or attempt == self._patience.attempts or stop.is_set():
                    raise
                stop.wait(min(5.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311

    def _stream(self, item: LockedObject, start: int, end: int) -> Any:
        options: GetOptions = {"if_match": f'"{item.etag}"', "range": (start, end)}
        if item.version_id is not None:
            options["version"] = item.version_id
        try:
            answer = obstore.get(self._store, self._prefix + item.key, options=options)
            meta = answer.meta
            if meta["size"] != item.size or (meta["e_tag"] or "").strip('"') != item.etag:
                raise self._changed(item)
            yield from answer.stream(min_chunk_size=CHUNK_BYTES)
        except FileNotFoundError as error:
            raise self._not_found(item, str(error)) from None
        except PreconditionError:
            raise self._changed(item) from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise self._forbidden() from None
        except (BaseError, ValueError) as error:
            raise self._generic(item, str(error)) from None

    def _changed(self, item: LockedObject) -> StorageError:
        return StorageError(
            Reason.ObjectChanged,
            f"{item.key[-128:]} in {self._access.where} is not the object of the lock any more: "
            "it was overwritten; upload changed bytes under a new version number",
        )

    def _not_found(self, item: LockedObject, text: str) -> StorageError:
        code = _found(_CODE, text)
        if code == "NoSuchBucket":
            return StorageError(Reason.NoSuchBucket, f"there is no {self._access.where}")
        if code in _KEY_UNKNOWN:
            return self._forbidden()
        return StorageError(
            Reason.ObjectGone,
            f"{item.key[-128:]} in {self._access.where} was deleted: upload it again or export a "
            "new version",
        )

    def _forbidden(self) -> StorageError:
        return StorageError(
            Reason.Forbidden,
            f"{self._access.where} refuses {self._access.key_name}: correct it and allow it "
            "s3:GetObject (with versioning also s3:GetObjectVersion)",
        )

    def _generic(self, item: LockedObject, text: str) -> StorageError:
        status = _found(_STATUS, text)
        if status == "416":
            return self._changed(item)
        if status in ("301", "302", "307", "308") or "redirect" in text:
            return StorageError(
                Reason.Forbidden,
                f"{self._access.where} answers from another place: set spec.source.region to the "
                "bucket's region",
            )
        if status in ("400", "401", "403"):
            return self._forbidden()
        if "certificate" in text.lower():
            return self._unavailable(
                "has a certificate that is not trusted: set spec.source.caBundle to the "
                "certificates that signed it"
            )
        return self._unavailable(f"answered HTTP {status}" if status else "does not answer")

    def _unavailable(self, what: str) -> StorageError:
        return StorageError(
            Reason.StorageUnavailable, f"{self._access.where} {what}", transient=True
        )


def _open(access: Access, patience: Patience) -> S3Store:
    config: S3Config = {
        "region": access.region,
        "virtual_hosted_style_request": not access.path_style,
        "skip_signature": access.anonymous,
    }
    if access.endpoint is not None:
        config["endpoint"] = _endpoint(access)
    if access.credentials is not None and not access.anonymous:
        config["access_key_id"] = access.credentials.access_key_id
        config["secret_access_key"] = access.credentials.secret_access_key
        if access.credentials.session_token:
            config["session_token"] = access.credentials.session_token
    client: ClientConfig = {
        "allow_http": (access.endpoint or "").startswith("http:"),
        "connect_timeout": timedelta(seconds=patience.connect_seconds),
        "read_timeout": timedelta(seconds=patience.stall_seconds),
        "timeout": timedelta(seconds=patience.range_seconds),
    }
    if access.ca_bundle is not None:
        client["root_certificate"] = access.ca_bundle
    return S3Store(
        access.bucket,
        config=config,
        client_options=client,
        retry_config={
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=120),
            "backoff": {
                "init_backoff": timedelta(milliseconds=200),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
    )


def _endpoint(access: Access) -> str:
    """obstore wants the bucket's own host as the endpoint in virtual addressing."""
    endpoint = (access.endpoint or "").rstrip("/")
    if access.path_style:
        return endpoint
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{access.bucket}.{host}"


def _write(target: int, chunk: Any, offset: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(target, view, offset)
        view = view[written:]
        offset += written


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(1) if match else None
