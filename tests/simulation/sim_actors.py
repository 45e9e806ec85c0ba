"""The neighbours: Deployment controller and kubelet in one, and the routers.

Each reacts to changes after a seeded delay, so that any order of events that a cluster can show
comes up under some seed. Behaviours are per version number: "ok", "never" (ready), "crash".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savedmodel_operator.api import names
from savedmodel_operator.plan.snapshot import RouterPodView
from savedmodel_operator.workload.envoy_mirror import mirror_name, revision_behind
from simulation.sim_api import Key
from simulation.sim_bucket import decoded

if TYPE_CHECKING:
    from simulation.sim_world import World

TERMINATION = 5.0  # seconds that a leaving pod goes on answering (drain)


class Kubelet:
    """Makes pods of Deployments and lets them become ready, fail or leave."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.behaviour: dict[int, str] = {}
        self.serial = 0

    def sync(self, key: Key) -> None:
        """React to one changed object."""
        if key[0] == "Deployment":
            self.world.after(0.1, 1.0, lambda: self._scale(key))
        if key[0] == "Pod" and key not in self.world.api.objects:
            self.world.after(0.1, 1.0, lambda: [self._scale(k) for k in self._deployments()])

    def _deployments(self) -> list[Key]:
        return [k for k in sorted(self.world.api.objects) if k[0] == "Deployment"]

    def _scale(self, key: Key) -> None:
        deployment = self.world.api.objects.get(key)
        if deployment is None:
            return
        uid, wanted = deployment["metadata"]["uid"], deployment["spec"]["replicas"]
        pods = [p for p in self._pods(uid) if "deletionTimestamp" not in p["metadata"]]
        pods.sort(key=lambda p: not is_ready(p))  # those that are not ready go first
        for _ in range(wanted - len(pods)):
            self._start(deployment)
        for pod in pods[wanted:]:
            self.leave(("Pod", pod["metadata"]["name"]))

    def _pods(self, uid: str) -> list[dict[str, Any]]:
        return [
            p
            for p in self.world.api.of_kind("Pod")
            if p["metadata"]["ownerReferences"][0]["uid"] == uid
        ]

    def _start(self, deployment: Mapping[str, Any]) -> None:
        self.serial += 1
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{self.serial}"
        self.world.api.create(
            {
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": {},
                    "ownerReferences": [{"uid": deployment["metadata"]["uid"]}],
                },
                "status": {"podIP": f"10.0.{self.serial // 250}.{self.serial % 250 + 1}"},
            }
        )
        version = int(template["metadata"]["labels"].get(names.LABEL_VERSION, -1))
        how = self.behaviour.get(version, "ok")
        if how == "ok":
            self.world.after(0.5, 4.0, lambda: self._become_ready(("Pod", name)))
        elif how == "crash":
            self.world.after(0.5, 4.0, lambda: self._crash(("Pod", name)))

    def _become_ready(self, key: Key) -> None:
        pod = self.world.api.objects.get(key)
        if pod is None:
            return
        if pod in self.world.routers.pods() and not self.world.routers.is_warm(key[1]):
            self.world.after(0.2, 0.5, lambda: self._become_ready(key))
            return
        if not self._fetched(pod):
            self.world.after(2.0, 5.0, lambda: self._become_ready(key))
            return
        self.world.api.edit(key, lambda b: _set_ready(b, True))

    def _fetched(self, pod: Mapping[str, Any]) -> bool:
        """Whether a model pod that starts now gets what its lock says."""
        revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
        if revision is None:
            return True
        lock = self.world.api.objects.get(("ConfigMap", names.lock_name(revision)))
        return lock is not None and self.world.bucket.holds(decoded(lock))

    def _crash(self, key: Key) -> None:
        if key in self.world.api.objects:
            self.world.api.edit(key, _set_crashed)

    def crash_all(self, revision: str) -> None:
        """Every pod of a revision crashes from now on."""
        for pod in self.world.api.of_kind("Pod"):
            if pod["metadata"]["labels"].get(names.LABEL_REVISION) == revision:
                self._crash(("Pod", pod["metadata"]["name"]))

    def leave(self, key: Key) -> None:
        """Graceful deletion: not ready for the Service at once, gone after the drain."""
        if key not in self.world.api.objects:
            return

        def mark(body: dict[str, Any]) -> None:
            body["metadata"]["deletionTimestamp"] = "now"

        self.world.api.edit(key, mark)
        self.world.after(TERMINATION, TERMINATION + 1, lambda: self._remove(key))

    def _remove(self, key: Key) -> None:
        if key in self.world.api.objects:
            self.world.api.delete(key)


