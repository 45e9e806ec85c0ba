"""The simulated world: virtual clock, event heap, seeded delays, the operator's shell, invariants.

Everything that happens is an event at a virtual time; delays are drawn from the seed. The operator
sees the objects through a cache that lags behind, dies at chosen writes and starts again with an
empty memory. After every event the invariants are asked.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.parse import InvalidSpec, parse
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView, VersionView
from savedmodel_operator.gate.verdict import Verdict, passed
from savedmodel_operator.plan.actions import Action, Annotate, Apply, Create, Delete
from savedmodel_operator.plan.decide import decide
from savedmodel_operator.plan.snapshot import (
    Observed,
    RouterPodView,
    RouterView,
    Settings,
    Snapshot,
)
from savedmodel_operator.status import blocked
from simulation.sim_actors import Kubelet, Routers, is_ready
from simulation.sim_api import OWNER, Key, Refused, SimApi, clone
from simulation.sim_metrics import Metrics

SETTINGS = Settings("localhost/operator:1", "localhost/envoy:1", "savedmodel-system")
PASSED = passed("metadata", "the server says what was read")
START = 1_800_000_000.0


class Crash(Exception):
    """The operator process dies here."""


class LostResponse(Exception):
    """The write happened, its answer did not arrive."""


@dataclass(frozen=True)
class Fault:
    """At the operator's nth write: crash "before" or "after" it, or its answer is "lost"."""

    write: int
    mode: str


