"""How many pods the object wants now. Pure.

Neighbours: `trial` takes the candidate's share of it, `desired` writes it, `status` holds what is
ready against it.
"""

from __future__ import annotations

from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Memory


def wanted_replicas(world: World, memory: Memory) -> int:
    """Pods that carry all traffic: stable's scale, and the candidate's at 100 %."""
    del memory
    return world.snapshot.spec.replicas
