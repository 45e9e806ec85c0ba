"""Stories about the mirror step: copies before the first weight; and what must hold of copies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.types import seconds
from simulation.sim_actors import is_ready
from simulation.sim_api import OWNER
from simulation.sim_invariants import CONFIG, MILLISECOND, written_weights
from simulation.sim_metrics import Answers
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World

MIRROR: Mapping[str, Any] = {"percent": 60, "hold": "20s"}
RATE = 40  # requests per second and router


class Copies:
    """Only what passed the gate gets copies, with its pods ready and seen, and no weight beside
    them; they are held on every router for their time before the first weight."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.carried_since: float | None = None
        self.ended = False  # by a person or an edit: no hold is owed

    def __call__(self, world: World) -> None:
        """Asked after every event."""
        config = world.api.objects.get(CONFIG)
        if config is None:
            return
        route = json.loads(config["metadata"]["annotations"][names.ANNOTATION_ROUTE])
        copied = route.get("mirror", {})
        for revision, percent in copied.items():
            assert route["weights"][revision] == 0, f"copies and weight\n{world.tail()}"
            number = int(revision.split("-v")[1].split("-")[0])
            assert number not in world.bad, f"{revision} gets copies\n{world.tail()}"
            if percent > self.written.get(revision, 0):
                self._begins(world, revision, percent)
        for revision in self.written.keys() - copied.keys():
            if route["weights"].get(revision, 0):
                self._goes_on(world)
        self._watch(world, copied)
        self.written = dict(copied)

    @staticmethod
    def _begins(world: World, revision: str, percent: int) -> None:
        replicas = world.api.objects[OWNER]["spec"]["serving"].get("replicas", 1)
        ready = {ip for pod, ip in _pods(world, revision) if is_ready(pod)}
        needed = math.ceil(percent * replicas / 100)
        assert len(ready) >= needed, f"{percent} % are copied to {len(ready)} pods\n{world.tail()}"
        for pod in world.routers.pods():
            carried = world.routers.carried.get(pod["metadata"]["name"])
            if carried is not None and is_ready(pod):
                seen = carried.members.get(revision, frozenset())
                assert seen & ready, f"copies to what a router does not see\n{world.tail()}"

    def _goes_on(self, world: World) -> None:
        mirror = world.api.objects[OWNER]["spec"]["rollout"].get("mirror")
        if mirror is None or world.hurried:
            return
        assert self.carried_since is not None, f"never copied by every router\n{world.tail()}"
        held = world.now - self.carried_since
        wanted = seconds(mirror["hold"]) - MILLISECOND
        assert held >= wanted, f"the copies were held {held:.1f} s\n{world.tail()}"

    def _watch(self, world: World, copied: Mapping[str, int]) -> None:
        routers = [
            world.routers.carried[p["metadata"]["name"]]
            for p in world.routers.pods()
            if is_ready(p) and p["metadata"]["name"] in world.routers.carried
        ]
        if not copied or not routers or any(r.mirror != copied for r in routers):
            self.carried_since = self.carried_since if copied == self.written else None
        elif self.carried_since is None:
            self.carried_since = world.now


def _pods(world: World, revision: str) -> list[tuple[dict[str, Any], str]]:
    pods = world.api.of_kind("Pod")
    ours = [p for p in pods if p["metadata"]["labels"].get(names.LABEL_REVISION) == revision]
    return [(p, p["status"]["podIP"]) for p in ours]


def _begin(world: World, **rollout: Any) -> None:
    """Version 1 serves; version 2 comes and has to pass a mirror."""
    world.invariants.append(Copies())
    world.edit_spec(lambda s: s["rollout"].update({"mirror": dict(MIRROR), **rollout}))
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    assert not any(reason == "Mirroring" for reason, _ in world.events), "the first has none"
    world.publish(version(2), version(1))


def _mirrored(world: World) -> bool:
    candidate = world.status.get("candidate") or {}
    if candidate.get("mirror") is None:
        return False
    assert (candidate["step"], candidate["weight"]) == (-1, 0)
    return bool(candidate["mirror"] == MIRROR["percent"] and "stepSince" in candidate)


def _copied_to(world: World, number: int) -> bool:
    return any(f"; copies of 60 % to flowers-v{number}-" in why for why in world.operator_writes)


def _no_weight(world: World) -> bool:
    """Whether version 2 never had a request of its own."""
    routes = [why for why in world.operator_writes if why.startswith("route ")]
    return not any(
        "-v2-" in why and not why.split("-v2-")[1][9:].startswith("0 %") for why in routes
    )


def _ends(world: World, reason: str) -> str:
    """Version 2 is taken back for this reason, and no client ever met it; its message."""
    world.run(lambda: bool(world.status["rejected"]), 600)
    [entry] = world.status["rejected"]
    assert (entry["number"], entry["kind"], entry["reason"]) == (2, "RolledBack", reason)
    world.run(lambda: not any("-v2-" in k[1] for k in world.api.objects if k[0] == "Deployment"))
    world.metrics.stop()
    assert world.stable_number() == 1
    assert _no_weight(world)
    message: str = entry["message"]
    return message


