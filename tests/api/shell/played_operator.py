"""An operator played on the real API server: the real planner over the simulated cluster.

There is no node here, so nothing real could ever be tried or promoted. The simulation's world has
pods and routers; its status and Events are written to the real object in the operator's order and
form (status first, then Events), and the action annotation is taken from there.
"""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime

from simulation.sim_world import World

TICK = 0.02  # seconds between looks at the real object
PACE = 1.0  # virtual seconds that pass in each


class PlayedOperator:
    """Carries one world to the object at `path`; nothing moves before `start`."""

    def __init__(self, api, models: str, world: World) -> None:
        self.api, self.world = api, world
        self.collection, self.path = models, f"{models}/flowers"
        self.namespace = models.split("/")[5]
        self._action, self._told = "", len(world.events)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None

    def create(self) -> None:
        """The object with the world's present status."""
        metadata = {"name": "flowers", "namespace": self.namespace}
        body = {
            "apiVersion": "savedmodel.dev/v1alpha1",
            "kind": "SavedModelDeployment",
            "metadata": metadata,
            "spec": self.world.api.objects[("SavedModelDeployment", "flowers")]["spec"],
        }
        self.api.call("POST", self.collection, body).accepted()
        assert self._write()

    def start(self) -> None:
        """From now on time passes, and actions are handled."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; its failure is the test's."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
        if self.failure is not None:
            raise self.failure

    def report(self) -> None:
        """What the world has come to, as it is."""
        if self._write():
            self._tell()

    def body(self) -> dict:
        """The real object."""
        return self.api.call("GET", self.path).accepted()

    def action(self) -> str:
        """The annotation on the real object."""
        found = self.body()["metadata"].get("annotations", {})
        return found.get("savedmodel.dev/action", "")

    def _run(self) -> None:
        try:
            while not self._stop.wait(TICK):
                text = self.action()
                if text != self._action:
                    self._action = text
                    self.world.act(text)
                self.world.settle(PACE)
                self.report()
        except BaseException as error:
            self.failure = error

    def _write(self) -> bool:
        body = self.body()
        status = {**self.world.status, "observedGeneration": body["metadata"]["generation"]}
        if body.get("status") == status:
            return True
        answer = self.api.call("PUT", f"{self.path}/status", {**body, "status": status})
        assert answer.code in (200, 409), answer.message
        return answer.code == 200

    def _tell(self) -> None:
        told, self._told = self._told, len(self.world.events)
        uid = self.body()["metadata"]["uid"]
        for reason, message in self.world.events[told : self._told]:
            event = {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {
                    "name": f"flowers.{uuid.uuid4().hex[:16]}",
                    "namespace": self.namespace,
                },
                "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "regarding": {
                    "apiVersion": "savedmodel.dev/v1alpha1",
                    "kind": "SavedModelDeployment",
                    "name": "flowers",
                    "namespace": self.namespace,
                    "uid": uid,
                },
                "reason": reason,
                "action": reason,
                "note": message[:1024],
                "type": "Normal",
                "reportingController": "savedmodel.dev/operator",
                "reportingInstance": "pod-0",
            }
            path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
            self.api.call("POST", path, event).accepted()
