"""Typed calls to the API server over `kubernetes.aio.dynamic`; the only place with its URLs.

Every call has a time limit, maps its failure to one class of `errors`, feeds the server's Date to
the clock and counts itself. Nothing is retried here: whoever calls decides, because most callers
have a work queue with backoff behind them. Kinds are fixed (`kinds`), so the dynamic client is
used without its discovery. It must not know what the objects mean.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import msgspec
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient

from savedmodel_operator import errors
from savedmodel_operator.api import names
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.kinds import Kind

Body = dict[str, Any]
Query = list[tuple[str, str]]
Counter = Callable[[str, str, int], None]
"""(verb, resource, HTTP code; 0: no answer) of one finished request."""

TIMEOUT = 10.0
"""Seconds for a whole call. Kubernetes' own objective is 1 s at the 99th percentile; a call that
takes ten times that is better asked again than waited for."""

CONNECT_TIMEOUT = 5.0
SILENCE = 70.0
"""Seconds without a byte after which a watch counts as dead. Bookmarks come every 60 to 75, so a
quiet one is asked for again now and then: one request, and a dead one is noticed within 75."""

PAGE = 250
"""Objects per page of a list: 250 × about 8 KiB keep an answer near 2 MiB."""

EXACT = "ControllerRevision"
"""Its `data` may not change by a byte, and the API server keeps the bytes that came with the POST.
A later patch of its metadata has the server write them anew: in its own order, without spaces. So
the server has to write them the first time too, which it does for YAML."""

_NO_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON allows unescaped and YAML does not, or folds."""

_WORDS = {"post": "create", "put": "update"}


@dataclass(frozen=True)
class Listing:
    """All objects of a list at one resourceVersion."""

    items: list[Body]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """ADDED, MODIFIED, DELETED or BOOKMARK (then `body` has only a resourceVersion)."""

    type: str
    body: Body


