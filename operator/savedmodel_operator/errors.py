"""What can go wrong between the operator and the API server, mapped once (style.md, errors).

`cluster.client` raises the `ApiError` family, one class per kind of answer; `apply` and `observe`
raise `Blocked`, which becomes a condition. Everything else that is raised is a bug and propagates
with its stack. No error carries a response body beyond the API server's own `message`, bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from savedmodel_operator.api.reasons import Reason

MESSAGE_LIMIT = 400
"""Characters kept of the API server's message: a sentence or two, fit for a condition."""


class ApiError(Exception):
    """The API server did not do what was asked. `status` 0: there was no answer at all."""

    status = 0
    transient = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """404: the object, its namespace or the whole kind is not there."""

    status = 404


class Conflict(ApiError):
    """409: what was seen is not what is there; look again."""

    status = 409


class AlreadyExists(ApiError):
    """409 on POST: somebody made an object of this name before."""

    status = 409


class Gone(ApiError):
    """410: the resourceVersion is too old to continue a watch; list again."""

    status = 410


class Unauthorized(ApiError):
    """401: the token is not (or no longer) taken."""

    status = 401


class Forbidden(ApiError):
    """403: `verb` on `resource` is not allowed, by RBAC, quota or admission."""

    status = 403
    transient = False

    def __init__(self, message: str, *, verb: str, resource: str) -> None:
        super().__init__(message)
        self.verb = verb
        self.resource = resource


class NamespaceTerminating(Forbidden):
    """403 because the namespace is being deleted: nothing to report and nobody to tell."""


class Invalid(ApiError):
    """400 or 422: the API server refuses the content."""

    status = 422
    transient = False


class TooMany(ApiError):
    """429: `retry_after` seconds as the server asks, or our default."""

    status = 429


class Unavailable(ApiError):
    """5xx, a timeout or no connection."""


class Blocked(Exception):
    """One object cannot go on until a person acts: `reason` and a sentence with the remedy."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class NotLeading(Exception):
    """This replica may not write (any more); the cycle ends between two actions."""


DEFAULT_RETRY_AFTER = 1.0
"""Seconds to wait after a 429 without Retry-After; client-go waits as long."""


def from_answer(
    code: int,
    body: Mapping[str, Any] | None,
    *,
    verb: str,
    resource: str,
    retry_after: str | None = None,
) -> ApiError:
    """The error for an HTTP answer.

    body: the `Status` object, where the answer was one. verb, resource: of the request, for
    messages ("create", "deployments.apps"). retry_after: the header as received, in seconds.
    """
    status = body or {}
    message = str(status.get("message") or f"{verb} {resource}: HTTP {code}")[:MESSAGE_LIMIT]
    reason = status.get("reason")
    if code == 409:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if code == 403:
        causes = (status.get("details") or {}).get("causes") or ()
        terminating = any(c.get("reason") == "NamespaceTerminating" for c in causes)
        kind = NamespaceTerminating if terminating else Forbidden
        return kind(message, verb=verb, resource=resource)
    if code == 429:
        return TooMany(message, retry_after=_seconds(retry_after) or DEFAULT_RETRY_AFTER)
    simple: dict[int, type[ApiError]] = {
        400: Invalid,
        401: Unauthorized,
        404: NotFound,
        410: Gone,
        422: Invalid,
    }
    found = simple.get(code)
    if found is not None:
        return found(message)
    if code >= 500:
        return Unavailable(message, retry_after=_seconds(retry_after))
    return ApiError(message)


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; the date form is not used by API servers and is ignored."""
    try:
        value = float(header) if header is not None else 0.0
    except ValueError:
        return None
    return min(value, 300.0) if value > 0 else None
