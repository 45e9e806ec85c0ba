"""One request to an API server, as RBAC and the audit log would name it, and which ones are meant.

Neighbours: `passage` notes them, tests count them. Pure but for what is handed in.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATCHES = {
    "application/apply-patch+yaml": "apply",
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/strategic-merge-patch+json": "strategic",
}


@dataclass
class Call:
    """`verb` is get, list, watch, create, update, patch, delete or deletecollection; outside of
    resources it is the method. `code` is 0 while, or when, there is no answer; `fault` names what was
    done to it. `name` is in a create that of the body; `body` is that of a write, decoded."""

    at: float
    """Unix seconds of its arrival."""

    verb: str
    path: str
    query: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    patch: str = ""
    agent: str = ""
    body: Any = field(default=None, repr=False)
    code: int = 0
    fault: str = ""
    seconds: float = 0.0
    """How long it took until it was answered, or the watch ended."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.verb in (*_VERBS.values(), "deletecollection")


@dataclass(frozen=True)
class Match:
    """Which calls are meant; what is not given does not matter. `name` may have * and ?.

    subresource "" means the object itself and not its status.
    """

    verbs: Collection[str] | None = None
    resource: str | None = None
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    where: Callable[[Call], bool] | None = None

    def fits(self, call: Call) -> bool:
        """Whether this call is meant."""
        wanted = (
            (self.resource, call.resource),
            (self.subresource, call.subresource),
            (self.namespace, call.namespace),
        )
        return (
            (self.verbs is None or call.verb in self.verbs)
            and all(wish is None or wish == found for wish, found in wanted)
            and (self.name is None or fnmatchcase(call.name, self.name))
            and (self.where is None or self.where(call))
        )


def parse(
    at: float, method: str, path: str, query: str, content_type: str = "", body: bytes = b""
) -> Call:
    """A call from its request line, type and body.

    >>> parse(0, "GET", "/apis/apps/v1/namespaces/shop/deployments", "watch=true").verb
    'watch'
    >>> parse(0, "PUT", "/apis/g/v1/namespaces/shop/things/a/status", "").subresource
    'status'
    >>> parse(0, "POST", "/api/v1/namespaces/shop/pods", "", body=b'{"metadata":{"name":"a"}}').name
    'a'
    """
    sent = _decoded(body)
    call = Call(at=at, verb=method.lower(), path=path, query=query, body=sent)
    call.patch = _PATCHES.get(content_type.partition(";")[0].strip(), "")
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        rest = parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        call.group, rest = parts[1], parts[3:]
    else:
        return call
    if rest[0] == "namespaces" and len(rest) > 2:
        call.namespace, rest = rest[1], rest[2:]
    call.resource, call.name, call.subresource = (*rest, "", "", "")[:3]
    call.verb = _verb(method, query, named=bool(call.name))
    if call.verb == "create" and not call.name and isinstance(sent, dict):
        call.name = str((sent.get("metadata") or {}).get("name", ""))
    return call


def _verb(method: str, query: str, *, named: bool) -> str:
    if method == "GET":
        if any(part in ("watch=true", "watch=1") for part in query.split("&")):
            return "watch"
        return "get" if named else "list"
    if method == "DELETE" and not named:
        return "deletecollection"
    return _VERBS.get(method, method.lower())


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
