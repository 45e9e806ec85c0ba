"""From memory and route to the list of writes: create, put back, scale, route, retire. Pure.

The order of the list is the order of safety: capacity is added before traffic moves, traffic
moves before anything is taken away, and what is taken away was proved unused by the routers'
own answers in this very snapshot. So the list may be cut off anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.plan import memory as memories
from savedmodel_operator.plan.actions import Action, Annotate, Apply, Create, Delete, Manifest
from savedmodel_operator.plan.autoscaler import keep_autoscaler, remove_autoscalers
from savedmodel_operator.plan.capacity import Shares
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.irreplaceable import put_budget
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Memory
from savedmodel_operator.plan.put import difference, put, put_back, put_ours
from savedmodel_operator.plan.routing import (
    NUDGE_AGAIN,
    ROLLBACK_PATIENCE,
    Retired,
    RouterState,
    encode_weights,
    may_delete,
)
from savedmodel_operator.plan.scale import wanted_replicas, written_replicas
from savedmodel_operator.plan.snapshot import ObjectKey
from savedmodel_operator.plan.target import Target
from savedmodel_operator.workload import lock as lock_builder
from savedmodel_operator.workload import router as router_builder
from savedmodel_operator.workload.drift import first_difference
from savedmodel_operator.workload.envoy import config_hash
from savedmodel_operator.workload.model import with_replicas
from savedmodel_operator.workload.owner import Owner
from savedmodel_operator.workload.revision import RevisionRecord, build_record, read_record
from savedmodel_operator.workload.route import RoutePlan

FLAPS = 3
"""Times that the same child is put back within the shell's window before the operator stops."""


@dataclass(frozen=True)
class Wanted:
    """What decide settled on."""

    memory: Memory
    before: Memory  # as stored: nothing that it still names is deleted
    route: RoutePlan
    retired: tuple[Retired, ...]
    shares: Shares
    target: Target | None  # source of lock and facts for a revision that is not there yet

    @cached_property
    def config(self) -> str:
        """The hash of the route's configuration."""
        return config_hash(self.route)


def plan_writes(world: World, router: RouterState, wanted: Wanted) -> tuple[Action, ...]:
    """All writes of this cycle, in the order of safety."""
    owner = Owner(world.snapshot.name, world.snapshot.namespace, world.snapshot.uid)
    return (
        *remove_autoscalers(world, wanted.memory, wanted.before),
        *_router_parts(world, owner, wanted),
        *_revision_parts(world, owner, wanted),
        *_route_parts(world, owner, router, wanted),
        *_marks(world, wanted),
        *_retire(world, router, wanted),
        *_collect(world, wanted),
    )


def stop_fighting(
    world: World, actions: Iterable[Action]
) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """The writes without those that others undid `FLAPS` times, and a sentence for each of these."""
    kept: list[Action] = []
    left: list[str] = []
    for action in actions:
        key = _key(action)
        if key is None or world.snapshot.flaps.get(key, 0) < FLAPS:
            kept.append(action)
        else:
            left.append(f"{action.why}{_changed_by(world, key, action.why)}")
    return tuple(kept), tuple(left)


def _key(action: Action) -> ObjectKey | None:
    if not isinstance(action, Apply) or not action.drift:
        return None
    return action.manifest["kind"], action.manifest["metadata"]["name"]


def _changed_by(world: World, key: ObjectKey, why: str) -> str:
    """Who holds the field that the sentence names, as the API server's managedFields have it: of a
    map that is held as a whole (a Service's selector) only the map itself."""
    path = why.split(": ", 1)[-1].split(" ", 1)[0]
    managers = world.snapshot.objects[key].managers
    held = (m for p, m in managers.items() if p.startswith(path) or path.startswith(f"{p}."))
    found = next(held, None)
    return f" (field manager {found})" if found and found != names.MANAGER else ""


