"""How many pods the object wants now, and who writes that number. Pure.

    spec.serving.replicas      the operator writes it
    spec.serving.autoscaling   stable: its autoscaler writes it, between a floor and maxReplicas
                               candidate: the operator, its share of the base

The base is stable's count when the rollout began; it grows with stable. It is the floor as long as
the rollout runs: stable can take all traffic back at any time. No Deployment has two writers: where
an autoscaler points at it, the operator leaves the number as it is.

Neighbours: `trial` takes the candidate's share, `desired` and `autoscaler` write.
"""

from __future__ import annotations

import math
from dataclasses import replace

from savedmodel_operator.api import names
from savedmodel_operator.api.types import Autoscaling
from savedmodel_operator.plan.children import RevisionView, World
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.restorable import hold_scale


def wanted_replicas(world: World, memory: Memory) -> int:
    """Pods that carry all traffic: stable's scale, and the candidate's at 100 %."""
    limits = world.snapshot.spec.serving.autoscaling
    if limits is None:
        return world.snapshot.spec.replicas
    if memory.candidate is not None and memory.candidate.base is not None:
        return _within(limits, memory.candidate.base)
    return _within(limits, _present(world, memory))


def stable_replicas(world: World, memory: Memory) -> int:
    """Pods of stable where no autoscaler holds it. One that was grown is not scaled in for that,
    and none while its pods could not come again."""
    limits, wanted = world.snapshot.spec.serving.autoscaling, wanted_replicas(world, memory)
    if limits is not None:
        wanted = _within(limits, max(wanted, _present(world, memory)))
    return hold_scale(world, memory, wanted)


def written_replicas(view: RevisionView, wanted: int) -> int | None:
    """What the operator's manifest of the Deployment says; None: nothing.

    Under an autoscaler that is the present count, until somebody else is seen as the field's
    owner: a field that its only owner leaves out falls back to 1. No autoscaler ever leaves 0.
    """
    if view.autoscaler is None or view.scale == 0 or view.deployment is None:
        return wanted
    holder = view.deployment.managers.get("spec.replicas", names.MANAGER)
    return view.scale if holder == names.MANAGER else None


def find_floor(world: World, memory: Memory, limits: Autoscaling, settling: bool) -> int:
    """The autoscaler's minReplicas. `settling`: what the last rollout left is still there; until
    it is gone the new stable stays at the count with which it took the traffic, or more."""
    if memory.candidate is not None:
        return wanted_replicas(world, memory)
    stable = memory.stable
    if stable is None or not settling:
        return limits.min_replicas
    seen = world.revision(stable.revision).autoscaler
    if seen is None:
        return _within(limits, _present(world, memory))
    return _within(limits, int(seen.body.get("spec", {}).get("minReplicas", 1)))


def take_base(world: World, memory: Memory, candidate: Candidate) -> Candidate:
    """The candidate with the base of its share.

    Under the floor of the base only more load lets stable grow. It has its share of that load, so
    its count stands for count × 100 / (100 - weight) pods in all.
    """
    if world.snapshot.spec.serving.autoscaling is None or memory.stable is None:
        return candidate if candidate.base is None else replace(candidate, base=None)
    count, base = _present(world, memory), candidate.base
    if base is None:
        return replace(candidate, base=count)
    if count <= base:
        return candidate
    share = 100 - candidate.weight
    return replace(candidate, base=math.ceil(count * 100 / share) if share > 0 else count)


def _present(world: World, memory: Memory) -> int:
    """Stable's count as written; where its Deployment is gone, what the autoscaler last wanted."""
    if memory.stable is None:
        return 0
    view = world.revision(memory.stable.revision)
    if view.deployment is None and view.autoscaler is not None:
        return int(view.autoscaler.body.get("status", {}).get("desiredReplicas", 0))
    return view.scale


def _within(limits: Autoscaling, count: int) -> int:
    return min(max(count, limits.min_replicas), limits.max_replicas)
