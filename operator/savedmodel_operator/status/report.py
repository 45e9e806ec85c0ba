"""What status is made of: one cycle's world, memory and wait, and what follows from them at once. Pure.

Neighbours: `conditions`, `sentences` and `versions` say it; `__init__` puts the whole together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import VersionView
from savedmodel_operator.plan.capacity import Shares
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.memory import Memory, Rejection
from savedmodel_operator.plan.restorable import Restore, find_overwritten, find_restore
from savedmodel_operator.plan.routing import Retired, RouterState
from savedmodel_operator.plan.scale import wanted_replicas
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
    shares: Shares
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
        if stable is None or candidate is None:
            return False
        pinned = self.world.snapshot.spec.versions.pinned is not None
        same = (stable.number, stable.fingerprint) == (candidate.number, candidate.fingerprint)
        return same or (pinned and stable.number != candidate.number)

    @property
    def pinned_refused(self) -> Rejection | None:
        """Git names a version that is refused: that waits for a person."""
        return self.choice.refused if self.world.snapshot.spec.versions.pinned else None

    @cached_property
    def restore(self) -> Restore | None:
        """Whether what serves could be started again."""
        return None if self.memory.stable is None else find_restore(self.world, self.memory.stable)

    @property
    def kept(self) -> bool:
        """Whether nothing is taken from stable, because it could not come again."""
        return self.restore is not None and self.restore.here is False

    @property
    def held_back(self) -> bool:
        """Whether the scale that the spec asks for waits until the bytes are back."""
        stable = self.memory.stable
        if stable is None or not self.kept or self.wait.reason is not Reason.Serving:
            return False
        wanted = wanted_replicas(self.world, self.memory)
        return {wanted} != {self.world.revision(stable.revision).scale, self.stable_ready}

    @property
    def lacking(self) -> bool:
        """Whether the spec asks for something to be started whose bytes are gone."""
        return self.memory.candidate is None and self.wait.reason is Reason.LockedBytesGone

    @property
    def overwritten(self) -> VersionView | None:
        """Other bytes under the serving number, unless the spec pins those that serve."""
        pinned = self.world.snapshot.spec.versions.pinned
        if pinned is not None and pinned.fingerprint is not None:
            return None
        return find_overwritten(self.world, self.memory)

    @property
    def stalled(self) -> bool:
        """Nothing serves and nothing will without a person."""
        return (
            self.memory.stable is None
            and self.memory.candidate is None
            and self.choice.refused is not None
        )

    @property
    def silent(self) -> bool:
        """Whether there is a stable revision and requests are answered 503 all the same."""
        return self.memory.stable is not None and self.shares.nobody

    @property
    def wanted(self) -> int:
        """Pods that stable is to have now: fewer while a candidate takes their place."""
        if self.memory.candidate is not None and not self.silent:
            return min(self.shares.stable, wanted_replicas(self.world, self.memory))
        return wanted_replicas(self.world, self.memory)

    def scaled(self, view: RevisionView) -> bool:
        """Whether stable is written at that scale; one that is about to give pods is."""
        total = wanted_replicas(self.world, self.memory)
        return view.scale >= self.wanted if self.wanted < total else view.scale == self.wanted

    @property
    def rolling_back(self) -> bool:
        """Whether routers may still send requests to something that failed, or nobody answers."""
        if self.silent and self.memory.candidate is None:
            return True
        failed = {r.revision for r in self.memory.rejected}
        return any(
            r.view.name in failed and r.view.name in self.router.weights for r in self.retired
        )


def cut(text: str) -> str:
    """At most `SENTENCE` characters."""
    return text if len(text) <= SENTENCE else text[: SENTENCE - 1] + "…"