def _router_parts(world: World, owner: Owner, wanted: Wanted) -> Iterator[Action]:
    """The router itself. Its pods change only outside rollouts."""
    spec, settings = world.snapshot.spec, world.snapshot.settings
    yield from put_ours(world, router_builder.build_service(owner))
    if world.find("ConfigMap", names.router_name(owner.name)) is None:
        yield from put(world, _config(world, owner, wanted.route))
    for policy in router_builder.build_network_policies(owner, settings):
        yield from put_ours(world, policy)
    yield from put_ours(world, router_builder.build_pdb(owner))
    router = router_builder.build_deployment(owner, spec, settings)
    if wanted.memory.candidate is None:
        yield from put_ours(world, router)
    else:
        yield from put_back(world, router)


def _config(world: World, owner: Owner, route: RoutePlan) -> dict[str, Any]:
    """The routers' configuration, written now."""
    manifest, now = _timeless_config(owner, route), world.snapshot.now
    meta = manifest["metadata"]
    marks = {**meta["annotations"], names.ANNOTATION_WRITTEN_AT: memories.timestamp(now)}
    return {**manifest, "metadata": {**meta, "annotations": marks}}


@lru_cache(maxsize=router_builder.KEPT)
def _timeless_config(owner: Owner, route: RoutePlan) -> Manifest:
    """The same but for the time: what the written one is compared with in every cycle."""
    manifest = router_builder.build_configmap(owner, route, 0.0)
    meta = manifest["metadata"]
    marks = {k: v for k, v in meta["annotations"].items() if k != names.ANNOTATION_WRITTEN_AT}
    marks[names.ANNOTATION_ROUTE] = encode_weights(route)
    return {**manifest, "metadata": {**meta, "annotations": marks}}


def _revision_parts(world: World, owner: Owner, wanted: Wanted) -> Iterator[Action]:
    """Stable first, what is kept, then the candidate: lock, record, Service, Deployment, budget."""
    memory, before = wanted.memory, wanted.before
    if memory.stable is not None:
        name = memory.stable.revision
        yield from _one_revision(world, owner, wanted, name, wanted.shares.stable)
        yield from keep_autoscaler(world, owner, memory, before, bool(wanted.retired))
    for kept in find_kept(world, memory):
        scale = wanted_replicas(world, memory)
        yield from _one_revision(world, owner, wanted, kept.revision, scale)
    if memory.candidate is not None:
        name = memory.candidate.revision
        yield from _one_revision(world, owner, wanted, name, wanted.shares.candidate)


def _one_revision(
    world: World, owner: Owner, wanted: Wanted, name: str, replicas: int
) -> Iterator[Action]:
    view = world.revision(name)
    yield from _identity_parts(world, owner, wanted, view)
    record = view.record or _fresh_record(world, owner, wanted, name)
    if record is None:
        return
    yield from put(world, record.service)
    yield from _deployment(world, view, record, written_replicas(view, replicas))
    yield from put_budget(world, wanted.memory, view, record)


def _deployment(
    world: World, view: RevisionView, record: RevisionRecord, replicas: int | None
) -> Iterator[Action]:
    if replicas is None:
        yield from put(world, record.deployment)
        return
    why = _scaling(view, record, replicas)
    yield from put(world, with_replicas(record.deployment, replicas), why)


def _scaling(view: RevisionView, record: RevisionRecord, replicas: int) -> str:
    """A change of scale alone is no drift; everything else is named by its first difference."""
    if view.deployment is None or view.scale == replicas:
        return ""
    if first_difference(with_replicas(record.deployment, view.scale), view.deployment.body):
        return ""
    return f"scale {view.name} from {view.scale} to {replicas}"


def _identity_parts(
    world: World, owner: Owner, wanted: Wanted, view: RevisionView
) -> Iterator[Action]:
    """Lock and record: immutable, made once, owned for ever."""
    target = _source_of(world, wanted, view.name)
    if view.lock is not None:
        yield from _keep_owned(view.lock, owner)
    elif target is not None and target.lock is not None:
        yield Create(
            lock_builder.build_lock(owner, view.name, target.lock),
            f"the lock of {view.name} is missing",
        )
    if view.record_object is not None:
        yield from _keep_owned(view.record_object, owner)
    elif (body := _record_manifest(world, owner, wanted, view.name)) is not None:
        yield Create(body, f"the record of {view.name} is missing")