def _set_ready(body: dict[str, Any], ready: bool) -> None:
    body["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]


def _set_crashed(body: dict[str, Any]) -> None:
    ended = {"exitCode": 255, "message": "Failed to start server"}
    body["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    body["status"]["containerStatuses"] = [
        {
            "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": ended},
        }
    ]


@dataclass
class Carried:
    """What one Envoy has loaded."""

    hash: str | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    members: dict[str, frozenset[str]] = field(default_factory=dict)


class Routers:
    """Envoys: load the ConfigMap when nudged, learn members from DNS."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.carried: dict[str, Carried] = {}
        self.changes = 0  # of anything carried
        self.stuck: set[str] = set()  # pods that take no configuration any more
        self._found: tuple[object, list[dict[str, Any]]] = (None, [])

    def is_warm(self, name: str) -> bool:
        """Whether this Envoy asked DNS once for each cluster; before that it is not ready."""
        carried = self.carried.get(name)
        return carried is not None and carried.members.keys() >= carried.weights.keys()

    def pods(self) -> list[dict[str, Any]]:
        """All router pods. Not to be changed."""
        listed = self.world.api.of_kind("Pod")
        if self._found[0] is not listed:
            label, router = names.LABEL_COMPONENT, names.COMPONENT_ROUTER
            ours = [p for p in listed if p["metadata"]["labels"].get(label) == router]
            self._found = (listed, ours)
        return self._found[1]

    def answers(self, asked: bool) -> tuple[RouterPodView, ...]:
        """What the operator knows of each; nothing until this process has asked them."""
        return tuple(self._answer(pod, asked) for pod in self.pods())

    def _answer(self, pod: Mapping[str, Any], asked: bool) -> RouterPodView:
        meta, name = pod["metadata"], pod["metadata"]["name"]
        carried = self.carried.get(name)
        return RouterPodView(
            name=name,
            uid=meta["uid"],
            running=is_ready(pod) or carried is not None,
            ready=is_ready(pod),
            terminating="deletionTimestamp" in meta,
            revision=carried.hash if carried and asked else None,
            members=dict(carried.members) if carried and asked else {},
            nudge=meta["annotations"].get(names.ANNOTATION_NUDGE),
            asked=asked,
        )

    def sync(self, key: Key) -> None:
        """A ConfigMap alone is carried late, a nudge at once; DNS follows readiness."""
        if key == ("ConfigMap", names.router_name("flowers")):
            self.world.after(60.0, 90.0, self._load_all)
        elif key[0] == "Pod":
            self.world.after(0.1, 0.6, lambda: self._load(key[1]))
            self.world.after(0.5, 3.0, self._resolve)

    def _load_all(self) -> None:
        for pod in self.pods():
            self._load(pod["metadata"]["name"])

    def _load(self, name: str) -> None:
        pod = self.world.api.objects.get(("Pod", name))
        config = self.world.api.objects.get(("ConfigMap", names.router_name("flowers")))
        if pod is None or config is None or pod not in self.pods() or name in self.stuck:
            return
        if "deletionTimestamp" in pod["metadata"]:
            return  # the kubelet leaves the volumes of such a pod alone
        marks = config["metadata"]["annotations"]
        carried = self.carried.setdefault(name, Carried())
        if carried.hash != marks[names.ANNOTATION_CONFIG]:
            carried.hash = marks[names.ANNOTATION_CONFIG]
            carried.weights = self.world.read_weights(marks)
            carried.mirror = self.world.read_mirror(marks)
            self.changes += 1
            self.world.after(0.3, 2.0, self._resolve)

    def _resolve(self) -> None:
        ready: dict[str, set[str]] = {}
        for pod in self.world.api.of_kind("Pod"):
            revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
            if revision and is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
                ready.setdefault(revision, set()).add(pod["status"]["podIP"])
        for name, carried in self.carried.items():
            known = (*carried.weights, *map(mirror_name, carried.mirror))
            members = {n: frozenset(ready.get(revision_behind(n), ())) for n in known}
            if members != carried.members and ("Pod", name) in self.world.api.objects:
                carried.members = members
                self.changes += 1


def is_ready(pod: Mapping[str, Any]) -> bool:
    """The pod's Ready condition."""
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "Ready":
            return bool(condition["status"] == "True")
    return False
