"""How many pods stable and candidate have now, and which weights they may carry. Pure.

`spec.rollout.capacity`, where n pods are wanted:

    Surge     stable keeps its n pods, the candidate's come on top of them
    Replace   stable gives one pod ─► it is gone ─► the candidate gets one ─► ready, checked, seen
              by the routers ─► its share of the weight ─► the next one … n - 1 pods and 100 %
              ─► promoted ─► the last pod of the former one goes ─► n pods
    Recreate  weight 0 for all ─► stable's pods go ─► the candidate gets n pods ─► ready, checked,
              seen ─► 100 % ─► promoted

Everything is read from what is there, nothing remembered: any cycle may be the first after a crash,
and the field may change in the middle. With Replace and Recreate the pods of all revisions, leaving
ones included, never exceed n by our doing. What a candidate that ended leaves free goes back to
stable. `trial` and `rollout` ask for the `Stage`, `decide` for the `Shares`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from savedmodel_operator.plan.children import PodView, RevisionView, World
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Memory
from savedmodel_operator.plan.restorable import hold_scale
from savedmodel_operator.plan.routing import RouterState
from savedmodel_operator.plan.scale import stable_replicas, wanted_replicas

SURGE, REPLACE, RECREATE = "Surge", "Replace", "Recreate"


@dataclass(frozen=True)
class Stage:
    """What the candidate goes for now: so many ready pods, then this weight in percent.

    `whole`: that is all that the step asks for. `given`: pods that stable gives up for it.
    `waits`: stable must have its pods first.
    """

    pods: int
    weight: int
    whole: bool = True
    given: int = 0
    waits: bool = False


@dataclass(frozen=True)
class Shares:
    """The pods of both, and the weights that the route may have."""

    stable: int
    candidate: int
    weights: tuple[int, int] = (0, 0)  # candidate's, stable's

    @property
    def nobody(self) -> bool:
        """Whether no revision gets requests: routers answer 503."""
        return sum(self.weights) == 0


def pods_at(weight: int, replicas: int) -> int:
    """Candidate pods on top of stable's for a weight in percent.

    >>> pods_at(5, 3), pods_at(50, 4), pods_at(100, 4)
    (1, 2, 4)
    """
    return max(1, math.ceil(weight * replicas / 100)) if replicas else 0


def traded_at(weight: int, replicas: int) -> int:
    """Pods that a step replaces: its weight is the most, but one pod it is at least. Stable keeps
    one to the end.

    >>> traded_at(10, 2), traded_at(50, 5), traded_at(99, 4), traded_at(100, 4)
    (1, 2, 3, 3)
    """
    return min(replicas - 1, max(1, weight * replicas // 100))


def share_of(pods: int, replicas: int) -> int:
    """Percent that this many of all pods carry, rounded in stable's favour.

    >>> share_of(1, 2), share_of(1, 3), share_of(2, 3)
    (50, 33, 66)
    """
    return 100 * pods // replicas


def carried_at(world: World, memory: Memory, weight: int) -> int:
    """Percent that a step of this weight really carries: where pods are replaced, their share."""
    capacity, total = world.snapshot.spec.rollout.capacity, wanted_replicas(world, memory)
    if capacity != REPLACE or weight >= 100 or total < 2 or memory.stable is None:
        return weight
    return share_of(traded_at(weight, total), total)


@dataclass(frozen=True)
class Capacity:
    """The pods of one object as they are now. `held`: a person keeps the candidate where it is."""

    world: World
    router: RouterState
    memory: Memory
    held: bool = False

    @property
    def mode(self) -> str:
        """Surge, too, where there is nobody to replace, or an autoscaler that would fight it."""
        spec = self.world.snapshot.spec
        if self.memory.stable is None or spec.serving.autoscaling is not None:
            return SURGE
        return spec.rollout.capacity

    @cached_property
    def total(self) -> int:
        """Pods that the object wants."""
        return wanted_replicas(self.world, self.memory)

    @property
    def stable(self) -> RevisionView:
        """Stable's pods; none without one."""
        held = self.memory.stable
        return self.world.revision(held.revision) if held else RevisionView("")

    @property
    def tried(self) -> RevisionView:
        """The candidate's pods; none without one."""
        held = self.memory.candidate
        return self.world.revision(held.revision) if held else RevisionView("")

    @property
    def carried(self) -> int:
        """Percent for the candidate, as written."""
        return self.router.weights.get(self.tried.name, 0)

    @cached_property
    def leaving(self) -> int:
        """Pods of revisions that are neither, nor kept."""
        used = {self.stable.name, self.tried.name}
        used |= {kept.revision for kept in find_kept(self.world, self.memory)}
        return sum(places_of(v) for v in self.world.revisions.values() if v.name not in used)

    @property
    def silenced(self) -> bool:
        """Whether stable was written out of the route: from there it goes on, not back. After a
        promotion that a crash cut off it is no part of the route at all."""
        written = self.router.weights
        return (
            self.memory.stable is not None and bool(written) and not written.get(self.stable.name)
        )

    @property
    def told_silent(self) -> bool:
        """Whether the stored status says that stable gets no requests."""
        told = self.world.snapshot.status.get("stable") or {}
        return told.get("revision") == self.stable.name and told.get("weight") == 0

    @property
    def stopping(self) -> bool:
        """Recreate: whether stable is on its way out, or out, to make room."""
        if self.mode != RECREATE or self.memory.candidate is None:
            return False
        if self.silenced:
            return self.stable.scale == 0 or self.may_take
        return self.may_take and not (self.held or self.stands)

    @property
    def may_take(self) -> bool:
        """Whether stable's pods could be started again: what serves the last copy is not touched."""
        return hold_scale(self.world, self.memory, 0) < max(1, self.stable.scale)

    @property
    def stands(self) -> bool:
        """Whether the candidate has all pods already."""
        return 0 < self.total <= min(self.tried.scale, self.tried.ready_replicas)

    def stage(self, weight: int, *, last: bool, mirror: int = 0) -> Stage:
        """What a step of this weight, or mirror, asks for now; `last`: the implied 100 %."""
        if self.mode == REPLACE and self.total > 1:
            return self._trade(traded_at(100 if last else weight, self.total), last)
        have = self.tried.scale if self.mode == REPLACE and self.total else 0
        waits = self.mode == RECREATE and not (self.stopping or self.stands)
        return Stage(pods_at(weight or mirror, self.total), weight, given=have, waits=waits)

    def shares(self, stage: Stage | None, granted: int) -> Shares:
        """Pods to write. `granted`: the weight that the rollout gives the candidate; `stage` None:
        there is no candidate."""
        weights = self._weights(granted)
        if self.mode in (RECREATE, REPLACE):
            pods = self._recreated if self.mode == RECREATE else self._replaced
            stable, tried = pods(stage)
            return Shares(hold_scale(self.world, self.memory, stable), tried, weights)
        stable = stable_replicas(self.world, self.memory) if self.memory.stable else 0
        return Shares(stable, stage.pods if stage else 0, weights)

    def _weights(self, granted: int) -> tuple[int, int]:
        if self.stopping:
            return (100 if granted == 100 else 0), 0
        nobody = self.memory.candidate is None or not any(self.router.weights.values())
        if self.silenced and nobody and not self._reachable:
            return 0, 0
        return granted, 100 - granted

    @property
    def _reachable(self) -> bool:
        """Whether every router could send requests to stable."""
        ready, name = self.stable.ready_ips, self.stable.name
        return all(ready & p.members.get(name, frozenset()) for p in self.router.running)

    @property
    def return_words(self) -> str:
        """How far a stopped stable is on its way back."""
        ready = self.stable.ready_replicas
        return (
            f"{self.stable.name} starts again, {ready} of {self.total} pods are ready; requests "
            f"are answered 503 until then"
        )

    # Replace

    def _trade(self, goal: int, last: bool) -> Stage:
        """One pod up or down from where the candidate is."""
        have = self.tried.scale
        if last and have > goal:
            goal = have  # as another capacity left it
        if have > goal:
            return self._give_back(have)
        now = have
        if have < goal and self.stable.scale == self.total - have - 1:
            now = have + 1  # stable has given it already
        elif have < goal and not self.held and self._ripe:
            now = have + 1
        share = 100 if last and now == goal else share_of(now, self.total)
        if self.carried > share and not self._full:
            share = self.carried  # stable could not carry what would come back to it
        whole = now == goal and share == (100 if last else share_of(goal, self.total))
        waits = now == have < goal and self._settled
        return Stage(max(1, now), share, whole, now, waits)

    def _give_back(self, have: int) -> Stage:
        """The step asks for less than the candidate has."""
        below = share_of(have - 1, self.total)
        if not self._full:
            return Stage(have, max(self.carried, below), False, have, waits=True)
        if self.carried <= below and self.router.verified:
            return Stage(max(1, have - 1), below, False, have - 1)
        return Stage(have, below, False, have)

    @property
    def _settled(self) -> bool:
        """Whether the candidate's pods carry their share."""
        have = self.tried.scale
        if have == 0:
            return True
        seen = self.tried.ready_replicas >= have and self.router.has_members(self.tried)
        carries = self.router.verified and self.carried >= share_of(have, self.total)
        return seen and carries

    @property
    def _ripe(self) -> bool:
        """Whether the next pod may be replaced."""
        return self._settled and self._full and self.may_take

    @property
    def _full(self) -> bool:
        """Whether stable has all pods that the candidate leaves it."""
        return self.stable.ready_replicas >= self.total - self.tried.scale

    def _replaced(self, stage: Stage | None) -> tuple[int, int]:
        given = stage.given if stage else 0
        left = max(min(1, self.total), self.total - given)
        stable = self._grown(self.stable, left, self.leaving + places_of(self.tried))
        return stable, self._grown(self.tried, given, self.leaving + places_of(self.stable))

    def _grown(self, view: RevisionView, wanted: int, taken: int) -> int:
        """Fewer at once; more as far as others have left room."""
        if wanted <= view.scale:
            return wanted
        return max(view.scale, min(wanted, self.total - taken - leaving_of(view)))

    # Recreate

    def _recreated(self, stage: Stage | None) -> tuple[int, int]:
        if stage is None:
            left = self.leaving + leaving_of(self.stable)
            free = left == 0 or self.stable.scale >= self.total
            return (self.total if free else self.stable.scale), 0
        if not self.stopping:
            return self.total, self.tried.scale
        if not (self.silenced and self.router.verified):
            return self.stable.scale, self.tried.scale
        alone = self.leaving + places_of(self.stable) + leaving_of(self.tried) == 0
        return 0, (stage.pods if alone else min(stage.pods, self.tried.scale))


def places_of(view: RevisionView) -> int:
    """Pods that hold a node's resources, leaving ones too, or may soon."""
    return max(view.scale, sum(not _ended(p) for p in view.pods))


def leaving_of(view: RevisionView) -> int:
    """Pods that hold a node's resources and count no more for their Deployment."""
    return sum(p.terminating and not _ended(p) for p in view.pods)


def _ended(pod: PodView) -> bool:
    return pod.body.get("status", {}).get("phase") in ("Failed", "Succeeded")