def _source_of(world: World, wanted: Wanted, revision: str) -> Target | None:
    """The target, if it is this revision; else what the bucket still has of its identity."""
    if wanted.target is not None and wanted.target.revision == revision:
        return wanted.target
    held = next(
        (
            h
            for h in (wanted.memory.stable, wanted.memory.candidate)
            if h and h.revision == revision
        ),
        None,
    )
    for version in world.snapshot.source.versions if held else ():
        if held and (version.number, version.fingerprint) == (held.number, held.fingerprint):
            return Target(held.number, held.fingerprint, revision, version.facts, version.lock)
    return None


def _record_manifest(
    world: World, owner: Owner, wanted: Wanted, revision: str
) -> dict[str, Any] | None:
    target = _source_of(world, wanted, revision)
    if target is None or target.lock is None or target.facts is None:
        return None
    snapshot = world.snapshot
    return build_record(
        owner, revision, target.lock, target.facts, snapshot.spec, snapshot.settings
    )


def _fresh_record(
    world: World, owner: Owner, wanted: Wanted, revision: str
) -> RevisionRecord | None:
    """The record that this very cycle creates, so that the first cycle makes all objects."""
    body = _record_manifest(world, owner, wanted, revision)
    return read_record(body) if body is not None else None


def _keep_owned(seen: Any, owner: Owner) -> Iterator[Action]:
    """Put the owner reference and labels back on an immutable child."""
    meta = seen.body.get("metadata", {})
    marks = {"labels": meta.get("labels", {}), "ownerReferences": [owner.reference()]}
    if difference(seen, {"metadata": {"ownerReferences": marks["ownerReferences"]}}) is None:
        return
    manifest = {k: v for k, v in seen.body.items() if k not in ("metadata", "status")}
    manifest["metadata"] = {"name": seen.name, "namespace": owner.namespace, **marks}
    yield Apply(
        manifest, seen.uid, seen.resource_version, f"{seen.kind} {seen.name} lost its owner"
    )


def _route_parts(
    world: World, owner: Owner, router: RouterState, wanted: Wanted
) -> Iterator[Action]:
    """The configuration, then a nudge for each pod that does not carry it yet."""
    seen = world.find("ConfigMap", names.router_name(owner.name))
    if seen is None:
        return
    changed = difference(seen, _timeless_config(owner, wanted.route))
    if changed is not None:
        manifest = _config(world, owner, wanted.route)
        words = _route_words(router, wanted)
        why = words or f"ConfigMap {seen.name}: {changed}"
        yield Apply(manifest, seen.uid, seen.resource_version, why, drift=not words)
    yield from _nudges(world, router, wanted.config)
    yield from _evict(world, router, wanted)


def _route_words(router: RouterState, wanted: Wanted) -> str:
    """What the new route is; nothing where the written one is meant and somebody changed it."""
    route = wanted.route
    if router.hash == wanted.config:
        return ""
    now = {b.revision: b.weight for b in route.backends}
    text = "route " + (", ".join(f"{k} {v} %" for k, v in now.items()) or "nothing")
    if route.mirror is not None:
        text += f"; copies of {route.mirror.percent} % to {route.mirror.revision}"
    return text


def _nudges(world: World, router: RouterState, config: str) -> Iterator[Action]:
    """A changed annotation makes the kubelet sync the pod at once (facts/cluster.md)."""
    now = world.snapshot.now
    for pod in router.running:
        if pod.terminating or pod.revision in (None, config):
            continue  # one that does not answer is not helped by a nudge
        told, _, at = (pod.nudge or "").partition("@")
        last = memories.unix(at)
        if told == config and last is not None and now - last < NUDGE_AGAIN:
            continue
        mark = {names.ANNOTATION_NUDGE: f"{config}@{memories.timestamp(now)}"}
        yield Annotate("Pod", pod.name, pod.uid, mark, f"router {pod.name} carries another route")


