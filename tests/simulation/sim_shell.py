"""The operator's process in the simulated world: its lagging cache, its cycles, its deaths.

What `observe`, `reconcile` and `apply` do on a cluster, with the product's own `decide` inside. It
sees the API server through watches that lag, break and repeat themselves. Each restart begins with
an empty memory and a list, which is a consistent read, as a list without resourceVersion is on a
real API server. Neighbours: `sim_clock` has the time, `sim_world` everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import thread_time
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.parse import InvalidSpec, parse
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.api.types import Spec
from savedmodel_operator.gate.verdict import Verdict, passed
from savedmodel_operator.plan.actions import Action, Annotate, Apply, Create, Delete, Plan
from savedmodel_operator.plan.decide import decide
from savedmodel_operator.plan.snapshot import Observed, RouterView, Settings, Snapshot
from savedmodel_operator.status import blocked
from simulation.sim_actors import Kubelet, Routers, is_ready
from simulation.sim_api import OWNER, Key, Refused, SimApi
from simulation.sim_bucket import Bucket
from simulation.sim_clock import Clock
from simulation.sim_metrics import Metrics

SETTINGS = Settings("localhost/operator:1", "localhost/envoy:1", "savedmodel-system")
TIMED = 64
"""One plan in so many is timed: to ask for the CPU time is a dear system call."""

BUSY = 0.2
"""Seconds that a cycle may take, with its looks at bucket and routers: news waits so long at most."""

PASSED = passed("metadata", "the server says what was read")


class Crash(Exception):
    """The operator process dies here."""


class LostResponse(Exception):
    """The write happened, its answer did not arrive."""


@dataclass(frozen=True)
class Fault:
    """At the operator's nth write: crash "before" or "after" it, or its answer is "lost"."""

    write: int
    mode: str


