"""The nouns of the rollout: what its rules look at and what they may answer. Pure.

`rollout` has the rules; `decide` and `status` read what came of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from savedmodel_operator.analysis.looks import Look
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Step
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.routing import RouterState
from savedmodel_operator.plan.scale import wanted_replicas


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

    @property
    def weight(self) -> int:
        """Percent that this step is to carry."""
        return 100 if self.last else self.steps[self.candidate.step].weight

    @property
    def held(self) -> bool:
        """Whether a person keeps it where it is; the deadline's clock stands still meanwhile."""
        return self.candidate.paused or self.candidate.suspended

    @property
    def replicas(self) -> int:
        """Pods that this step needs: ceil(weight × replicas)."""
        return replicas_at(self.weight, wanted_replicas(self.world, self.memory))


@dataclass(frozen=True)
class Progress:
    """What the rules made of the candidate: granted weight, where it waits, what to say."""

    memory: Memory
    weight: int
    replicas: int
    wait: Wait
    events: tuple[Event, ...] = ()


def replicas_at(weight: int, replicas: int) -> int:
    """Candidate pods for a weight in percent.

    >>> replicas_at(5, 3), replicas_at(50, 4), replicas_at(100, 4)
    (1, 2, 4)
    """
    return max(1, math.ceil(weight * replicas / 100)) if replicas else 0


def steps_of(world: World, memory: Memory) -> tuple[Step, ...]:
    """The first revision takes no steps: there is nobody to share traffic with. Nor does one that
    was stable here before and was pinned to come back."""
    if memory.stable is None or (memory.candidate is not None and memory.candidate.returning):
        return ()
    return world.snapshot.spec.rollout.steps
