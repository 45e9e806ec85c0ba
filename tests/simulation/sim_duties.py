"""More of what must hold after every event: duties that have a time, and what is never tried again.

Neighbours: `sim_invariants` has the list of all and asks these, too. Each looks at the world's
truth (what routers carry, which pods answer), and at status only for what the operator promised.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_api import OWNER

if TYPE_CHECKING:
    from simulation.sim_world import World

CONFIG = ("ConfigMap", names.router_name(OWNER[1]))


class RoutePrompt:
    """A written route is carried by every living router soon: the kubelet alone takes 60–90 s
    (facts/cluster.md), a nudged one 0.6 s."""

    SOON = 10.0
    """Seconds while the operator runs: its watches may break for 3 of them."""

    def __init__(self) -> None:
        self.behind: dict[str, float] = {}

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        config = world.api.objects.get(CONFIG)
        if world.down or config is None:
            self.behind = {}
            return
        written = config["metadata"]["annotations"][names.ANNOTATION_CONFIG]
        late = {name: at for name, at in self.behind.items() if world.now - at > self.SOON}
        assert not late, f"{sorted(late)} did not carry the written route soon\n{world.tail()}"
        self.behind = {
            name: self.behind.get(name, world.now)
            for name in self._able(world)
            if world.routers.carried[name].hash != written
        }

    @staticmethod
    def _able(world: World) -> list[str]:
        """Routers that serve, and take what they are told."""
        found = []
        for pod in world.routers.pods():
            name = pod["metadata"]["name"]
            leaves = "deletionTimestamp" in pod["metadata"]
            if name in world.routers.carried and name not in world.routers.stuck and not leaves:
                found.append(name)
        return found


class WaitsWake:
    """Every wait of a rollout has a wake-up, but for those that end by a person."""

    BY_A_PERSON = ("Paused", "Blocked")

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner = world.api.objects.get(OWNER)
        if owner is None or world.down or OWNER not in world.cache:
            return
        status = owner["status"]
        candidate = status.get("candidate") or {"paused": True}
        held = candidate.get("paused") or candidate.get("suspended")
        waits = not held and status.get("phase") not in self.BY_A_PERSON
        if waits and owner["spec"]["serving"].get("replicas", 1):
            assert world.next_cycle is not None, f"nobody will look again\n{world.tail()}"


class RejectedStayOut:
    """What was rejected or rolled back gets no request again, unless a person or a changed golden
    file says so; however many were refused since, and if status is lost."""

    def __init__(self) -> None:
        self.out: dict[str, tuple[object, ...]] = {}  # revision → what was so when it was refused
        self.known: set[tuple[str, str]] = set()  # refusals seen

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner, config = world.api.objects.get(OWNER), world.api.objects.get(CONFIG)
        if owner is None or config is None:
            return
        now = (world.users, world.golden)
        for entry in owner["status"].get("rejected", ()):
            refusal = (entry["revision"], entry["at"])
            if refusal not in self.known:
                self.known.add(refusal)
                self.out[entry["revision"]] = now
        self.out = {revision: then for revision, then in self.out.items() if then == now}
        candidate = owner["status"].get("candidate") or {}
        again = candidate.get("revision") in self.out
        assert not again, f"{candidate['revision']} is tried again\n{world.tail()}"


class CapacityKept:
    """No Deployment is scaled below what any router sends to it needs."""

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner = world.api.objects.get(OWNER)
        if owner is None or _is_special(owner["spec"]):
            return
        wanted = min(int(owner["spec"]["serving"].get("replicas", 1)), world.floor)
        for revision, weight in _heaviest(world).items():
            deployment = world.api.objects.get(("Deployment", revision))
            if deployment is None or revision in world.doomed:
                continue
            needed, scale = math.ceil(weight * wanted / 100), deployment["spec"]["replicas"]
            assert scale >= needed, f"{revision} has {scale} pods at {weight} %\n{world.tail()}"


def _is_special(spec: dict[str, Any]) -> bool:
    """Whether others decide on the scale, or capacity is traded."""
    traded = spec["rollout"].get("capacity", "Surge") != "Surge"
    return "autoscaling" in spec["serving"] or traded


def _heaviest(world: World) -> dict[str, int]:
    """The greatest weight of each revision on any router that serves."""
    found: dict[str, int] = {}
    for pod in world.routers.pods():
        carried = world.routers.carried.get(pod["metadata"]["name"])
        if carried is not None and is_ready(pod):
            for revision, weight in carried.weights.items():
                found[revision] = max(weight, found.get(revision, 0))
    return found
