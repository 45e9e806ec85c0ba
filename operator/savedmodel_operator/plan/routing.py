"""What the routers carry, what they should carry, and what may go. Pure.

The order is always: cluster added → members = ready pods → weight → weight 0 verified → cluster
removed → workload deleted. Every arrow waits for what every router pod itself answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Memory, unix
from savedmodel_operator.plan.snapshot import RouterPodView
from savedmodel_operator.workload.route import Backend, Mirror, RoutePlan

NUDGE_AGAIN = 1.0  # seconds; the kubelet syncs a nudged pod within 0.6 s (facts/cluster.md)
ROLLBACK_PATIENCE = 5.0  # seconds a router pod may stay unverified in a rollback (design §9)


@dataclass(frozen=True)
class WrittenRoute:
    """What the annotation beside Envoy's files says of them: revision → percent."""

    weights: Mapping[str, int]
    mirror: Mapping[str, int]


@lru_cache(maxsize=1024)
def read_route(text: str) -> WrittenRoute:
    """Whoever may write ConfigMaps may have written the text: what is damaged counts as empty."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raw = None
    fields = raw if isinstance(raw, dict) else {}
    return WrittenRoute(_percents(fields.get("weights")), _percents(fields.get("mirror")))


def _percents(raw: object) -> Mapping[str, int]:
    """All of them or none: a table with a hole would be another one."""
    found = raw if isinstance(raw, dict) else {}
    return found if all(type(percent) is int for percent in found.values()) else {}


@dataclass(frozen=True)
class RouterState:
    """The written configuration and how far it has got."""

    world: World

    @cached_property
    def _annotations(self) -> Mapping[str, str]:
        config = self.world.find("ConfigMap", names.router_name(self.world.snapshot.name))
        if config is None:
            return {}
        found: Mapping[str, str] = config.body.get("metadata", {}).get("annotations", {}) or {}
        return found

    @cached_property
    def _written(self) -> WrittenRoute:
        return read_route(self._annotations.get(names.ANNOTATION_ROUTE, ""))

    @property
    def weights(self) -> Mapping[str, int]:
        """Backend revision → weight as written; empty when nothing is written or it is damaged."""
        return self._written.weights

    def mirrored(self, revision: str) -> int:
        """Percent of requests that the written route copies to this revision."""
        return self._written.mirror.get(revision, 0)

    @property
    def hash(self) -> str | None:
        """The hash of the written configuration, which routers answer at /_revision."""
        return self._annotations.get(names.ANNOTATION_CONFIG)

    @property
    def written_at(self) -> float:
        """When it was written, Unix seconds; 0 when unknown."""
        return unix(self._annotations.get(names.ANNOTATION_WRITTEN_AT)) or 0.0

    @cached_property
    def running(self) -> tuple[RouterPodView, ...]:
        """Pods that may carry traffic: terminating ones count until they are gone."""
        return tuple(p for p in self.world.snapshot.router.pods if p.running)

    @cached_property
    def stale(self) -> tuple[RouterPodView, ...]:
        """Running pods that do not answer with the written configuration."""
        return tuple(p for p in self.running if self.hash is None or p.revision != self.hash)

    @property
    def verified(self) -> bool:
        """Whether every running pod carries what is written, and at least one is ready."""
        return (
            self.hash is not None
            and not self.stale
            and any(p.ready and not p.terminating for p in self.running)
        )

    def has_members(self, view: RevisionView, cluster: str = "") -> bool:
        """Whether every router pod sees every ready pod of the revision as a healthy member;
        `cluster`: of another one than the revision's own."""
        name = cluster or view.name
        return bool(view.ready_ips) and all(
            view.ready_ips <= p.members.get(name, frozenset()) for p in self.running
        )


@dataclass(frozen=True)
class Retired:
    """A revision that is neither stable nor candidate but still runs. `until`: Unix seconds."""

    view: RevisionView
    until: float


def find_retired(world: World, memory: Memory) -> tuple[Retired, ...]:
    """Everything that has to go; a former stable stays for the scale-down delay, or is kept."""
    in_use = {r.revision for r in (memory.stable, memory.candidate) if r is not None}
    in_use |= {held.revision for held in find_kept(world, memory)}
    return tuple(
        Retired(view, _keep_until(world, memory, view.name))
        for view in world.revisions.values()
        if view.running and view.name not in in_use
    )


def _keep_until(world: World, memory: Memory, revision: str) -> float:
    for past in memory.history:
        if past.revision == revision:
            delay = world.scale_down_delay if past.outcome is Reason.Promoted else 0.0
            return past.at + delay
    return 0.0


def build_route(
    world: World,
    memory: Memory,
    router: RouterState,
    retired: Iterable[Retired],
    weights: tuple[int, int],
    mirror: int = 0,
) -> RoutePlan:
    """The configuration wanted now; `weights`: the candidate's and stable's, both 0 for nobody;
    `mirror`: what the rollout grants the candidate."""
    snapshot, stable, candidate = world.snapshot, memory.stable, memory.candidate
    sticky = snapshot.spec.traffic.sticky
    backends: list[Backend] = []
    copies: Mirror | None = None
    if candidate is not None and _has_place(world, router, candidate.revision):
        backends.append(Backend(candidate.revision, candidate.number, weights[0]))
        copies = Mirror(candidate.revision, mirror) if mirror and not weights[0] else None
        weights = (0, weights[1])
    if stable is not None:
        backends.append(Backend(stable.revision, stable.number, sum(weights)))
    for kept in find_kept(world, memory):
        if world.revision(kept.revision).service is not None:
            backends.append(Backend(kept.revision, kept.number, 0))
    for gone in retired:
        number = names.version_of(gone.view.name)  # its record may be gone
        if number is not None and keeps_cluster(world, router, gone):
            backends.append(Backend(gone.view.name, number, 0))
    return RoutePlan(
        name=snapshot.name,
        namespace=snapshot.namespace,
        model_name=snapshot.model_name,
        backends=tuple(backends),
        stable=stable.revision if stable else None,
        canary=candidate.revision if candidate else None,
        mirror=copies,
        sticky=sticky.header if sticky is not None else None,
    )


def _has_place(world: World, router: RouterState, revision: str) -> bool:
    """Whether the candidate has a cluster: from when its Service is there until it ends. Somebody
    may have taken the Service away; what routers use is not taken from them for that."""
    return world.revision(revision).service is not None or revision in router.weights


def keeps_cluster(world: World, router: RouterState, gone: Retired) -> bool:
    """Whether a retired revision still needs its cluster in the routers."""
    written = router.weights.get(gone.view.name)
    if written is None:
        return False
    return written > 0 or not router.verified or world.snapshot.now < gone.until


def may_delete(world: World, router: RouterState, gone: Retired) -> bool:
    """Whether no router can send anything to it any more."""
    return (
        router.verified
        and gone.view.name not in router.weights
        and world.snapshot.now >= gone.until
    )


def encode_weights(route: RoutePlan) -> str:
    """The annotation that tells the next cycle what is written."""
    written = {"weights": {b.revision: b.weight for b in route.backends}}
    if route.mirror is not None:
        written["mirror"] = {route.mirror.revision: route.mirror.percent}
    return json.dumps(written, sort_keys=True)