def mirrored_promotion(world: World) -> None:
    """Copies, then the steps, then all. The pods that the copies needed stay for the steps."""
    _begin(world)
    world.run(lambda: _mirrored(world))
    assert world.status["phase"] == "Progressing"
    assert world.status["message"].startswith("the router mirrors 60 % of requests to flowers-v2-")
    assert world.status["next"].startswith("10 % at ")
    assert _no_weight(world)
    world.run(lambda: (world.status.get("candidate") or {}).get("weight") == 10)
    tried = world.api.objects["Deployment", world.status["candidate"]["revision"]]
    assert tried["spec"]["replicas"] == 2, "60 % of two"
    world.run(lambda: world.stable_number() == 2)
    assert _copied_to(world, 2)


def mirrored_without_steps(world: World) -> None:
    """After the copies all requests at once."""
    _begin(world, steps=[])
    world.run(lambda: _mirrored(world))
    assert world.status["next"].startswith("100 % at ")
    world.run(lambda: world.stable_number() == 2)


def mirrored_errors(world: World) -> None:
    """Copies show that it fails: taken back before any client meets it."""
    world.metrics.answers[2] = Answers(server_errors=0.2)
    _begin(world, analysis={"maxServerErrorRate": "1%"})
    world.metrics.start(RATE)
    message = _ends(world, "AnalysisFailed")
    assert "while 60 % of requests were mirrored to it" in message


def mirrored_without_requests(world: World) -> None:
    """Nobody asks, so that the copies say nothing: it waits beyond the hold until they do."""
    _begin(world, analysis={"maxServerErrorRate": "1%"}, deadline="10m")
    world.run(lambda: "goes on getting copies until the analysis" in world.status["message"])
    assert _no_weight(world)
    world.metrics.start(RATE)
    world.run(lambda: world.stable_number() == 2)
    world.metrics.stop()


def mirrored_crash(world: World) -> None:
    """Its pods crash on the copies."""
    _begin(world, mirror={**MIRROR, "hold": "10m"})
    world.run(lambda: _mirrored(world))
    world.kubelet.behaviour[2] = "crash"
    world.kubelet.crash_all(world.status["candidate"]["revision"])
    _ends(world, "CrashLoop")


def mirrored_newer(world: World) -> None:
    """3 arrives while 2 gets copies: 2 ends, 3 has its own mirror step."""
    _begin(world)
    world.run(lambda: _mirrored(world))
    world.publish(version(3), version(2), version(1))
    world.run(lambda: world.stable_number() == 3)
    assert _no_weight(world)
    assert _copied_to(world, 3)
    world.run(lambda: not any("-v2-" in k[1] for k in world.api.objects if k[0] == "Deployment"))


def mirrored_abort(world: World) -> None:
    """A person takes it back."""
    _begin(world, mirror={**MIRROR, "hold": "10m"})
    world.run(lambda: _mirrored(world))
    world.act("abort")
    _ends(world, "Aborted")


def mirrored_by_hand(world: World) -> None:
    """Paused beyond the hold, resumed; then a person leaves the mirror step early."""
    world.hurried = True
    _begin(world, mirror={**MIRROR, "hold": "30s"})
    world.run(lambda: _mirrored(world))
    world.act("pause")
    world.run(lambda: world.status["phase"] == "Paused")
    assert "in the mirror step" in world.status["message"]
    world.settle(60)
    assert world.status["candidate"]["step"] == -1
    assert _no_weight(world)
    world.act("resume")
    world.run(lambda: world.status["candidate"]["step"] == 0)
    world.run(lambda: world.stable_number() == 2)
    world.edit_spec(lambda s: s["rollout"].update(mirror={**MIRROR, "hold": "10h"}))
    world.publish(version(3), version(2))
    world.run(lambda: _mirrored(world))
    world.act("promote v3 mirror #early")
    world.run(lambda: world.stable_number() == 3)


def mirror_taken_out(world: World) -> None:
    """The spec has no mirror any more: the first step begins. Written in again while 2 has a
    weight, it waits for the next version."""
    _begin(world, mirror={**MIRROR, "hold": "10h"})
    world.run(lambda: _mirrored(world))
    world.edit_spec(lambda s: s["rollout"].pop("mirror"))
    world.run(lambda: world.status["candidate"]["weight"] == 10)
    world.edit_spec(lambda s: s["rollout"].update(mirror=dict(MIRROR)))
    world.run(lambda: world.stable_number() == 2)
    routes = [why for why in world.operator_writes if why.startswith("route ")]
    first = next(n for n, why in enumerate(routes) if " 10 %" in why)
    assert not any(" 50 %" in why for why in routes[:first]), "the first step comes first"
    assert not any("; copies of" in why for why in routes[first:])
    assert sorted(written_weights(world).values()) == [0, 100]


def mirror_of_the_pinned(world: World) -> None:
    """What was stable here before comes back without copies."""
    _begin(world)
    world.run(lambda: world.stable_number() == 2)
    seen = len(world.events)
    pin = {"policy": "Pinned", "pinned": {"number": 1}}
    world.edit_spec(lambda s: s.update(versions=pin))
    world.run(lambda: world.stable_number() == 1)
    assert not any(reason == "Mirroring" for reason, _ in world.events[seen:])


MIRRORED: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        mirrored_promotion,
        mirrored_without_steps,
        mirrored_errors,
        mirrored_without_requests,
        mirrored_crash,
        mirrored_newer,
        mirrored_abort,
        mirrored_by_hand,
        mirror_taken_out,
        mirror_of_the_pinned,
    )
}
