"""Typed views of the children as observed: revisions with their pods, and what pods complain of.

Reads raw Kubernetes objects so that no rule has to. A field that is not there is read as "not
yet", never as "done".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import seconds
from savedmodel_operator.plan import memory
from savedmodel_operator.plan.snapshot import Observed, Snapshot
from savedmodel_operator.workload.revision import RevisionRecord, read_record, serving_hash


@dataclass(frozen=True)
class PodView:
    """A model pod, reduced to what rules ask."""

    name: str
    uid: str
    ip: str | None
    ready: bool
    terminating: bool
    body: Mapping[str, Any]

    @property
    def serving(self) -> bool:
        """Whether the Service lists it."""
        return self.ready and not self.terminating and self.ip is not None


@dataclass(frozen=True)
class RevisionView:
    """Everything there is of one revision."""

    name: str
    record_object: Observed | None = None
    record: RevisionRecord | None = None
    lock: Observed | None = None
    service: Observed | None = None
    deployment: Observed | None = None
    pdb: Observed | None = None
    autoscaler: Observed | None = None
    pods: tuple[PodView, ...] = ()

    @property
    def running(self) -> bool:
        """Whether anything of it may still serve or hold a name in DNS."""
        return any(o is not None for o in (self.deployment, self.service, self.pdb)) or bool(
            self.pods
        )

    @property
    def workload(self) -> tuple[Observed, ...]:
        """What is deleted when it retires, in the order of deletion."""
        return tuple(o for o in (self.deployment, self.service, self.pdb) if o is not None)

    @cached_property
    def ready_ips(self) -> frozenset[str]:
        """Addresses of the pods that the Service lists."""
        return frozenset(p.ip for p in self.pods if p.serving and p.ip)

    @property
    def ready_replicas(self) -> int:
        """Pods that the Service lists."""
        return len(self.ready_ips)

    @property
    def scale(self) -> int:
        """Replicas as written in the Deployment; 0 without one."""
        if self.deployment is None:
            return 0
        replicas = self.deployment.body.get("spec", {}).get("replicas", 1)
        return int(replicas)

    @property
    def replica_failure(self) -> str | None:
        """The API server's own words when it refuses the pods (quota, Pod Security)."""
        for condition in _conditions(self.deployment.body if self.deployment else {}):
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                return str(condition.get("message", "pods are refused"))
        return None

    def annotation(self, key: str) -> str | None:
        """An annotation of the revision's record."""
        if self.record_object is None:
            return None
        value = self.record_object.body.get("metadata", {}).get("annotations", {}).get(key)
        return None if value is None else str(value)


@dataclass(frozen=True)
class World:
    """The snapshot with its children sorted by revision; computed once per cycle."""

    snapshot: Snapshot

    @cached_property
    def revisions(self) -> Mapping[str, RevisionView]:
        """Every revision of which anything is there, by name."""
        found: dict[str, dict[str, Any]] = {}
        for observed in self.snapshot.objects.values():
            revision = observed.revision
            if revision is not None:
                _place(found.setdefault(revision, {"pods": []}), observed)
        return {name: _view(name, parts) for name, parts in sorted(found.items())}

    @cached_property
    def serving_hash(self) -> str:
        """The hash of the present serving inputs."""
        return serving_hash(self.snapshot.spec)

    @cached_property
    def gate_hash(self) -> str:
        """The hash of the present gate."""
        return memory.gate_hash(self.snapshot.spec)

    @cached_property
    def worked_out(self) -> dict[object, Any]:
        """What several rules ask in one cycle, by who asks what."""
        return {}

    @property
    def source_seen(self) -> bool:
        """Whether the bucket was looked at since this operator started."""
        return self.snapshot.source.reason is not Reason.SourcePending

    @property
    def scale_down_delay(self) -> float:
        """Seconds that a former stable revision stays; none where its pods make room."""
        if self.snapshot.spec.rollout.capacity != "Surge":
            return 0.0
        return seconds(self.snapshot.spec.rollout.scale_down_delay)

    def revision(self, name: str) -> RevisionView:
        """The view of one revision, empty when nothing is there."""
        found = self.revisions.get(name)
        return RevisionView(name) if found is None else found

    def find(self, kind: str, name: str) -> Observed | None:
        """One child."""
        return self.snapshot.objects.get((kind, name))

    def recovered_memory(self) -> memory.Memory:
        """The memory in status, or what the records tell when status never held one."""
        status = self.snapshot.status
        if not memory.is_lost(status):
            return memory.read(status)
        return memory.recover(
            (
                view.name,
                view.record.number,
                view.record.fingerprint,
                memory.unix(view.annotation(names.ANNOTATION_PROMOTED_AT)),
                view.annotation(names.ANNOTATION_REJECTED),
            )
            for view in self.revisions.values()
            if view.record is not None
        )


_SLOTS = {
    "ControllerRevision": "record_object",
    "ConfigMap": "lock",
    "Service": "service",
    "Deployment": "deployment",
    "PodDisruptionBudget": "pdb",
    "HorizontalPodAutoscaler": "autoscaler",
}


def _place(parts: dict[str, Any], observed: Observed) -> None:
    if observed.kind == "Pod":
        parts["pods"].append(_pod(observed))
    elif (slot := _SLOTS.get(observed.kind)) is not None:
        parts[slot] = observed


def _view(name: str, parts: dict[str, Any]) -> RevisionView:
    record_object: Observed | None = parts.get("record_object")
    pods: Iterable[PodView] = parts.pop("pods")
    record = _record(record_object) if record_object is not None else None
    return RevisionView(
        name=name, record=record, pods=tuple(sorted(pods, key=lambda p: p.name)), **parts
    )


_RECORDS: WeakKeyDictionary[Observed, RevisionRecord | None] = WeakKeyDictionary()


def _record(observed: Observed) -> RevisionRecord | None:
    """Read once per observation: records are immutable, and reading one costs a millisecond."""
    try:
        return _RECORDS[observed]
    except KeyError:
        found = _RECORDS[observed] = read_record(observed.body)
        return found


_PODS: WeakKeyDictionary[Observed, PodView] = WeakKeyDictionary()


def _pod(observed: Observed) -> PodView:
    """Read once per observation."""
    try:
        return _PODS[observed]
    except KeyError:
        found = _PODS[observed] = _read_pod(observed)
        return found


def _read_pod(observed: Observed) -> PodView:
    meta, status = observed.body.get("metadata", {}), observed.body.get("status", {})
    ready = any(
        c.get("type") == "Ready" and c.get("status") == "True" for c in _conditions(observed.body)
    )
    return PodView(
        name=observed.name,
        uid=observed.uid,
        ip=status.get("podIP"),
        ready=ready,
        terminating="deletionTimestamp" in meta,
        body=observed.body,
    )


def _conditions(body: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    conditions = body.get("status", {}).get("conditions", ())
    return conditions if isinstance(conditions, list | tuple) else ()
