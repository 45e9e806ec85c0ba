"""What must hold after every event of every scenario, under every seed and crash."""

from __future__ import annotations

import json
from typing import Any

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_api import OWNER, clone
from simulation.sim_world import World

CONFIG = ("ConfigMap", names.router_name(OWNER[1]))


def written_weights(world: World) -> dict[str, int]:
    """The route as written."""
    config = world.api.objects.get(CONFIG)
    if config is None:
        return {}
    return dict(json.loads(config["metadata"]["annotations"][names.ANNOTATION_ROUTE])["weights"])


def weights_sum(world: World) -> None:
    """Weights sum to 100, or nobody has any."""
    total = sum(written_weights(world).values())
    assert total in (0, 100), f"weights sum to {total}\n{world.tail()}"


def only_proved(world: World) -> None:
    """No weight on a version that the gate refuses."""
    for revision, weight in written_weights(world).items():
        number = int(revision.split("-v")[1].split("-")[0])
        assert not (weight and number in world.bad), f"{revision} got {weight} %\n{world.tail()}"


def clients_answered(world: World) -> None:
    """Every backend that a running router sends to has a pod that answers."""
    alive = _answering(world)
    for pod in world.routers.pods():
        carried = world.routers.carried.get(pod["metadata"]["name"])
        if carried is None or not is_ready(pod):
            continue
        for revision, weight in carried.weights.items():
            if weight and revision not in world.doomed:
                assert revision in alive, (
                    f"{pod['metadata']['name']} sends {weight} % to {revision}, "
                    f"which has no pod\n{world.tail()}"
                )


def _answering(world: World) -> set[str]:
    found = set()
    for pod in world.api.of_kind("Pod"):
        revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
        if revision and is_ready(pod):
            found.add(revision)
    return found


class StableKept:
    """Stable keeps its scale until its successor is verified on every running router."""

    def __init__(self) -> None:
        self.serving: str | None = None

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner = world.api.objects.get(OWNER)
        if owner is None:
            return
        stable = owner["status"].get("stable")
        if stable is None:
            return
        if self.serving not in (None, stable["revision"]):
            for pod in world.routers.pods():
                carried = world.routers.carried.get(pod["metadata"]["name"])
                if carried is not None and is_ready(pod):
                    weight = carried.weights.get(stable["revision"])
                    assert weight == 100, (
                        f"promoted while a router carries {weight} %\n{world.tail()}"
                    )
        self.serving = stable["revision"]
        deployment = world.api.objects.get(("Deployment", self.serving))
        assert deployment is not None, f"stable's Deployment is gone\n{world.tail()}"
        wanted = owner["spec"]["serving"].get("replicas", 1)
        scale = deployment["spec"]["replicas"]
        assert scale >= min(wanted, world.floor), f"stable is scaled to {scale}\n{world.tail()}"


class SpecUntouched:
    """The operator never writes spec or the object's metadata."""

    def __init__(self, world: World) -> None:
        self.seen = self._copy(world)
        self.users = world.users

    def __call__(self, world: World) -> None:
        """Asked after every event; a user's own edit is counted by the world."""
        if OWNER not in world.api.objects:
            return
        if self.users != world.users:
            self.users, self.seen = world.users, self._copy(world)
        assert self._copy(world) == self.seen, f"spec or metadata was written\n{world.tail()}"

    @staticmethod
    def _copy(world: World) -> Any:
        owner = world.api.objects[OWNER]
        meta = {k: v for k, v in owner["metadata"].items() if k != "resourceVersion"}
        return clone((owner["spec"], meta))


def watch(world: World) -> None:
    """Ask all of them from now on."""
    world.invariants += [
        weights_sum,
        only_proved,
        clients_answered,
        StableKept(),
        SpecUntouched(world),
    ]


def quiesces(world: World) -> None:
    """Within two virtual minutes the operator falls silent, and stays so."""
    world.settle(120)
    before = len(world.operator_writes)
    world.settle(120)
    late = world.operator_writes[before:]
    assert not late, f"still writing: {late}\n{world.tail()}"
