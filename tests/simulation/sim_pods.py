"""What must hold of the number of pods where `rollout.capacity` limits it, asked after every event.

Beside `sim_invariants`: nobody goes unanswered but by Recreate, no pod too many, and stable keeps
what its weight needs but for the one pod that is being replaced.
"""

from __future__ import annotations

import math

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_api import OWNER
from simulation.sim_world import World


def capacity_of(world: World) -> str:
    """As the spec has it now."""
    rollout = world.api.objects[OWNER]["spec"]["rollout"]
    return str(rollout.get("capacity", "Surge"))


class PodsInPlace:
    """`world.spare`: pods beyond replicas that the story itself brings about."""

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        if OWNER not in world.api.objects:
            return
        self._answered(world)
        if capacity_of(world) == "Surge":
            return
        replicas = world.api.objects[OWNER]["spec"]["serving"].get("replicas", 1)
        pods = [p for p in world.api.of_kind("Pod") if _revision(p)]
        most = replicas + world.spare + world.unseen
        assert len(pods) <= most, f"{len(pods)} pods, {most} are wanted\n{world.tail()}"
        if capacity_of(world) == "Recreate" and not (world.spare or world.unseen):
            both = {_revision(p) for p in pods}
            assert len(both) <= 1, f"pods of {both} at the same time\n{world.tail()}"
        if capacity_of(world) == "Replace":
            self._capable(world, replicas)

    @staticmethod
    def _answered(world: World) -> None:
        """Only Recreate may leave clients without a revision."""
        stable = world.status.get("stable")
        weights = _written(world)
        if stable is None or stable["revision"] not in weights:
            return
        if capacity_of(world) != "Recreate" and not world.spare:
            assert sum(weights.values()) == 100, f"nobody answers\n{world.tail()}"

    @staticmethod
    def _capable(world: World, replicas: int) -> None:
        """While a candidate takes over, stable has the pods that its weight needs, but for one."""
        stable, candidate = world.status.get("stable"), world.status.get("candidate")
        if stable is None or candidate is None or world.doomed or world.spare:
            return
        if not _written(world).get(candidate["revision"]):
            return  # what the one before it left may not be back yet
        ready = [
            p
            for p in world.api.of_kind("Pod")
            if _revision(p) == stable["revision"] and is_ready(p)
        ]
        staying = [p for p in ready if "deletionTimestamp" not in p["metadata"]]
        weight = _written(world).get(stable["revision"], 0)
        needed = math.ceil(max(0, weight - 1) * replicas / 100) - 1
        assert len(staying) >= needed, (
            f"stable has {len(staying)} ready pods for {weight} %\n{world.tail()}"
        )


def _revision(pod: dict[str, object]) -> str:
    labels = pod["metadata"]["labels"]  # type: ignore[index]
    return str(labels.get(names.LABEL_REVISION) or "")


def _written(world: World) -> dict[str, int]:
    config = world.api.objects.get(("ConfigMap", names.router_name(OWNER[1])))
    if config is None:
        return {}
    return dict(world.read_weights(config["metadata"]["annotations"]))
