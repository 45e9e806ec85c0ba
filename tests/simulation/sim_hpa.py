"""The horizontal pod autoscaler of the simulated cluster, and what must hold while there is one.

Looks every 15 s at each autoscaler, as kube-controller-manager does: what is outside its bounds is
brought inside without a look at the load; 0 switches it off; else it follows the load with the 10 %
tolerance and never below what it wanted in the last five minutes. It writes through the scale
subresource, as a field manager of its own. The load is counted in pods that it keeps at the target,
and each revision has its share of it by the route.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_api import OWNER, Key
from simulation.sim_invariants import written_weights
from simulation.sim_world import World

KIND = "HorizontalPodAutoscaler"
MANAGER = "kube-controller-manager"
PERIOD = 15.0
STABILIZATION = 300.0
TOLERANCE = 0.1


class Autoscalers:
    """The controller. `load`: pods that all requests keep at the target."""

    def __init__(self, world: World, load: float = 2.0) -> None:
        self.world, self.load = world, load
        self.wanted: dict[str, list[tuple[float, int]]] = {}  # uid → what it wanted, and when
        self.written: dict[Key, int] = {}
        world.after(0.0, PERIOD, self._look)

    def _look(self) -> None:
        for body in self.world.api.of_kind(KIND):
            self._scale(body)
        self.world.after(PERIOD, PERIOD + 0.5, self._look)

    def _scale(self, body: Mapping[str, Any]) -> None:
        name = body["spec"]["scaleTargetRef"]["name"]
        key: Key = ("Deployment", name)
        deployment = self.world.api.objects.get(key)
        if deployment is None or deployment["spec"]["replicas"] == 0:
            return
        present = int(deployment["spec"]["replicas"])
        wanted = self._follow(body, name, present)
        if wanted != present:
            self.world.note(f"> the autoscaler scales {name} from {present} to {wanted}")
            self.written[key] = wanted
            self.world.api.edit(key, lambda b: b["spec"].update(replicas=wanted), MANAGER)
        status = {"currentReplicas": present, "desiredReplicas": wanted}
        hpa: Key = (KIND, body["metadata"]["name"])
        self.world.api.edit(hpa, lambda b: b.update(status=status), MANAGER)

    def _follow(self, body: Mapping[str, Any], name: str, present: int) -> int:
        low, high = body["spec"]["minReplicas"], body["spec"]["maxReplicas"]
        assert low <= high, f"minReplicas {low} and maxReplicas {high} of {name}"
        if not low <= present <= high:
            return int(min(max(present, low), high))
        uid, now = body["metadata"]["uid"], self.world.now
        needed = self.load * written_weights(self.world).get(name, 0) / 100
        inside = abs(needed / present - 1) <= TOLERANCE
        self.wanted.setdefault(uid, [(now, present)])
        self.wanted[uid].append((now, present if inside else math.ceil(needed)))
        self.wanted[uid] = [w for w in self.wanted[uid] if w[0] > now - STABILIZATION]
        return int(min(max(low, *(n for _, n in self.wanted[uid])), high))


class OneWriter:
    """What an autoscaler points at has no other writer of its scale, and it points at stable."""

    def __init__(self, autoscalers: Autoscalers) -> None:
        self.autoscalers = autoscalers
        self.held: dict[Key, int] = {}  # scale of what had an autoscaler before

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        held = {}
        for body in world.api.of_kind(KIND):
            key: Key = ("Deployment", body["spec"]["scaleTargetRef"]["name"])
            deployment = world.api.objects.get(key)
            if deployment is None:
                continue
            held[key] = int(deployment["spec"]["replicas"])
            before = self.held.get(key, held[key])
            allowed = (before, self.autoscalers.written.get(key))
            assert before == 0 or held[key] in allowed, (
                f"{key[1]} went from {before} to {held[key]} beside its autoscaler\n{world.tail()}"
            )
        self.held = held


class EnoughPods:
    """A weight rises only with its share of the base, stable may not go below the base while the
    rollout runs, and what is promoted has the base."""

    def __init__(self) -> None:
        self.weights: dict[str, int] = {}
        self.tried: tuple[str, int] | None = None  # candidate and its base, as last reported

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        owner = world.api.objects.get(OWNER)
        if owner is None or "autoscaling" not in owner["spec"]["serving"]:
            self.weights, self.tried = written_weights(world), None
            return
        most = owner["spec"]["serving"]["autoscaling"]["maxReplicas"]
        candidate = owner["status"].get("candidate") or {}
        stable = (owner["status"].get("stable") or {}).get("revision")
        if self.tried is not None and stable == self.tried[0]:
            scale = world.api.objects["Deployment", stable]["spec"]["replicas"]
            base = min(self.tried[1], most)
            assert scale >= base, f"promoted with {scale} of {base} pods\n{world.tail()}"
        self.tried = None
        if "baseReplicas" in candidate:
            base = min(candidate["baseReplicas"], most)
            self.tried = (candidate["revision"], base)
            self._share(world, candidate["revision"], base)
            self._floor(world, stable, base)
        self.weights = written_weights(world)

    def _share(self, world: World, revision: str, base: int) -> None:
        weight = written_weights(world).get(revision, 0)
        if weight <= self.weights.get(revision, 0):
            return
        ready, needed = _ready(world, revision), math.ceil(weight * base / 100)
        assert ready >= needed, f"{weight} % on {ready} of {needed} pods\n{world.tail()}"

    @staticmethod
    def _floor(world: World, stable: str, base: int) -> None:
        body = world.api.objects.get((KIND, stable))
        if body is not None:
            low = body["spec"]["minReplicas"]
            assert low >= base, f"stable may go to {low}, the base is {base}\n{world.tail()}"


def _ready(world: World, revision: str) -> int:
    return sum(
        is_ready(pod)
        for pod in world.api.of_kind("Pod")
        if pod["metadata"]["labels"].get(names.LABEL_REVISION) == revision
    )


def autoscale(world: World, load: float = 2.0, **limits: int) -> Autoscalers:
    """The user has the object autoscaled from now on; the controller runs."""
    chosen = {"minReplicas": 2, "maxReplicas": 8, **limits}

    def change(spec: dict[str, Any]) -> None:
        spec["serving"].pop("replicas", None)
        spec["serving"]["autoscaling"] = chosen

    autoscalers = Autoscalers(world, load)
    world.invariants += [OneWriter(autoscalers), EnoughPods()]
    world.edit_spec(change)
    return autoscalers
