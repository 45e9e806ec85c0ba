"""One object's world as a frozen `Snapshot`, from caches only: the first part of a cycle.

Reads what `cluster` and its siblings keep, never the API server or a bucket itself, so it is quick
and an idle cycle costs no call. It must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from savedmodel_operator.api import names
from savedmodel_operator.api.parse import Meta, parse, parse_meta
from savedmodel_operator.api.types import Gate, Spec
from savedmodel_operator.cluster.cache import ChildCache, Owner
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.observe.counters import Counters, subject_of
from savedmodel_operator.observe.golden import GoldenWatcher
from savedmodel_operator.observe.live import LiveChecks, Question
from savedmodel_operator.observe.pods import PodClient
from savedmodel_operator.observe.prometheus import PrometheusClient
from savedmodel_operator.observe.queries import Queries, inquiry_of
from savedmodel_operator.observe.routers import Routers
from savedmodel_operator.observe.sources import Sources, Wanted
from savedmodel_operator.plan.snapshot import Observed, Settings, Snapshot


@dataclass(frozen=True)
class Observer:
    """Everything that is known, in one place."""

    objects: ObjectCache
    children: ChildCache
    clock: ServerClock
    sources: Sources
    routers: Routers
    live: LiveChecks
    golden: GoldenWatcher
    counters: Counters
    queries: Queries
    settings: Settings
    pods: PodClient
    prometheus: PrometheusClient

    def meta(self, key: Owner) -> Meta | None:
        """The object's identity, or None where it is gone."""
        body = self.objects.get(key)
        return None if body is None else parse_meta(body)

    def observe(self, key: Owner) -> Snapshot | None:
        """The snapshot, or None where the object is gone. Raises InvalidSpec."""
        body = self.objects.get(key)
        if body is None:
            return None
        meta, spec = parse(body)
        children = self.children.children(key, meta.uid)
        return Snapshot(
            now=self.clock.now(),
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            generation=meta.generation,
            annotations=meta.annotations,
            spec=spec,
            status=meta.status,
            source=self.sources.view(key, meta.uid, spec.source, _wanted(meta, spec, children)),
            settings=self.settings,
            objects={c.key: c for c in children},
            router=self.routers.view(key, children),
            live=self.live.view(key, _question(meta, spec), children),
            golden=self.golden.view(key, spec, meta.status),
            analysis=self.counters.view(key, subject_of(meta, spec), children),
            queries=self.queries.view(key, inquiry_of(meta, spec)),
            deleting=meta.deleting,
        )

    def forget(self, key: Owner) -> None:
        """The object is gone: nothing is watched for it any more."""
        self.sources.forget(key)
        self.routers.forget(key)
        self.live.forget(key)
        self.golden.forget(key)
        self.counters.forget(key)
        self.queries.forget(key)

    async def close(self) -> None:
        """Ends all watchers."""
        self.routers.close()
        self.live.close()
        self.golden.close()
        self.counters.close()
        self.queries.close()
        await self.sources.close()
        await self.pods.close()
        await self.prometheus.close()


def _question(meta: Meta, spec: Spec) -> Question:
    """What the candidate has to answer."""
    return Question(
        model_name=spec.model_name or meta.name,
        tags=spec.serving.options.tags,
        gate=_gate(meta.status, spec),
        candidate=_revision(meta.status, "candidate"),
        stable=_revision(meta.status, "stable"),
    )


def _gate(status: Mapping[str, Any], spec: Spec) -> Gate:
    """A revision that comes back is not held to agree with the one that it replaces."""
    candidate = status.get("candidate")
    if isinstance(candidate, Mapping) and candidate.get("returning"):
        return msgspec.structs.replace(spec.gate, agreement=None)
    return spec.gate


def _revision(status: Mapping[str, Any], role: str) -> str | None:
    entry = status.get(role)
    revision = entry.get("revision") if isinstance(entry, Mapping) else None
    return None if revision is None else str(revision)


def _wanted(meta: Meta, spec: Spec, children: Iterable[Observed]) -> Wanted:
    """Stable, candidate and the pinned version: looked at however old they are, and their locks,
    whose bytes they can only be started from again while they are in the bucket."""
    roles = _entries([meta.status.get("stable"), meta.status.get("candidate")])
    numbers = {e["number"] for e in roles if isinstance(e.get("number"), int)}
    revisions = {str(e.get("revision")) for e in roles}
    if spec.versions.pinned is not None:
        numbers.add(spec.versions.pinned.number)
        past = _entries(meta.status.get("history"))
        pinned = (e for e in past if e.get("number") == spec.versions.pinned.number)
        revisions |= {str(e.get("revision")) for e in pinned}
    wanted = {names.lock_name(revision): revision for revision in revisions}
    locks = {wanted[c.name]: c for c in children if c.kind == "ConfigMap" and c.name in wanted}
    return Wanted(frozenset(numbers), locks)


def _entries(listed: object) -> list[Mapping[str, Any]]:
    return [e for e in listed if isinstance(e, Mapping)] if isinstance(listed, list) else []