class Shell(Clock):
    """One operator that looks after one object."""

    kubelet: Kubelet
    routers: Routers
    metrics: Metrics

    def __init__(self, seed: int, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(seed)
        self.api = SimApi()
        self.faults = {f.write: f.mode for f in faults}
        self.strikes: Callable[[str, int], bool] = lambda mode, n: self.faults.get(n) == mode
        self.at_rest: Callable[[], None] = lambda: None  # called after a cycle without a write
        self.disturbed = False  # whether watches break
        self.bucket = Bucket()
        self.live: dict[int, Verdict] = {}
        self.golden: str | None = None  # digest of the golden files
        self.operator_writes: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.cycles = 0
        self.plan_seconds: list[float] = []  # of each `TIMED`th cycle
        self.cache: dict[Key, dict[str, Any]] = {}
        self.seen: dict[Key, Observed] = {}
        self.gone: set[str] = set()  # UIDs that this process saw deleted
        self.next_cycle: float | None = None
        self.down = False
        self.away = 0.0  # seconds without an operator so far
        self.ended = self.now
        self.deaf = False  # the watches are broken
        self.turn = 0  # processes so far
        self.unseen = (
            0  # pods that come of a scale, or of a Deployment, as the operator cannot see it
        )
        self.routers_asked = self.bucket_listed = self.pods_asked = False
        self._parsed: tuple[Any, Spec] | None = None
        self.accepted: Mapping[str, Any] = {}  # the last spec that could be read

    def marks(self) -> tuple[object, ...]:
        """What changes whenever an object, a router, the bucket or the process does."""
        bucket = (self.bucket.versions, self.bucket.readable, self.bucket.versioned)
        return (self.api.revision, self.routers.changes, self.turn, self.down, bucket)

    def looks(self) -> tuple[object, ...]:
        """What changes with each of the operator's cycles, too."""
        return (len(self.transcript), self.next_cycle)

    # what it hears

    def heard(self, key: Key) -> None:
        """Something changed: the watch tells it a moment later."""
        body, turn = self.api.objects.get(key), self.turn
        self.after(0.01, 0.3, lambda: self._deliver(key, body, turn))
        if self.disturbed and self.random.random() < 0.05:  # again after the watch was taken up
            self.after(0.3, 3.0, lambda: self._deliver(key, body, turn))

    def _deliver(self, key: Key, body: dict[str, Any] | None, turn: int) -> None:
        """A watch event reaches the cache, unless the watch is broken."""
        if turn != self.turn or self.deaf or self.down:
            return
        if self._take(key, body):
            self.wake(self.random.uniform(0.01, BUSY))

    def _take(self, key: Key, body: dict[str, Any] | None) -> bool:
        """Whether that was news: older bodies and the dead do not come back."""
        held = self.cache.get(key)
        if body is None:
            if key in self.api.objects:
                return False  # a namesake was made since; its own event tells
            if held is not None:
                self.gone.add(held["metadata"]["uid"])
                del self.cache[key]
            return True
        if body["metadata"]["uid"] in self.gone:
            return False
        if held is not None and _version(held) >= _version(body):
            return key != OWNER  # what it wrote itself to the object is no news to it
        self.cache[key] = body
        return True

    def disturb(self) -> None:
        """From now on watches break now and then, and repeat themselves."""
        self.disturbed = True
        self.after(5.0, 90.0, self._break_watch)

    def _break_watch(self) -> None:
        self.deaf = True
        self.after(0.2, 3.0, self._relist)

    def _relist(self) -> None:
        """The watch is taken up again with a fresh list."""
        self.deaf = False
        self.after(5.0, 90.0, self._break_watch)
        if self.down:
            return
        for key in [*self.cache, *self.api.objects]:
            self._take(key, self.api.objects.get(key))
        self.wake(0.01)

    @property
    def worked(self) -> float:
        """Seconds in which there was an operator: what it must do soon, it need not do while dead."""
        return self.now - self.away

    # when it acts

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
        plan = self._decide(snapshot)
        self.note(f"{plan.reason}: {plan.sentence}")
        delay = None if plan.wake_at is None else max(0.01, plan.wake_at - self.now)
        first = len(self.operator_writes)
        if self._carry_out(lambda: self._apply(plan, snapshot), delay):
            self.events += [(e.reason.value, e.message) for e in plan.events]
            if len(self.operator_writes) == first:
                self.at_rest()

    def _decide(self, snapshot: Snapshot) -> Plan:
        self.cycles += 1
        if self.cycles % TIMED:
            return decide(snapshot)
        began = thread_time()
        plan = decide(snapshot)
        self.plan_seconds.append(thread_time() - began)
        return plan

    def _apply(self, plan: Plan, snapshot: Snapshot) -> None:
        for action in plan.actions:
            self._write(action.why, lambda a=action: self._act(a))
        version = self.cache[OWNER]["metadata"]["resourceVersion"]
        self._report(snapshot.status, plan.status, version)

    def _report(self, stored: Mapping[str, Any], status: Mapping[str, Any], version: str) -> None:
        if status != stored:
            self._write("status", lambda: self._write_status(status, version))

    def _carry_out(self, writes: Callable[[], None], then: float | None) -> bool:
        """Whether all writes of a cycle came through; the next one is then after so long."""
        first = len(self.operator_writes)
        try:
            writes()
            self._end(first)
        except (Refused, LostResponse) as error:
            self.note(f"  ! {error}")
            self.wake(self.random.uniform(0.1, 1.0))
            return False
        except Crash:
            self.restart()
            return False
        if then is not None:
            self.wake(then)
        return True

    def _refuse(self, message: str) -> None:
        """As `reconcile` does with a spec that cannot be carried out."""
        owner = self.cache[OWNER]
        meta, stored = owner["metadata"], owner["status"]
        self.note(f"InvalidSpec: {message}")
        body = blocked(stored, meta["generation"], Reason.InvalidSpec, message, self.now)
        self._carry_out(lambda: self._report(stored, body, meta["resourceVersion"]), 60.0)

    # how it dies and comes back

    def stop(self) -> None:
        """The operator's process ends, and none follows until `start`."""
        self.down, self.cache, self.next_cycle, self.ended = True, {}, None, self.now

    def restart(self) -> None:
        """The operator's process is replaced."""
        self.note("  ! the operator dies")
        self.stop()
        self.after(0.5, 5.0, self.start)

    def start(self) -> None:
        """A fresh process lists everything."""
        self.away += self.now - self.ended
        self.down, self.next_cycle, self.turn = False, None, self.turn + 1
        self.metrics.forget()
        self.routers_asked = self.bucket_listed = self.pods_asked = False
        turn = self.turn
        self.after(0.05, 1.0, lambda: self._know("routers_asked", turn))
        self.after(0.05, 3.0, lambda: self._know("pods_asked", turn))
        self.after(0.05, 5.0, lambda: self._know("bucket_listed", turn))
        self.gone = set()
        self.bucket.seen = None
        self.cache = dict(self.api.objects)
        self.wake(0.01)

    def _know(self, what: str, turn: int) -> None:
        if turn == self.turn:
            setattr(self, what, True)
            self.wake(0.01)

    # how it writes

    def _write(self, why: str, act: Callable[[], None]) -> None:
        number = len(self.operator_writes)
        self.operator_writes.append(why)
        self.note(f"  {number:3} {why}")
        if self.strikes("before", number):
            raise Crash
        if self.strikes("lost", number):
            held, gone = dict(self.cache), set(self.gone)
            act()
            self.cache, self.gone = held, gone
            self.unseen += why.startswith("scale ")
            raise LostResponse(why)
        act()
        if self.strikes("after", number):
            raise Crash

    def _end(self, first: int) -> None:
        """After the last write of a cycle, if there was one."""
        last = len(self.operator_writes) - 1
        if last >= first and self.strikes("end", last):
            raise Crash

    def _act(self, action: Action) -> None:
        match action:
            case Create(manifest):
                body = self.api.create(manifest)
            case Apply(manifest, uid, version):
                body = self.api.apply(manifest, uid, version)
            case Annotate(kind, name, uid, annotations):
                self._annotate((kind, name), uid, annotations)
                return
            case Delete(kind, name, uid):
                self._delete((kind, name), uid)
                return
        self.cache[(body["kind"], body["metadata"]["name"])] = body

    def _annotate(self, key: Key, uid: str, annotations: Mapping[str, str]) -> None:
        try:
            self.cache[key] = self.api.annotate(key, uid, annotations)
        except Refused as error:  # a mark on what is gone is no failure
            if "NotFound" not in str(error):
                raise
            self._forget(key)

    def _delete(self, key: Key, uid: str) -> None:
        if key[0] == "Pod":
            self.kubelet.leave(key)
            return
        try:
            self.api.delete(key, uid)
        except Refused as error:
            if "NotFound" not in str(error):
                raise
        self._forget(key)

    def _forget(self, key: Key) -> None:
        held = self.cache.pop(key, None)
        if held is not None:
            self.gone.add(held["metadata"]["uid"])

    def _write_status(self, status: Mapping[str, Any], version: str) -> None:
        self.cache[OWNER] = self.api.write_status(OWNER, status, version)

    # what it sees

    def observe(self) -> Snapshot:
        """What the operator's own `observe` would build."""
        owner = self.cache[OWNER]
        return Snapshot(
            now=self.now,
            name=OWNER[1],
            namespace="shop",
            uid=owner["metadata"]["uid"],
            generation=owner["metadata"]["generation"],
            annotations=owner["metadata"]["annotations"],
            spec=self._spec(owner),
            status=owner["status"],
            source=self._source(owner["status"]),
            settings=SETTINGS,
            objects=self._children(),
            router=RouterView(self.routers.answers(self.routers_asked)),
            live=self._live_verdicts(),
            golden=self.golden,
            analysis=self.metrics.view(owner),
            queries=self.metrics.queries(owner),
        )

    def _spec(self, owner: Mapping[str, Any]) -> Spec:
        if self._parsed is None or self._parsed[0] is not owner["spec"]:
            meta = {**owner["metadata"], "namespace": "shop"}
            self._parsed = (owner["spec"], parse({**owner, "metadata": meta})[1])
            self.accepted = owner["spec"]
        return self._parsed[1]

    def _source(self, status: Mapping[str, Any]) -> SourceView:
        if not self.bucket_listed:
            return SourceView(Reason.SourcePending, "not listed yet")
        return self.bucket.look(self, status)

    def _children(self) -> dict[Key, Observed]:
        """As the shell's cache hands them out: the same object until it changes."""
        found = {}
        for key, body in self.cache.items():
            held = self.seen.get(key)
            if held is None or held.body is not body:
                held = self.seen[key] = self._observed(key, body)
            found[key] = held
        del found[OWNER]
        return found

    def _observed(self, key: Key, body: dict[str, Any]) -> Observed:
        meta = body["metadata"]
        managers = self.api.managers(key) if key[0] == "Deployment" else {}
        return Observed(key[0], key[1], meta["uid"], meta["resourceVersion"], body, managers)

    def _live_verdicts(self) -> dict[str, Verdict]:
        """Live checks of every revision with a ready pod: what the server says of itself."""
        found: dict[str, Verdict] = {}
        for pod in self.api.of_kind("Pod") if self.pods_asked else ():
            revision = pod["metadata"]["labels"].get(names.LABEL_REVISION)
            if revision and is_ready(pod):
                number = int(revision.split("-v")[1].split("-")[0])
                found[revision] = self.live.get(number, PASSED)
        return found


def _version(body: Mapping[str, Any]) -> int:
    return int(body["metadata"]["resourceVersion"])
