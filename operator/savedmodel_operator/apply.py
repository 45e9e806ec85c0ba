"""The only writer of children: carries a plan's actions out, in order, one API write each.

Stops at the first failure; any prefix of the list is a safe end, because the next cycle looks
again. Every write asks the Lease first and must end before another replica may act. Each answer
goes into the cache at once, so that the next cycle does not plan on what it changed itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from savedmodel_operator import errors
from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import KIND
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.client import TIMEOUT, Client
from savedmodel_operator.cluster.kinds import BY_NAME, Kind
from savedmodel_operator.plan.actions import Action, Annotate, Apply, Create, Delete, Manifest
from savedmodel_operator.plan.snapshot import ObjectKey, Observed

Body = dict[str, Any]

FLAP_WINDOW = 600.0
"""Seconds for which a child that was put back is remembered; three times in it is a fight."""


class WriteGuard(Protocol):
    """`lease.Lease`."""

    def may_write(self) -> bool:
        """Whether a write may begin now."""

    def remaining(self) -> float:
        """Seconds until another replica may act."""


@dataclass(frozen=True)
class Target:
    """Whose children are written."""

    namespace: str
    name: str
    uid: str


class Applier:
    """Writes to the cluster. Raises NotLeading, Blocked(NameTaken, ApiForbidden, …), ApiError."""

    def __init__(self, client: Client, cache: ChildCache, guard: WriteGuard) -> None:
        self._client = client
        self._cache = cache
        self._guard = guard
        self._put_back: dict[tuple[str, str, str], deque[float]] = {}

    def flaps(self, namespace: str, children: Iterable[Observed]) -> dict[ObjectKey, int]:
        """How often each of these was put back within `FLAP_WINDOW`; none where never."""
        since = self._client.clock.now() - FLAP_WINDOW
        self._put_back = {k: v for k, v in self._put_back.items() if v[-1] > since}
        counts = {}
        for child in children:
            times = self._put_back.get((namespace, *child.key), ())
            if count := sum(t > since for t in times):
                counts[child.key] = count
        return counts

    async def apply(self, target: Target, actions: Iterable[Action]) -> int:
        """Carries out `actions`; how many there were."""
        done = 0
        for action in actions:
            await self._carry_out(target, action)
            done += 1
        return done

    def deadline(self) -> float:
        """Seconds that a write which begins now may take. Raises NotLeading."""
        if not self._guard.may_write():
            raise errors.NotLeading
        return min(TIMEOUT, self._guard.remaining())

    async def _carry_out(self, target: Target, action: Action) -> None:
        try:
            match action:
                case Create():
                    await self._create(target, action)
                case Apply():
                    await self._apply(target, action)
                case Annotate():
                    await self._annotate(target, action)
                case Delete():
                    await self._delete(target, action)
                case _:
                    assert_never(action)
        except errors.NamespaceTerminating:
            raise
        except errors.Forbidden as error:
            raise errors.Blocked(Reason.ApiForbidden, _forbidden(target, error)) from error

    async def _create(self, target: Target, action: Create) -> None:
        kind, name, manifest = _of(action.manifest)
        try:
            body = await self._client.create(
                kind, target.namespace, manifest, within=self.deadline()
            )
        except errors.AlreadyExists:
            body = await self._recognize(target, kind, name, manifest)
        self._cache.put(body)

    async def _recognize(self, target: Target, kind: Kind, name: str, manifest: Body) -> Body:
        """The object that has the name already, if it is ours. Raises NameTaken, or Conflict
        where it will be gone soon."""
        found = await self._client.get(kind, target.namespace, name)
        found = {**found, "apiVersion": kind.api_version, "kind": kind.kind}
        meta = found["metadata"]
        if (meta.get("labels") or {}).get(names.LABEL_UID) == target.uid:
            return found  # our own POST, whose answer was lost; or it lost its owner reference
        owners = {o.get("uid"): o for o in meta.get("ownerReferences") or ()}
        if target.uid in owners:  # it lost our labels, so the watch lost sight of it
            seen = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
            body = {**manifest, "metadata": {**manifest["metadata"], **seen}}
            return await self._client.apply(
                kind, target.namespace, name, body, within=self.deadline()
            )
        if any(o.get("kind") == KIND and o.get("name") == target.name for o in owners.values()):
            raise errors.Conflict(f"{kind.kind} {name} of the former {target.name} is not gone yet")
        raise _name_taken(target, kind, name, found) from None

    async def _apply(self, target: Target, action: Apply) -> None:
        kind, name, manifest = _of(action.manifest)
        metadata = {
            **manifest["metadata"],
            "uid": action.uid,
            "resourceVersion": action.resource_version,
        }
        body = await self._client.apply(
            kind,
            target.namespace,
            name,
            {**manifest, "metadata": metadata},
            within=self.deadline(),
        )
        self._cache.put(body)
        if action.drift:
            times = self._put_back.setdefault((target.namespace, kind.kind, name), deque(maxlen=8))
            times.append(self._client.clock.now())

    async def _annotate(self, target: Target, action: Annotate) -> None:
        kind = BY_NAME[action.kind]
        patch = {"metadata": {"uid": action.uid, "annotations": dict(action.annotations)}}
        try:
            body = await self._client.merge(
                kind, target.namespace, action.name, patch, within=self.deadline()
            )
        except errors.NotFound:
            # A mark on what is gone (a router pod that ended) is no failure.
            self._cache.deleted(action.kind, target.namespace, action.name, action.uid)
            return
        self._cache.put(body)

    async def _delete(self, target: Target, action: Delete) -> None:
        kind = BY_NAME[action.kind]
        try:
            body = await self._client.delete(
                kind, target.namespace, action.name, action.uid, within=self.deadline()
            )
        except errors.NotFound:
            body = {"kind": "Status"}
        if body.get("kind") == action.kind and "deletionTimestamp" in body["metadata"]:
            self._cache.put(body)  # it is terminating: a pod in its grace period, for example
        else:  # a Status, or for a Service its last state
            self._cache.deleted(action.kind, target.namespace, action.name, action.uid)


def _of(manifest: Manifest) -> tuple[Kind, str, Body]:
    plain: Body = _thaw(manifest)
    return BY_NAME[plain["kind"]], str(plain["metadata"]["name"]), plain


def _thaw(value: Any) -> Any:
    """Plain dicts and lists, as the client library's serializer wants them."""
    if isinstance(value, Mapping):
        return {k: _thaw(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_thaw(v) for v in value]
    return value


def _name_taken(target: Target, kind: Kind, name: str, body: Body) -> errors.Blocked:
    meta = body["metadata"]
    labels = meta.get("labels") or {}
    if labels.get(names.LABEL_MANAGED_BY) == names.MANAGER:
        owner = labels.get(names.LABEL_DEPLOYMENT, "?")
        whose = f"belongs to another SavedModelDeployment named {owner}"
    else:
        whose = "was not made by this operator"
    return errors.Blocked(
        Reason.NameTaken,
        f"{kind.kind} {name} is needed for {target.name} but {whose}; it is left as it is: "
        f"delete it (kubectl -n {target.namespace} delete {kind.plural} {name}) or give the "
        "SavedModelDeployment another name",
    )


def _forbidden(target: Target, error: errors.Forbidden) -> str:
    """The API server's words, and what to do where it is a matter of the chart's rights."""
    if "exceeded quota" in error.message or "cannot" not in error.message:
        return f"the API server refuses {error.verb} {error.resource}: {error.message}"
    return (
        f"the operator may not {error.verb} {error.resource} in namespace {target.namespace}: "
        "have the administrator upgrade the chart with this namespace in watchNamespaces (or "
        f"with rbac.create); the API server says: {error.message}"
    )
