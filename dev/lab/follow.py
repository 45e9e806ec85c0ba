"""Follows one SavedModelDeployment: what its status said, what its routers were told, and when.

Neighbours: the demo shows it live, the cluster tests cut their time windows from it. Two watches in
threads of their own; everything else only reads what they noted. Must not write to the cluster.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.errors import LabError
from lab.kube import SMD, Kube, NotInTime, Object

#: Seconds of one watch; a thread ends at most this long after `stop`.
TURN = 5.0


@dataclass(frozen=True)
class Route:
    """What was written for the routers: percent by revision, first at `written` (Unix seconds)."""

    written: float
    weights: dict[str, int]
    seen: float = 0.0  # by this machine's own clock, as in Window


@dataclass(frozen=True)
class Window:
    """A time in which every router carried one route: from `verified` to `left`, Unix seconds.

    `revision` is the one whose weight the route was written for: a candidate, or a new stable.
    """

    revision: str
    weights: dict[str, int]
    written: float
    verified: float
    left: float
    seen: float = 0.0  # by this machine's own clock: the operator's may lag by parts of a second

    @property
    def convergence(self) -> float:
        """Seconds from writing to the proof from every router."""
        return self.verified - self.written


@dataclass
class Story:
    """What was seen so far, oldest first."""

    statuses: list[tuple[float, Object]] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)

    @property
    def status(self) -> Object:
        """The present status."""
        return self.statuses[-1][1] if self.statuses else {}

    def windows(self, end: float) -> list[Window]:
        """Every route that was proved on all routers, in order; the last one lasts until `end`."""
        found = []
        for index, route in enumerate(self.routes):
            left = self.routes[index + 1].written if index + 1 < len(self.routes) else end
            proof = self._proof(route, left)
            if proof is not None:
                at, revision, seen = proof
                found.append(Window(revision, route.weights, route.written, at, left, seen))
        return found

    def _proof(self, route: Route, left: float) -> tuple[float, str, float] | None:
        """When the operator had it from every router, by its own word, and of which revision."""
        for seen, status in self.statuses:
            for at, revision in _proofs(status, route.weights):
                if route.written <= at < left:
                    return at, revision, seen
        return None


class Follower:
    """The two watches of one object."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube, self._namespace, self._name = kube, namespace, name
        self.story = Story()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._error: Exception | None = None
        watches = ((SMD, name, self._status), ("ConfigMap", f"{name}-router", self._route))
        self._threads = [
            threading.Thread(target=self._watch, args=words, name=f"follow {words[0]}", daemon=True)
            for words in watches
        ]

    def __enter__(self) -> "Follower":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def wait(self, done: Callable[[Object], bool], timeout: float, what: str) -> Object:
        """Until `done` holds for the status. Raises NotInTime with the last one's message."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not done(self.story.status):
                if self._error is not None:
                    raise LabError(f"the watch broke: {self._error!r}") from self._error
                left = deadline - time.monotonic()
                if left <= 0:
                    said = self.story.status.get("message", "nothing")
                    raise NotInTime(f"{what} did not come within {timeout:.0f} s; it says: {said}")
                self._changed.wait(min(left, 1.0))
            return self.story.status

    def _watch(self, kind: str, name: str, note: Callable[[Object], None]) -> None:
        try:
            while not self._stopping.is_set():
                for body in self._kube.watch(kind, self._namespace, name, TURN):
                    if body is not None:
                        note(body)
                    if self._stopping.is_set():
                        return
        except Exception as error:
            self._error = error

    def _status(self, body: Object) -> None:
        status = body.get("status") or {}
        with self._changed:
            if status != self.story.status:
                self.story.statuses.append((time.time(), status))
            self._changed.notify_all()

    def _route(self, body: Object) -> None:
        marks = body["metadata"].get("annotations") or {}
        if "savedmodel.dev/route" not in marks:
            return
        weights = json.loads(marks["savedmodel.dev/route"])["weights"]
        route = Route(unix(marks["savedmodel.dev/written-at"]), weights, time.time())
        with self._changed:
            # A promotion moves the labels and not the weights: the split goes on.
            if not self.story.routes or self.story.routes[-1].weights != weights:
                self.story.routes.append(route)


def _proofs(status: Object, weights: dict[str, int]) -> list[tuple[float, str]]:
    """Times at which this status says that all routers carry these weights, and for whom."""
    found = []
    candidate, stable = status.get("candidate") or {}, status.get("stable") or {}
    if candidate.get("stepSince") and candidate.get("weight") == weights.get(candidate["revision"]):
        found.append((unix(candidate["stepSince"]), candidate["revision"]))
    if stable.get("since") and weights.get(stable["revision"]) == 100:
        found.append((unix(stable["since"]), stable["revision"]))
    return found


def unix(stamp: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(stamp).timestamp()


def condition(status: Object, kind: str) -> Any:
    """The `status` of a condition: "True", "False", "Unknown", or None."""
    found = (c.get("status") for c in status.get("conditions") or () if c.get("type") == kind)
    return next(found, None)
