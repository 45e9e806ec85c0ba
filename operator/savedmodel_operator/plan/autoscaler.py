"""Stable's autoscaler: made, kept at its bounds, taken away. Pure.

There is one for the revision that status names as stable, and for no other: what is promoted in
this very cycle gets its own in the next, so that a crash in between leaves none on a candidate,
whose scale the operator writes. `scale` has the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from savedmodel_operator.plan.actions import Action, Delete
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Memory
from savedmodel_operator.plan.put import put_ours
from savedmodel_operator.plan.restorable import held_scale
from savedmodel_operator.plan.scale import find_floor
from savedmodel_operator.workload.autoscaler import build_autoscaler
from savedmodel_operator.workload.owner import Owner


def keep_autoscaler(
    world: World, owner: Owner, memory: Memory, before: Memory, settling: bool
) -> Iterator[Action]:
    """Stable's own, once its Deployment is there."""
    limits, stable = world.snapshot.spec.serving.autoscaling, memory.stable
    if limits is None or stable is None or not _is_stable(before, stable.revision):
        return
    if world.revision(stable.revision).deployment is not None:
        floor, held = find_floor(world, memory, limits, settling), held_scale(world, memory)
        if held is not None:  # its pods cannot be replaced: it neither grows nor shrinks
            floor, limits = held, replace(limits, min_replicas=held, max_replicas=held)
        yield from put_ours(world, build_autoscaler(owner, stable.revision, limits, floor))


def remove_autoscalers(world: World, memory: Memory, before: Memory) -> Iterator[Action]:
    """All others, before anything is written that they would undo."""
    wanted = world.snapshot.spec.serving.autoscaling is not None
    for view in world.revisions.values():
        seen = view.autoscaler
        stays = wanted and (_is_stable(memory, view.name) or _is_stable(before, view.name))
        if seen is not None and not stays:
            why = "it is not stable" if wanted else "the spec has none"
            yield Delete(seen.kind, seen.name, seen.uid, f"no autoscaler for {view.name}: {why}")


def _is_stable(memory: Memory, revision: str) -> bool:
    return memory.stable is not None and memory.stable.revision == revision
