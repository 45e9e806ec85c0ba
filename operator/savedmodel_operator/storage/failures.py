"""boto3's errors, mapped once to a reason and a sentence (style.md, conventions 9).

Used by `s3` alone. Sentences name bucket, endpoint and Secret; they carry neither the store's
words (a response body may be anything) nor a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.storage.base import Access, StorageError
from savedmodel_operator.storage.guard import EndpointRefusedError
from savedmodel_operator.storage.guarded import DeadlineExceededError

_KEY_UNKNOWN = {"InvalidAccessKeyId", "InvalidClientTokenId", "XAdminUserNotFound"}
_KEY_WRONG = {"SignatureDoesNotMatch", "InvalidSignature"}
_KEY_EXPIRED = {"ExpiredToken", "TokenRefreshRequired", "InvalidToken", "RequestExpired"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "401"}
_CLOCK = {"RequestTimeTooSkewed"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect", "301", "307"}
_GONE = {"NoSuchKey", "NoSuchVersion", "404", "NotFound"}
_CHANGED = {"PreconditionFailed", "412", "InvalidRange", "416"}
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded",
              "TooManyRequests", "429"}  # fmt: skip


@contextmanager
def mapped_errors(access: Access, key: str | None = None) -> Iterator[None]:
    """Turns every error of boto3 in the block into StorageError. `key`: the object in question."""
    try:
        yield
    except StorageError:
        raise
    except EndpointRefusedError as error:
        raise StorageError(
            Reason.EndpointForbidden,
            f"the endpoint of bucket {access.bucket} is not allowed: {error}; an administrator "
            "can list its host in the chart value storage.allowedEndpoints",
        ) from error
    except DeadlineExceededError as error:
        raise StorageError(
            Reason.StorageUnavailable, f"{access.where} answers too slowly", transient=True
        ) from error
    except ResponseParserError as error:
        raise no_s3(access) from error
    except ClientError as error:
        raise _from_answer(access, error, key) from None  # its text holds the store's own words
    except BotoCoreError as error:
        raise _from_connection(access, error) from error


def no_s3(access: Access) -> StorageError:
    """The answer is none that an S3 store gives."""
    return StorageError(
        Reason.Unreachable,
        f"{access.where} does not answer in the way of S3: check {access.words.endpoint}",
        transient=True,
    )


def _from_answer(access: Access, error: ClientError, key: str | None) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket" or (code in _GONE and key is None):
        return StorageError(
            Reason.NoSuchBucket,
            f"there is no {access.where}: correct {access.words.uri} or create the bucket",
        )
    if code in _CHANGED:
        return StorageError(
            Reason.ObjectChanged,
            f"an object of {access.where} was overwritten after it was listed: {_shown(key)}",
        )
    if code in _GONE:
        return StorageError(
            Reason.ObjectGone, f"an object of {access.where} was deleted: {_shown(key)}"
        )
    if code in _REGION or status in (301, 302, 303, 307, 308):
        return StorageError(
            Reason.Forbidden,
            f"{access.where} answers from another place: set {access.words.region} to the bucket's "
            "region (redirects are not followed)",
        )
    refusal = _refusal(access, code, status)
    if refusal is not None:
        return StorageError(Reason.Forbidden, refusal)
    kind = "is throttling us" if code in _THROTTLED else f"answered HTTP {status}"
    return StorageError(
        Reason.StorageUnavailable, f"{access.where} {kind}; it is tried again", transient=True
    )


def _refusal(access: Access, code: str, status: int) -> str | None:
    name = access.key_name
    if code in _KEY_UNKNOWN:
        return f"{access.where} does not know {name}: correct AWS_ACCESS_KEY_ID"
    if code in _KEY_WRONG:
        return (
            f"{access.where} refused the signature of {name}: correct AWS_SECRET_ACCESS_KEY "
            f"(and {access.words.region})"
        )
    if code in _KEY_EXPIRED:
        return f"{access.where} says {name} has expired: renew it"
    if code in _CLOCK:
        return f"{access.where} refused the request time: correct the clock of this node or store"
    if code in _DENIED or status in (401, 403):
        return (
            f"{access.where} refuses {name}: allow it s3:ListBucket and s3:GetObject (with "
            "versioning also s3:GetObjectVersion)"
        )
    return None


def _from_connection(access: Access, error: BotoCoreError) -> StorageError:
    if isinstance(error, SSLError):
        text = (
            f"the certificate of {access.where} is not trusted or its TLS fails: set "
            f"{access.words.ca_bundle} to the certificates that signed it"
        )
        return StorageError(Reason.Unreachable, text, transient=True)
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        text = f"{access.where} cannot be reached: check {access.words.endpoint} and the network"
        return StorageError(Reason.Unreachable, text, transient=True)
    if isinstance(error, ReadTimeoutError):
        text = f"{access.where} did not answer in time; it is tried again"
        return StorageError(Reason.StorageUnavailable, text, transient=True)
    if isinstance(error, HTTPClientError):
        text = f"the connection to {access.where} broke; it is tried again"
        return StorageError(Reason.StorageUnavailable, text, transient=True)
    return StorageError(
        Reason.InvalidSpec,
        f"{access.where} cannot be used as it is written ({type(error).__name__}): check "
        f"{access.words.source}",
    )


def _shown(key: str | None) -> str:
    return "…/" + (key or "")[-64:]
