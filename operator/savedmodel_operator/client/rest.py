"""Asking TensorFlow Serving over REST: metadata and predict.

Only the standard library and the rules of `bodies` and `metadata`. Redirects are not followed and
proxies of the environment are not used: what answers is what was named.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from savedmodel_operator.client.errors import (
    MisfitError,
    NoAnswerError,
    RefusedError,
    TimedOutError,
    shorten,
)
from savedmodel_operator.client.metadata import Served, from_json
from savedmodel_operator.client.surface import Choice
from savedmodel_operator.savedmodel.facts import Signature

if TYPE_CHECKING:
    from savedmodel_operator.client.arrays import Array
    from savedmodel_operator.client.surface import Form

MAX_ANSWER_BYTES = 256 << 20
"""Of one answer. 25 million numbers of ten characters; their JSON takes a few GiB to read."""

_JUDGED = frozenset({400, 501})
"""Statuses with which Serving judges the request itself (INVALID_ARGUMENT, FAILED_PRECONDITION,
OUT_OF_RANGE; UNIMPLEMENTED). All others say that nobody did: no such model, overload, a fault."""

_MODEL = re.compile(
    r"(?P<prefix>.*?)/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Endpoint:
    """Scheme, host and port of a REST API, and the path before `/v1` if a gateway adds one."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def url(self) -> str:
        """The address for a document or a message."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def parse_url(text: str) -> tuple[Endpoint, Choice | None]:
    """An endpoint, and the model where the URL goes on to `/v1/models/…`.

    Raises MisfitError for what is no such URL; a password in it is refused, it would be logged.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise MisfitError(f"{text!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MisfitError(f"{text!r} is no URL of the form http://HOST:8501")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise MisfitError("the URL may not hold a user, a query or a fragment")
    found = _MODEL.fullmatch(parts.path.rstrip("/"))
    prefix = found["prefix"] if found else parts.path.rstrip("/")
    if not found and "/v1" in prefix:
        raise MisfitError(f"{text!r} goes on with {prefix!r}, which is not /v1/models/NAME")
    endpoint = Endpoint(
        parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), prefix
    )
    if not found:
        return endpoint, None
    version = int(found["version"]) if found["version"] else None
    label = unquote(found["label"]) if found["label"] else None
    return endpoint, Choice(unquote(found["name"]), version, label)


@dataclass(frozen=True)
class RestClient:
    """One server and one model there. `timeout` is in seconds, for each wait on the network."""

    endpoint: Endpoint
    choice: Choice
    timeout: float = 60.0
    ca_bundle: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> Served:
        """The signatures of the chosen version. Raises NoAnswerError."""
        try:
            return from_json(self._ask("GET", f"{self.choice.path}/metadata", None))
        except RefusedError as error:  # such as an unknown label; no request was judged
            raise NoAnswerError(str(error)) from None

    def predict(
        self, name: str, signature: Signature, feeds: Mapping[str, Array], form: Form
    ) -> dict[str, Array]:
        """The outputs of one request. Raises MisfitError, RefusedError or NoAnswerError."""
        from savedmodel_operator.client.bodies import read_answer, write_request

        body = write_request(name, signature, feeds, form)
        return read_answer(self._ask("POST", f"{self.choice.path}:predict", body), signature, form)

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        where = f"{self.endpoint.url}{path}"
        try:
            status, text = self._exchange(method, self.endpoint.prefix + path, body)
        except TimeoutError:
            raise TimedOutError(f"{where} did not answer within {self.timeout:g} s") from None
        except ssl.SSLError as error:
            raise NoAnswerError(f"{where}: TLS failed: {error.reason or error}") from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise NoAnswerError(f"{where} cannot be reached: {_why(error)}") from None
        if status == 200:
            return text
        message = f"{where} answered HTTP {status}: {_error_text(text)}"
        raise RefusedError(message) if status in _JUDGED else NoAnswerError(message)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connect()
        try:
            connection.request(
                method, path, body, {"Content-Type": "application/json", **self.headers}
            )
            response = connection.getresponse()
            text = response.read(MAX_ANSWER_BYTES + 1)
        finally:
            connection.close()
        if len(text) > MAX_ANSWER_BYTES:
            raise NoAnswerError(f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
        return response.status, text

    def _connect(self) -> http.client.HTTPConnection:
        to = self.endpoint
        if to.scheme == "http":
            return http.client.HTTPConnection(to.host, to.port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=str(self.ca_bundle) if self.ca_bundle else None)
        return http.client.HTTPSConnection(to.host, to.port, timeout=self.timeout, context=context)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _error_text(body: bytes) -> str:
    """The server's own words, from `{"error": …}`; anything else only by its size."""
    try:
        return shorten(str(json.loads(body)["error"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{len(body)} bytes that are no error message of TensorFlow Serving"
