"""What is needed to open a bucket, or to ask a Prometheus: its words plus its Secret and CA bundle.

Reads by name, only when a source is new, changed or failed, and before a round of queries; nothing
is watched (RBAC has no list on secrets, and an idle operator reads nothing). Refusals become
StorageErrors that say which object and what to do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from savedmodel_operator import errors
from savedmodel_operator.api.queries import Prometheus
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import ConfigMapKey, Source
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import CONFIG_MAP, SECRET
from savedmodel_operator.observe.prometheus import Server
from savedmodel_operator.storage.base import Access, Credentials, StorageError

KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a field
TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a field
BEARER = "token"
"""As in the Secrets that Kubernetes fills for a ServiceAccount."""


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, prefix ending in "/" or empty) of s3://BUCKET/PREFIX."""
    bucket, _, path = uri.removeprefix("s3://").partition("/")
    path = path.strip("/")
    return bucket, f"{path}/" if path else ""


class AccessReader:
    """Builds `storage.base.Access`. permitted: the chart's storageSecretNames, for messages."""

    def __init__(self, client: Client, permitted: tuple[str, ...]) -> None:
        self._client = client
        self._permitted = permitted

    async def read(self, namespace: str, source: Source) -> Access:
        """Raises StorageError: SecretMissing, SecretNotPermitted, CABundleMissing, or
        StorageUnavailable where the API server did not answer."""
        secret = source.secret_ref.name if source.secret_ref is not None else None
        credentials = None
        if secret is not None and not source.anonymous:
            credentials = await self._credentials(namespace, secret)
        ca_bundle = None
        if source.ca_bundle is not None:
            ca_bundle = await self._ca_bundle(namespace, source.ca_bundle)
        return Access(
            bucket=split_uri(source.uri)[0],
            endpoint=source.endpoint,
            region=source.region,
            addressing=source.addressing,
            anonymous=source.anonymous,
            credentials=credentials,
            ca_bundle=ca_bundle,
            secret=secret,
        )

    async def read_prometheus(self, namespace: str, wanted: Prometheus) -> Server:
        """Raises StorageError as `read` does."""
        token = ca_bundle = None
        if wanted.secret_ref is not None:
            name = wanted.secret_ref.name
            token = _text(await self._secret(namespace, name, BEARER), BEARER)
            if not (token.isascii() and token.isprintable() and " " not in token):
                text = f"Secret {name} has no token of one line under {BEARER}: mend it"
                raise StorageError(Reason.SecretMissing, text)
        if wanted.ca_bundle is not None:
            ca_bundle = (await self._ca_bundle(namespace, wanted.ca_bundle)).decode()
        return Server(wanted.address, token, ca_bundle)

    async def _secret(self, namespace: str, name: str, *keys: str) -> Mapping[str, Any]:
        """Its data, with these keys."""
        try:
            data = (await self._client.get(SECRET, namespace, name)).get("data") or {}
        except errors.NotFound:
            raise StorageError(
                Reason.SecretMissing,
                f"Secret {name} is not there: create it with {' and '.join(keys)}",
            ) from None
        except errors.Forbidden:
            raise StorageError(Reason.SecretNotPermitted, self._not_permitted(name)) from None
        except errors.ApiError as error:
            raise _unanswered(f"Secret {name}", error) from error
        missing = [key for key in keys if not _text(data, key)]
        if missing:
            raise StorageError(
                Reason.SecretMissing, f"Secret {name} lacks {' and '.join(missing)}: add it"
            )
        found: Mapping[str, Any] = data
        return found

    async def _credentials(self, namespace: str, name: str) -> Credentials:
        data = await self._secret(namespace, name, KEY_ID, SECRET_KEY)
        return Credentials(_text(data, KEY_ID), _text(data, SECRET_KEY), _text(data, TOKEN) or None)

    def _not_permitted(self, name: str) -> str:
        allowed = ", ".join(self._permitted)
        names = ",".join((*self._permitted, name))
        return (
            f"the operator may not read Secret {name} (it may read {allowed}): use one of these "
            f"names, or have the administrator set the chart value storageSecretNames={{{names}}}"
        )

    async def _ca_bundle(self, namespace: str, reference: ConfigMapKey) -> bytes:
        name, key = reference.config_map, reference.key
        try:
            body = await self._client.get(CONFIG_MAP, namespace, name)
        except errors.NotFound:
            raise StorageError(
                Reason.CABundleMissing,
                f"ConfigMap {name} is not there: create it with PEM certificates under {key}",
            ) from None
        except errors.ApiError as error:
            raise _unanswered(f"ConfigMap {name}", error) from error
        text = (body.get("data") or {}).get(key)
        if not isinstance(text, str) or "BEGIN CERTIFICATE" not in text or not text.isascii():
            raise StorageError(
                Reason.CABundleMissing,
                f"ConfigMap {name} has no PEM certificates under the key {key}: add them",
            )
        return text.encode("ascii")


def _text(data: Mapping[str, Any], key: str) -> str:
    """A Secret's field, without the newline that `echo` leaves; empty where it is no text."""
    try:
        return base64.b64decode(str(data.get(key, "")), validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _unanswered(what: str, error: errors.ApiError) -> StorageError:
    return StorageError(
        Reason.StorageUnavailable, f"{what} could not be read: {error.message}", transient=True
    )
