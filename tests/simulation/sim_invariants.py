"""What must hold after every event of every story, under every seed and crash: by the world's truth.

| what must hold | checked by |
|---|---|
| weights sum to 100, or nobody has any | `weights_sum` |
| no weight on what did not pass the gate | `only_proved` |
| no weight without members that answer, on any router | `clients_answered` |
| a weight rises only with the pods that it needs, and after the hold before it | `RouteInOrder` |
| a cluster goes only after weight 0 on every router, a workload only after its cluster | |
| | `RouteInOrder`, `workloads_outlive_clusters` |
| nothing is scaled below what routers send to it | `sim_duties.CapacityKept` |
| a written route is carried by every living router soon | `sim_duties.RoutePrompt` |
| stable keeps its scale; promoted only where every router has it at 100 %; the former stays | |
| | `StableKept` |
| nothing of stable goes while its bytes cannot be had | `LastCopiesKept` |
| spec and metadata are never written | `SpecUntouched` |
| what was rejected is never tried again | `sim_duties.RejectedStayOut` |
| every wait has a wake-up; none comes again and again | `sim_duties.WaitsWake`, `Unhurried` |
| quiescent within two minutes, then zero writes; actions are recorded | `quiesces` |
| own changes are no drift | `sim_play.play_in` |
| the same end and nothing made twice however it died | `sim_play.end_state`, `surplus` |
| an autoscaler's scale is not fought over | `sim_hpa` |
"""

from __future__ import annotations

import math
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.types import seconds
from simulation.sim_actors import Carried, is_ready
from simulation.sim_api import OWNER
from simulation.sim_bucket import decoded
from simulation.sim_duties import CapacityKept, RejectedStayOut, RoutePrompt, WaitsWake
from simulation.sim_pods import PodsInPlace, capacity_of
from simulation.sim_world import World

MILLISECOND = 0.001
"""What status keeps of a time; a hold may end that much early."""

IDLE_LOOKS = 80
"""Cycles in two idle minutes: a relist every so often, a poll for what is waited for."""

CONFIG = ("ConfigMap", names.router_name(OWNER[1]))


def written_weights(world: World) -> dict[str, int]:
    """The route as written."""
    config = world.api.objects.get(CONFIG)
    if config is None:
        return {}
    return dict(world.read_weights(config["metadata"]["annotations"]))


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
    """Every backend that a running router sends to has a member there that answers."""
    alive = _answering(world)
    for name, carried in _carrying(world):
        for revision, weight in carried.weights.items():
            if weight and revision not in world.doomed:
                members = carried.members.get(revision, frozenset())
                assert members & alive.get(revision, frozenset()), (
                    f"{name} sends {weight} % to {revision} and sees {set(members)}\n{world.tail()}"
                )


def workloads_outlive_clusters(world: World) -> None:
    """What a router still has a cluster for is still there."""
    for name, carried in _carrying(world):
        for revision in carried.weights:
            there = ("Deployment", revision) in world.api.objects
            assert there, f"{revision} is deleted and {name} still has its cluster\n{world.tail()}"


def _carrying(world: World) -> list[tuple[str, Carried]]:
    """Ready routers and what they have loaded."""
    return world.once("carrying", _find_carrying)


def _find_carrying(world: World) -> list[tuple[str, Carried]]:
    found = []
    for pod in world.routers.pods():
        name = pod["metadata"]["name"]
        carried = world.routers.carried.get(name)
        if carried is not None and is_ready(pod):
            found.append((name, carried))
    return found


def _answering(world: World) -> dict[str, frozenset[str]]:
    """Revision → addresses of pods that answer; a draining one still does."""
    return world.once("answering", _find_answering)


def _find_answering(world: World) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pod in world.api.of_kind("Pod"):
        revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
        if revision and is_ready(pod):
            found.setdefault(revision, set()).add(pod["status"]["podIP"])
    return {revision: frozenset(ips) for revision, ips in found.items()}


class RouteInOrder:
    """Each change of the written route comes when it may.

    A weight rises only with the pods that it needs, and only after the step before it was held on
    every router; a cluster goes only after weight 0 was carried by every router.
    """

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.carried_since: dict[tuple[str, int], float] = {}

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        if OWNER not in world.api.objects:
            return
        now, before = written_weights(world), self.written
        routers = _carrying(world)
        for revision, weight in now.items():
            if weight > before.get(revision, 0) and revision != self._stable(world):
                self._rises(world, revision, before.get(revision, 0), weight)
        for revision in before.keys() - now.keys():
            late = [n for n, c in routers if c.weights.get(revision, 0)]
            assert not late, f"{revision} lost its cluster while {late} send to it\n{world.tail()}"
        for revision, weight in now.items():
            if routers and all(c.weights.get(revision) == weight for _, c in routers):
                self.carried_since.setdefault((revision, weight), world.now)
        self.written = now

    def _rises(self, world: World, revision: str, before: int, weight: int) -> None:
        spec = world.api.objects[OWNER]["spec"]
        replicas = spec["serving"].get("replicas", 1)
        ready = len(_answering(world).get(revision, ()))
        needed = math.ceil(weight * replicas / 100)
        if capacity_of(world) == "Replace":
            needed -= 1  # the pod that is being replaced
        assert ready >= needed, f"{revision} gets {weight} % with {ready} pods\n{world.tail()}"
        step = next((s for s in spec["rollout"]["steps"] if s["weight"] == before), None)
        if step is not None and not world.hurried:
            since = self.carried_since.get((revision, before))
            assert since is not None, (
                f"{revision} left {before} % before routers had it\n{world.tail()}"
            )
            held = world.now - since
            assert held >= seconds(step.get("hold", "0s")) - MILLISECOND, (
                f"{revision} was held {held:.1f} s at {before} %\n{world.tail()}"
            )

    @staticmethod
    def _stable(world: World) -> str | None:
        stable = world.api.objects[OWNER]["status"].get("stable")
        return stable["revision"] if stable else None


