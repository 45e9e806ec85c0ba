"""The nouns of the rollout: what its rules look at and what they may answer. Pure.

`rollout` has the rules; `decide` and `status` read what came of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from savedmodel_operator.analysis.looks import Look
from savedmodel_operator.api.mirror import MIRROR_STEP
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Step
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.capacity import RECREATE, SURGE, Capacity, Shares, Stage, pods_at
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.routing import RouterState
from savedmodel_operator.workload.route import TOTAL

LOOK_AGAIN = 0.2  # seconds between looks at routers that have not answered yet


@dataclass(frozen=True)
class Wait:
    """The candidate stays where it is. `clock_stops`: a hold, a pause, a person's choice.

    `wake_at` is when the wait ends by itself; `again` is a look before that, not told to anybody.
    """

    reason: Reason
    sentence: str
    wake_at: float | None = None
    clock_stops: bool = False
    again: float | None = None


@dataclass(frozen=True)
class End:
    """The candidate is taken back. `kind`: Rejected by a live check, or RolledBack."""

    kind: Reason
    reason: Reason
    sentence: str
    gate: str = ""


@dataclass(frozen=True)
class Trial:
    """All that a rule about the candidate may look at."""

    world: World
    router: RouterState
    memory: Memory
    candidate: Candidate
    steps: tuple[Step, ...]
    advance: bool  # a person leaves the present hold or pause
    look: Look | None = None  # what the analysis says in this cycle

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.world.snapshot.now

    @property
    def view(self) -> RevisionView:
        """The candidate's objects."""
        return self.world.revision(self.candidate.revision)

    @property
    def last(self) -> bool:
        """Whether this is the implied 100 %."""
        return self.candidate.step >= len(self.steps)

    @cached_property
    def capacity(self) -> Capacity:
        """Its pods and stable's."""
        memory = replace(self.memory, candidate=self.candidate)
        asked = self.candidate.paused or self.candidate.suspended
        return Capacity(self.world, self.router, memory, asked)

    @cached_property
    def stage(self) -> Stage:
        """What it goes for now on the way to this step's weight."""
        stage = self.capacity.stage(self.here.weight, last=self.last, mirror=self.mirrors)
        mirror = self.world.snapshot.spec.rollout.mirror
        if mirror is None or self.mirrors or self.capacity.mode != SURGE:
            return stage
        had = min(self.view.scale, pods_at(mirror.percent, self.capacity.total))
        return replace(stage, pods=max(stage.pods, had))  # what it grew to for the copies

    @property
    def here(self) -> Step:
        """This step; of weight 0 where it mirrors."""
        if self.last:
            return Step(TOTAL)
        mirror = self.world.snapshot.spec.rollout.mirror
        if self.candidate.step == MIRROR_STEP and mirror is not None:
            return Step(0, mirror.hold)
        return self.steps[self.candidate.step]

    @property
    def weight(self) -> int:
        """Percent that it is to carry now."""
        return self.stage.weight

    @property
    def mirrors(self) -> int:
        """Percent of requests that this step copies; 0 in a step with a weight."""
        mirror = self.world.snapshot.spec.rollout.mirror
        here = not self.last and self.candidate.step == MIRROR_STEP
        return mirror.percent if here and mirror is not None else 0

    @property
    def written(self) -> bool:
        """Whether the written route gives what this step is to give."""
        weight = self.router.weights.get(self.candidate.revision, 0)
        mirrored = self.router.mirrored(self.candidate.revision)
        return (weight, mirrored) == (self.weight, self.mirrors)

    @property
    def held(self) -> bool:
        """Whether a person keeps it where it is; the deadline's clock stands still meanwhile.
        Nobody holds it while stable is stopped for it."""
        return self.capacity.held and not self.capacity.stopping

    @property
    def replicas(self) -> int:
        """Pods that it needs now."""
        return self.stage.pods


@dataclass(frozen=True)
class Progress:
    """What the rules made of the candidate: where it waits, what to say, what is copied to it.
    `shares`: None where it is no candidate any more."""

    memory: Memory
    shares: Shares | None
    wait: Wait
    events: tuple[Event, ...] = ()
    mirror: int = 0


def steps_of(world: World, memory: Memory) -> tuple[Step, ...]:
    """The first revision takes no steps: there is nobody to share traffic with. Nor does one that
    was stable here before and was pinned to come back, or takes stable's place at once."""
    if memory.stable is None or world.snapshot.spec.rollout.capacity == RECREATE:
        return ()
    if memory.candidate is not None and memory.candidate.returning:
        return ()
    return world.snapshot.spec.rollout.steps