class Transport(Protocol):
    """The part of DynamicClient that is used; tests may put a server in its place."""

    async def request(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The aiohttp response, or an ApiException."""


class Client:
    """Calls by kind. Raises the `errors.ApiError` family and nothing else of its own."""

    def __init__(
        self,
        transport: Transport,
        clock: ServerClock,
        count: Counter = lambda _verb, _resource, _code: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._count = count
        self._monotonic = monotonic
        self.clock = clock

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        """One object."""
        return await self._call("get", kind, kind.path(namespace, name))

    async def list(self, kind: Kind, namespace: str | None, selector: str | None = None) -> Listing:
        """All objects, page by page. A page that expired (410) raises Gone: begin again."""
        items: list[Body] = []
        query = _query(labelSelector=selector, limit=PAGE)
        while True:
            page = await self._call("list", kind, kind.path(namespace), query=query)
            items.extend(page.get("items") or ())
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return Listing(items, str(meta.get("resourceVersion", "")))
            query = _query(labelSelector=selector, limit=PAGE, **{"continue": meta["continue"]})

    async def schemas(self, kind: Kind) -> Body:
        """The server's OpenAPI v3 document of the kind's group and version."""
        return await self._call("get", kind, f"/openapi/v3/apis/{kind.api_version}")

    async def create(
        self, kind: Kind, namespace: str, body: Mapping[str, Any], within: float = TIMEOUT
    ) -> Body:
        """POST. AlreadyExists where the name is taken."""
        exact = kind.kind == EXACT
        return await self._call(
            "post",
            kind,
            kind.path(namespace),
            body=_yaml(body) if exact else body,
            query=_query(fieldManager=names.MANAGER),
            content_type="application/yaml" if exact else "application/json",
            within=within,
        )

    async def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        within: float = TIMEOUT,
    ) -> Body:
        """Server-side apply, taking fields from other managers. `body` carries the uid and
        resourceVersion that were seen; Conflict where they are others now."""
        return await self._call(
            "patch",
            kind,
            kind.path(namespace, name),
            body=body,
            query=_query(fieldManager=names.MANAGER, force="true"),
            content_type="application/apply-patch+yaml",
            within=within,
        )

    async def merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        within: float = TIMEOUT,
    ) -> Body:
        """JSON merge patch; metadata.uid in it is a precondition (Conflict)."""
        try:
            return await self._call(
                "patch",
                kind,
                kind.path(namespace, name),
                body=patch,
                query=_query(fieldManager=names.MANAGER),
                content_type="application/merge-patch+json",
                within=within,
            )
        except errors.Invalid as error:
            if "metadata.uid" in error.message:  # how a patch with another uid is refused
                raise errors.Conflict(error.message) from None
            raise

    async def replace(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        sub: str | None = None,
        within: float = TIMEOUT,
    ) -> Body:
        """PUT, to the subresource `sub` where given. `body` carries the resourceVersion."""
        path = kind.path(namespace, name, sub)
        query = _query(fieldManager=names.MANAGER)
        return await self._call("put", kind, path, body=body, query=query, within=within)

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, within: float = TIMEOUT
    ) -> Body:
        """DELETE of exactly this object (Conflict for another uid), in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        path = kind.path(namespace, name)
        return await self._call("delete", kind, path, body=options, within=within)

    async def watch(
        self,
        kind: Kind,
        namespace: str | None,
        resource_version: str,
        seconds: int,
        selector: str | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes since `resource_version`, for at most about `seconds`; ends without a word.

        Gone: list again. Unavailable: dropped, or silent for `SILENCE` seconds.
        """
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=seconds,
            labelSelector=selector,
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=SILENCE)
        path = kind.path(namespace)
        response = await self._send("watch", kind, path, query=query, limits=limits)
        try:
            async for line in response.content:
                if line.strip():
                    yield _watch_event(msgspec.json.decode(line), kind)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise errors.Unavailable(f"watch {kind.resource}: {_words(error)}") from error
        finally:
            response.close()

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        body: Mapping[str, Any] | str | None = None,
        query: Query | None = None,
        content_type: str = "application/json",
        within: float = TIMEOUT,
    ) -> Body:
        limits = aiohttp.ClientTimeout(total=within, sock_connect=CONNECT_TIMEOUT)
        response = await self._send(verb, kind, path, body, query, content_type, limits)
        try:
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable(f"{verb} {kind.resource}: {_words(error)}") from error
        decoded: Body = msgspec.json.decode(data)
        return decoded

    async def _send(
        self,
        verb: str,
        kind: Kind,
        path: str,
        body: Mapping[str, Any] | str | None = None,
        query: Query | None = None,
        content_type: str = "application/json",
        limits: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        method = "get" if verb in ("list", "watch") else verb
        word = _WORDS.get(verb, verb)
        sent = self._monotonic()
        try:
            response: aiohttp.ClientResponse = await self._transport.request(
                method,
                path,
                body=dict(body) if isinstance(body, Mapping) else body,
                query_params=query or [],
                content_type=content_type,
                header_params={"Accept": "application/json"},
                serialize=False,
                _request_timeout=limits,
            )
        except ApiException as error:
            self._heard(word, kind, error.status or 0, error.headers, sent)
            raise _mapped(error, word, kind) from None  # its text repeats headers and body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count(word, kind.resource, 0)
            raise errors.Unavailable(f"{word} {kind.resource}: {_words(error)}") from error
        self._heard(word, kind, response.status, response.headers, sent)
        return response

    def _heard(
        self, word: str, kind: Kind, code: int, headers: Mapping[str, str] | None, sent: float
    ) -> None:
        self._count(word, kind.resource, code)
        if headers is not None:
            self.clock.observe(headers.get("Date"), sent, self._monotonic())


def dynamic(api_client: Any) -> Transport:
    """The dynamic client without discovery."""
    make: Any = DynamicClient  # untyped
    transport: Transport = make(api_client)
    return transport


def _yaml(body: Mapping[str, Any]) -> str:
    """JSON text that is YAML as well."""
    text = msgspec.json.encode(body).decode()
    return _NO_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _query(**parameters: object) -> Query:
    return [(k, str(v)) for k, v in parameters.items() if v is not None]


def _watch_event(line: Body, kind: Kind) -> WatchEvent:
    if line["type"] == "ERROR":
        status = line["object"]
        raise errors.from_answer(
            int(status.get("code", 500)), status, verb="watch", resource=kind.resource
        )
    return WatchEvent(line["type"], line["object"])


def _mapped(error: ApiException, verb: str, kind: Kind) -> errors.ApiError:
    try:
        status = msgspec.json.decode(error.body or b"{}")
    except (msgspec.DecodeError, TypeError):
        status = None
    return errors.from_answer(
        error.status or 0,
        status if isinstance(status, dict) else None,
        verb=verb,
        resource=kind.resource,
        retry_after=(error.headers or {}).get("Retry-After"),
    )


def _words(error: BaseException) -> str:
    """A transport failure in words; some of them have no message at all."""
    return str(error) or type(error).__name__