def _evict(world: World, router: RouterState, wanted: Wanted) -> Iterator[Action]:
    """In a rollback, a router pod that cannot be verified goes, while another one is proved."""
    failed = {r.revision for r in wanted.before.rejected}
    if not any(r.view.name in failed for r in wanted.retired):
        return
    if router.hash != wanted.config:
        return
    proved = [p for p in router.running if p.ready and p.revision == router.hash]
    stuck = [p for p in router.stale if not p.terminating]
    if proved and stuck and world.snapshot.now - router.written_at >= ROLLBACK_PATIENCE:
        why = f"router {stuck[0].name} did not take the rollback within {ROLLBACK_PATIENCE:g} s"
        yield Delete("Pod", stuck[0].name, stuck[0].uid, why)


def _marks(world: World, wanted: Wanted) -> Iterator[Action]:
    """Promotions and refusals stand on the records too, so that a lost status can be rebuilt."""
    stable = wanted.memory.stable
    if stable is not None:
        stamp = memories.timestamp(stable.since)
        yield from _mark(world, stable.revision, names.ANNOTATION_PROMOTED_AT, stamp)
    for entry in wanted.memory.rejected:
        text = _told(entry)
        yield from _mark(world, entry.revision, names.ANNOTATION_REJECTED, text)
    refused = {entry.revision for entry in wanted.memory.rejected}
    for view in world.revisions.values():
        if view.name not in refused and view.annotation(names.ANNOTATION_REJECTED):
            yield from _mark(world, view.name, names.ANNOTATION_REJECTED, "")


@lru_cache(maxsize=1024)
def _told(entry: memories.Rejection) -> str:
    """A refusal as it stands on its record."""
    return json.dumps(memories.write_rejection(entry), sort_keys=True)


def _mark(world: World, revision: str, key: str, value: str) -> Iterator[Action]:
    view = world.revision(revision)
    if view.record_object is not None and view.annotation(key) != value:
        seen = view.record_object
        yield Annotate(seen.kind, seen.name, seen.uid, {key: value}, f"remember on {seen.name}")


def _retire(world: World, router: RouterState, wanted: Wanted) -> Iterator[Action]:
    """Workloads that no router knows any more."""
    before = {h.revision for h in (wanted.before.stable, wanted.before.candidate) if h}
    for gone in wanted.retired:
        if gone.view.name in before or not may_delete(world, router, gone):
            continue
        if not _known(wanted.memory, gone.view.name) and not world.source_seen:
            continue  # perhaps made just before a crash, and wanted again in a moment
        for seen in gone.view.workload:
            why = f"{gone.view.name} is retired"
            yield Delete(seen.kind, seen.name, seen.uid, why)


def _known(memory: Memory, revision: str) -> bool:
    ended = (*(r.revision for r in memory.rejected), *(p.revision for p in memory.history))
    return revision in ended


def _collect(world: World, wanted: Wanted) -> Iterator[Action]:
    """Locks and records live as long as their history or refusal."""
    if not world.source_seen:
        return
    both = (wanted.memory, wanted.before)
    kept = {m.stable.revision for m in both if m.stable}
    kept |= {m.candidate.revision for m in both if m.candidate}
    kept |= {r.revision for r in wanted.memory.rejected}
    kept |= {p.revision for p in wanted.memory.history}
    if wanted.target is not None:
        kept.add(wanted.target.revision)
    for view in world.revisions.values():
        if view.name in kept or view.running:
            continue
        for seen in (view.lock, view.record_object):
            if seen is not None:
                yield Delete(seen.kind, seen.name, seen.uid, f"{view.name} left the history")


def describe(actions: Iterable[Action]) -> str:
    """The writes in one line, for the log."""
    return "; ".join(a.why for a in actions)