class World:
    """One object, one operator, one namespace."""

    def __init__(self, seed: int, spec: Mapping[str, Any], faults: tuple[Fault, ...] = ()) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = 0
        self.api = SimApi()
        self.kubelet = Kubelet(self)
        self.routers = Routers(self)
        self.metrics = Metrics(self)
        self.versions: tuple[VersionView, ...] = ()
        self.live: dict[int, Verdict] = {}
        self.golden: str | None = None  # digest of the golden files
        self.faults = {f.write: f.mode for f in faults}
        self.operator_writes: list[str] = []
        self.transcript: list[str] = []
        self.cache: dict[Key, dict[str, Any]] = {}
        self.seen: dict[Key, Observed] = {}
        self.events: list[tuple[str, str]] = []
        self.next_cycle: float | None = None
        self.invariants: list[Callable[[World], None]] = []
        self.down = False
        self.routers_asked = self.bucket_listed = self.pods_asked = False
        self.users = 0  # edits by users so far
        self.bad: set[int] = set()  # versions that may never get a request
        self.doomed: set[str] = set()  # revisions whose pods the scenario itself takes away
        self.hurried = False  # whether a person may cut holds short
        self.floor = 1000  # pods below which stable may not be scaled
        self.api.watchers.append(self._on_change)
        self._make_owner(spec)

    def _make_owner(self, spec: Mapping[str, Any]) -> None:
        self.api.create(
            {
                "kind": OWNER[0],
                "metadata": {"name": OWNER[1], "generation": 1, "annotations": {}},
                "spec": clone(dict(spec)),
                "status": {"observedGeneration": -1},
            }
        )

    # the clock

    def after(self, low: float, high: float, what: Callable[[], None]) -> None:
        """Let something happen between `low` and `high` seconds from now."""
        self.serial += 1
        heapq.heappush(self.heap, (self.now + self.random.uniform(low, high), self.serial, what))

    def run(self, until: Callable[[], bool], limit: float = 3600.0) -> None:
        """Let time pass until the condition holds; a world that stands still has failed."""
        end = self.now + limit
        while not until():
            if not self.heap:
                raise AssertionError(f"nothing will ever happen again\n{self.tail()}")
            self.now, _, what = heapq.heappop(self.heap)
            assert self.now <= end, f"not reached within {limit} s of virtual time\n{self.tail()}"
            what()
            for check in self.invariants:
                check(self)

    def settle(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        self.after(seconds, seconds, lambda: None)
        self.run(lambda: self.now >= end)

    def tail(self) -> str:
        """The end of the transcript, for a failing test."""
        return "\n".join(self.transcript[-40:])

    # the operator's shell

    def _on_change(self, key: Key) -> None:
        self.kubelet.sync(key)
        self.routers.sync(key)
        if key[0] in ("Deployment", "Pod"):
            self.after(0.1, 0.5, self.kubelet.collect)
        self.after(0.01, 0.3, lambda: self._deliver(key))

    def changed(self) -> None:
        """Something changed that is not an API object: routers. Only polling sees it."""

    def _deliver(self, key: Key) -> None:
        """A watch event reaches the cache; the operator is told."""
        body = self.api.objects.get(key)
        if body is None:
            self.cache.pop(key, None)
        elif self._newer(key, body):
            self.cache[key] = clone(body)
        elif key == OWNER:
            return  # what the operator wrote itself is no news to it
        self.wake(0.01)

    def _newer(self, key: Key, body: Mapping[str, Any]) -> bool:
        held = self.cache.get(key)
        return held is None or int(held["metadata"]["resourceVersion"]) < int(
            body["metadata"]["resourceVersion"]
        )

    def wake(self, delay: float) -> None:
        """Plan a cycle; the earliest wins."""
        at = self.now + delay
        if self.down:
            return
        if self.next_cycle is not None and self.next_cycle <= at:
            return
        self.next_cycle = at
        self.after(delay, delay, lambda: self._cycle(at))

    def _cycle(self, planned: float) -> None:
        if self.down or self.next_cycle != planned:
            return
        self.next_cycle = None
        if OWNER not in self.cache:
            return
        try:
            snapshot = self.observe()
        except InvalidSpec as error:
            self._refuse(error.message)
            return
        plan = decide(snapshot)
        self.transcript.append(f"{self.now - START:9.2f} {plan.reason}: {plan.sentence}")
        try:
            for action in plan.actions:
                self._write(action.why, lambda a=action: self._act(a))
            if plan.status != snapshot.status:
                version = self.cache[OWNER]["metadata"]["resourceVersion"]
                self._write("status", lambda: self._write_status(plan.status, version))
            self.events += [(e.reason.value, e.message) for e in plan.events]
        except (Refused, LostResponse) as error:
            self.transcript.append(f"{self.now - START:9.2f}   ! {error}")
            self.wake(self.random.uniform(0.1, 1.0))
            return
        except Crash:
            self._restart()
            return
        if plan.wake_at is not None:
            self.wake(max(0.01, plan.wake_at - self.now))

    def _refuse(self, message: str) -> None:
        """As `reconcile` does with a spec that cannot be carried out."""
        owner = self.cache[OWNER]
        meta, stored = owner["metadata"], owner["status"]
        self.transcript.append(f"{self.now - START:9.2f} InvalidSpec: {message}")
        body = blocked(stored, meta["generation"], Reason.InvalidSpec, message, self.now)
        if body != stored:
            try:
                self._write("status", lambda: self._write_status(body, meta["resourceVersion"]))
            except (Refused, LostResponse):
                self.wake(self.random.uniform(0.1, 1.0))
                return
            except Crash:
                self._restart()
                return
        self.wake(60.0)

    def restart(self) -> None:
        """The operator's process is replaced."""
        self._restart()

    def _restart(self) -> None:
        self.transcript.append(f"{self.now - START:9.2f}   ! the operator dies")
        self.down, self.cache, self.next_cycle = True, {}, None
        self.after(0.5, 5.0, self.start)

    def start(self) -> None:
        """A fresh process lists everything."""
        self.down, self.next_cycle = False, None
        self.metrics.forget()
        self.routers_asked = self.bucket_listed = False
        self.after(0.05, 1.0, self._ask_routers)
        self.pods_asked = False
        self.after(0.05, 3.0, self._ask_pods)
        self.after(0.05, 5.0, self._list_bucket)
        self.cache = {key: clone(body) for key, body in self.api.objects.items()}
        self.wake(0.01)

    def _ask_routers(self) -> None:
        self.routers_asked = True
        self.wake(0.01)

    def _ask_pods(self) -> None:
        self.pods_asked = True
        self.wake(0.01)

    def _list_bucket(self) -> None:
        self.bucket_listed = True
        self.wake(0.01)

    def _source(self) -> SourceView:
        if not self.bucket_listed:
            return SourceView(Reason.SourcePending, "not listed yet")
        reason = Reason.SourceReady if self.versions else Reason.SourceEmpty
        return SourceView(reason, "as listed", self.versions, (), self.now)

    def _write(self, why: str, act: Callable[[], None]) -> None:
        number = len(self.operator_writes)
        mode = self.faults.get(number)
        self.operator_writes.append(why)
        self.transcript.append(f"{self.now - START:9.2f}   {number:3} {why}")
        if mode == "before":
            raise Crash
        if mode == "lost":
            held = dict(self.cache)
            act()
            self.cache = held
            raise LostResponse(why)
        act()
        if mode == "after":
            raise Crash

    def _act(self, action: Action) -> None:
        match action:
            case Create(manifest):
                body = self.api.create(manifest)
            case Apply(manifest, uid, version):
                body = self.api.apply(manifest, uid, version)
            case Annotate(kind, name, uid, annotations):
                body = self.api.annotate((kind, name), uid, annotations)
            case Delete(kind, name, uid):
                self._delete(kind, name, uid)
                return
        self.cache[(body["kind"], body["metadata"]["name"])] = body

    def _delete(self, kind: str, name: str, uid: str) -> None:
        if kind == "Pod":
            self.kubelet.leave((kind, name))
            return
        try:
            self.api.delete((kind, name), uid)
        except Refused as error:
            if "NotFound" not in str(error):
                raise
        self.cache.pop((kind, name), None)

    def _write_status(self, status: Mapping[str, Any], version: str) -> None:
        self.cache[OWNER] = self.api.write_status(OWNER, status, version)

    def observe(self) -> Snapshot:
        """What the operator's own `observe` would build."""
        owner = self.cache[OWNER]
        children = {key: self._observed(key) for key in self.cache if key != OWNER}
        return Snapshot(
            now=self.now,
            name=OWNER[1],
            namespace="shop",
            uid=owner["metadata"]["uid"],
            generation=owner["metadata"]["generation"],
            annotations=owner["metadata"]["annotations"],
            spec=parse({**owner, "metadata": {**owner["metadata"], "namespace": "shop"}})[1],
            status=owner["status"],
            source=self._source(),
            settings=SETTINGS,
            objects=children,
            router=RouterView(tuple(self._router_pod(p) for p in self.routers.pods())),
            live=self._live_verdicts(),
            golden=self.golden,
            analysis=self.metrics.view(owner),
        )

    def _observed(self, key: Key) -> Observed:
        """As the shell's cache hands it out: the same object until it changes."""
        body = self.cache[key]
        held = self.seen.get(key)
        if held is None or held.body is not body:
            meta = body["metadata"]
            held = Observed(key[0], key[1], meta["uid"], meta["resourceVersion"], body)
            self.seen[key] = held
        return held

    def _router_pod(self, pod: Mapping[str, Any]) -> RouterPodView:
        meta, name = pod["metadata"], pod["metadata"]["name"]
        carried = self.routers.carried.get(name)
        return RouterPodView(
            name=name,
            uid=meta["uid"],
            running=is_ready(pod) or carried is not None,
            ready=is_ready(pod),
            terminating="deletionTimestamp" in meta,
            revision=carried.hash if carried and self.routers_asked else None,
            members=dict(carried.members) if carried and self.routers_asked else {},
            nudge=meta["annotations"].get(names.ANNOTATION_NUDGE),
            asked=self.routers_asked,
        )

    def _live_verdicts(self) -> dict[str, Verdict]:
        """Live checks of every revision with a ready pod: what the server says of itself."""
        found: dict[str, Verdict] = {}
        for pod in self.api.of_kind("Pod") if self.pods_asked else ():
            revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
            if revision and is_ready(pod):
                number = int(revision.split("-v")[1].split("-")[0])
                found[revision] = self.live.get(number, PASSED)
        return found

    def read_weights(self, marks: Mapping[str, str]) -> Mapping[str, int]:
        """The weights of a written route."""
        found: Mapping[str, int] = json.loads(marks[names.ANNOTATION_ROUTE])["weights"]
        return found

    # what scenarios ask and do

    @property
    def status(self) -> Mapping[str, Any]:
        """The stored status."""
        found: Mapping[str, Any] = self.api.objects[OWNER]["status"]
        return found

    def stable_number(self) -> int | None:
        """The number that serves, by status."""
        stable = self.status.get("stable")
        return stable["number"] if stable else None

    def publish(self, *versions: VersionView) -> None:
        """The bucket now holds these, newest first."""
        self.versions = versions
        self.wake(0.05)

    def edit_spec(self, change: Callable[[dict[str, Any]], None]) -> None:
        """A user's edit."""

        def edit(body: dict[str, Any]) -> None:
            change(body["spec"])
            body["metadata"]["generation"] += 1

        self.users += 1
        self.api.edit(OWNER, edit)

    def lose_status(self) -> None:
        """As a restore without the status subresource leaves it."""

        def lose(body: dict[str, Any]) -> None:
            body["status"] = {"observedGeneration": -1}

        self.api.edit(OWNER, lose)

    def act(self, text: str) -> None:
        """A user's action annotation."""
        self.users += 1
        self.api.edit(
            OWNER, lambda b: b["metadata"]["annotations"].update({names.ANNOTATION_ACTION: text})
        )
