"""What status is made of: one cycle's world, memory and wait, and what follows from them at once. Pure.

Neighbours: `conditions`, `sentences` and `versions` say it; `__init__` puts the whole together.
"""

from __future__ import annotations

from dataclasses import dataclass

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Memory, Rejection
from savedmodel_operator.plan.routing import Retired, RouterState
from savedmodel_operator.plan.target import Choice
from savedmodel_operator.plan.trial import Wait

SENTENCE = 1024  # characters of a message; a status stays below 64 KiB
PATIENCE = 10.0
"""Seconds for which a route on its way to the routers is no reason to call the object not ready:
each step of a rollout would otherwise flap Ready."""

BY_A_PERSON = (Reason.Paused, Reason.Suspended)


@dataclass(frozen=True)
class Report:
    """What status is made of."""

    world: World
    router: RouterState
    memory: Memory
    choice: Choice
    wait: Wait
    retired: tuple[Retired, ...]
    conflicts: tuple[str, ...] = ()  # children that others keep changing

    @property
    def stable_ready(self) -> int:
        """Ready pods of stable."""
        stable = self.memory.stable
        return self.world.revision(stable.revision).ready_replicas if stable else 0

    @property
    def route_settled(self) -> bool:
        """Whether the routers carry what is written, or have had little time yet."""
        young = self.world.snapshot.now - self.router.written_at < PATIENCE
        return self.router.verified or (self.router.hash is not None and young)

    @property
    def spec_rollout(self) -> bool:
        """Whether the candidate differs from stable by the spec and not by the bucket."""
        stable, candidate = self.memory.stable, self.memory.candidate
        pinned = self.world.snapshot.spec.versions.pinned is not None
        return bool(stable and candidate and (pinned or stable.number == candidate.number))

    @property
    def pinned_refused(self) -> Rejection | None:
        """Git names a version that is refused: that waits for a person."""
        return self.choice.refused if self.world.snapshot.spec.versions.pinned else None

    @property
    def stalled(self) -> bool:
        """Nothing serves and nothing will without a person."""
        return (
            self.memory.stable is None
            and self.memory.candidate is None
            and self.choice.refused is not None
        )

    @property
    def rolling_back(self) -> bool:
        """Whether routers may still send requests to something that failed."""
        failed = {r.revision for r in self.memory.rejected}
        return any(
            r.view.name in failed and r.view.name in self.router.weights for r in self.retired
        )


def cut(text: str) -> str:
    """At most `SENTENCE` characters."""
    return text if len(text) <= SENTENCE else text[: SENTENCE - 1] + "…"