class StableKept:
    """Stable keeps its scale until its successor is verified on every running router."""

    def __init__(self) -> None:
        self.serving: str | None = None
        self.former: dict[str, float] = {}  # replaced by a promotion → until when it stays

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
            delay = seconds(owner["spec"]["rollout"]["scaleDownDelay"])
            if capacity_of(world) != "Surge":
                delay = 0.0  # its pods make room
            self.former[str(self.serving)] = world.now + delay - MILLISECOND
        self.serving = stable["revision"]
        for former, until in self.former.items():
            there = ("Deployment", former) in world.api.objects
            assert there or world.now >= until, f"{former} was kept too short\n{world.tail()}"
        deployment = world.api.objects.get(("Deployment", self.serving))
        assert deployment is not None, f"stable's Deployment is gone\n{world.tail()}"
        if capacity_of(world) != "Surge":
            return  # see PodsInPlace
        wanted = owner["spec"]["serving"].get("replicas", 1)
        scale = deployment["spec"]["replicas"]
        assert scale >= min(wanted, world.floor), f"stable is scaled to {scale}\n{world.tail()}"


class LastCopiesKept:
    """While the bucket in truth lacks the bytes of stable's lock, nothing of stable is scaled down
    or deleted. From the first moment at which the operator can have seen it."""

    KINDS = ("Deployment", "Service", "PodDisruptionBudget", "ControllerRevision")

    def __init__(self) -> None:
        self.lost: str | None = None  # stable, once its bytes were seen to be gone
        self.held: dict[str, Any] = {}

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner = world.api.objects.get(OWNER)
        if owner is None:
            self.lost = None
            return
        # A status that is lost takes nothing from the pods.
        stable = (owner["status"].get("stable") or {}).get("revision") or self.lost
        if stable is None or not self._is_gone(world, stable):
            self.lost = None
            return
        held = {k: world.api.objects.get((k, stable)) for k in self.KINDS}
        if self.lost == stable:
            for kind, body in held.items():
                there = body is not None or self.held[kind] is None
                assert there, f"{kind} {stable} went with the last bytes\n{world.tail()}"
            now, before = _scale(held["Deployment"]), _scale(self.held["Deployment"])
            assert now >= before, f"{before} last pods of {stable} became {now}\n{world.tail()}"
        if self.lost == stable or world.bucket.readable:
            self.lost, self.held = stable, held

    @staticmethod
    def _is_gone(world: World, stable: str) -> bool:
        lock = world.api.objects.get(("ConfigMap", names.lock_name(stable)))
        return lock is not None and not world.bucket.holds(decoded(lock))


def _scale(deployment: dict[str, Any] | None) -> int:
    return int(deployment["spec"]["replicas"]) if deployment else 0


class Unhurried:
    """No hot loop: a wake-up that is due already must not come again and again."""

    MOST = 60  # cycles in a virtual second

    def __init__(self) -> None:
        self.second, self.cycles = 0, 0

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        if int(world.now) != self.second:
            self.second, self.cycles = int(world.now), world.cycles
        hot = world.cycles - self.cycles
        assert hot < self.MOST, f"{hot} cycles in a second\n{world.tail()}"


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
        if world.api.objects[OWNER] is self.looked_at:
            return
        assert self._copy(world) == self.seen, f"spec or metadata was written\n{world.tail()}"

    def _copy(self, world: World) -> Any:
        owner = self.looked_at = world.api.objects[OWNER]
        meta = {k: v for k, v in owner["metadata"].items() if k != "resourceVersion"}
        return owner["spec"], meta  # stored bodies never change


def watch(world: World) -> None:
    """Ask all of them from now on. Duties run with the time, the others with what changes."""
    world.duties += [Unhurried(), RoutePrompt(), WaitsWake()]
    world.invariants += [
        weights_sum,
        only_proved,
        clients_answered,
        workloads_outlive_clusters,
        RouteInOrder(),
        StableKept(),
        LastCopiesKept(),
        SpecUntouched(world),
        RejectedStayOut(),
        CapacityKept(),
        PodsInPlace(),
    ]


def quiesces(world: World) -> None:
    """Within two virtual minutes the operator falls silent, and stays so: no write, and few looks.
    What a person asked for is recorded."""
    world.settle(120)
    writes, cycles = len(world.operator_writes), world.cycles
    world.settle(120)
    late = world.operator_writes[writes:]
    assert not late, f"still writing: {late}\n{world.tail()}"
    looks = world.cycles - cycles
    assert looks <= IDLE_LOOKS, f"{looks} cycles in two idle minutes\n{world.tail()}"
    owner = world.api.objects.get(OWNER)
    if owner is not None:
        asked = owner["metadata"]["annotations"].get(names.ANNOTATION_ACTION, "")
        handled = owner["status"].get("lastHandledAction", "")
        assert handled == asked, f"{asked!r} was not recorded\n{world.tail()}"
