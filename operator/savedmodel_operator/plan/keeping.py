"""Former stable revisions that run on for an instant way back: `spec.versions.keep`. Pure.

The marks on the records tell what was stable and since when, so that neither a lost status nor a
full history forgets one. What does not run any more is not started again by raising the number.
"""

from __future__ import annotations

from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Memory, Stable
from savedmodel_operator.plan.target import formers


def find_kept(world: World, memory: Memory) -> tuple[Stable, ...]:
    """Those that are kept now, the latest stable one first; none that was rolled back later."""
    if not world.snapshot.spec.versions.keep:
        return ()
    in_use = {held.revision for held in (memory.stable, memory.candidate) if held is not None}
    out = in_use | {entry.revision for entry in memory.rejected}
    latest = sorted(formers(world), key=lambda held: held.since, reverse=True)
    running = [h for h in latest if h.revision not in out and world.revision(h.revision).workload]
    return tuple(running[: world.snapshot.spec.versions.keep])
