"""What every router pod really carries: asked beside the cycles, and only while it matters.

A pod is settled when it answers with the written configuration's hash and its members are the
ready pods of each backend. While one is not, a prober asks the unsettled pods in parallel, quickly
at first, and wakes the object whenever an answer changed. Settled routers are not asked: their
answers change only by our own writes or by pods that come and go, and those are watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from savedmodel_operator.api import names
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.plan.routing import read_route
from savedmodel_operator.plan.snapshot import Observed, RouterPodView, RouterView
from savedmodel_operator.traffic.base import Answer
from savedmodel_operator.workload.envoy_mirror import mirror_name, revision_behind

PACE = ((10.0, 0.15), (60.0, 1.0), (float("inf"), 5.0))
"""(seconds since the expectation changed, pause between rounds): weights are on their way for a
fraction of a second, a pod that cannot answer for longer is a matter of minutes."""

Members = Mapping[str, frozenset[str]]
Probe = Callable[[str], Awaitable[Answer]]
"""pod IP → its answer. Never raises."""


SILENT = Answer(None, {})


@dataclass(frozen=True)
class Expectation:
    """What settled pods answer, and who is asked: process id → IP.

    `ready` has every backend of the written route, also those without a ready pod.
    """

    config: str | None = None
    ready: Members = field(default_factory=dict)
    pods: Mapping[str, str] = field(default_factory=dict)

    def met_by(self, answer: Answer) -> bool:
        """Whether an answer is what is wanted."""
        return (
            self.config is not None
            and answer.revision == self.config
            # By backend, not by answer: a cluster may come a moment after its route table.
            and all(
                answer.members.get(name, frozenset()) == ips for name, ips in self.ready.items()
            )
        )


class RouterWatcher:
    """The routers of one object."""

    def __init__(self, owner: Owner, probe: Probe, changed: Callable[[Owner], None]) -> None:
        self._owner = owner
        self._probe = probe
        self._changed = changed
        self._wanted = Expectation()
        self._since = 0.0
        self._answers: dict[str, Answer] = {}
        self._missed: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def look(self, pods: list[Observed], config: str | None, ready: Members) -> RouterView:
        """The present answers; begins to ask where they are not what is wanted."""
        views = [(process_of(pod), pod) for pod in pods]
        wanted = Expectation(
            config, ready, {process: _ip(pod) for process, pod in views if _running(pod)}
        )
        if wanted != self._wanted:
            self._wanted = wanted
            self._since = asyncio.get_running_loop().time()
            self._answers = {p: a for p, a in self._answers.items() if p in wanted.pods}
            self._missed &= wanted.pods.keys()
        if self._unsettled() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._ask(), name=f"routers {self._owner}")
        return RouterView(tuple(self._view(process, pod) for process, pod in views))

    def close(self) -> None:
        """Stops asking."""
        if self._task is not None:
            self._task.cancel()

    def _unsettled(self) -> list[str]:
        wanted = self._wanted
        return [p for p in wanted.pods if not wanted.met_by(self._answers.get(p, SILENT))]

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        while unsettled := self._unsettled():
            pods = self._wanted.pods
            answers = await asyncio.gather(*(self._probe(pods[p]) for p in unsettled))
            changed = False
            for process, answer in zip(unsettled, answers, strict=True):
                if answer.revision is None and self._is_first_miss(process):
                    continue
                changed = changed or answer != self._answers.get(process, SILENT)
                self._answers[process] = answer
            if changed:
                self._changed(self._owner)
            age = loop.time() - self._since
            await asyncio.sleep(next(pause for limit, pause in PACE if age < limit))

    def _is_first_miss(self, process: str) -> bool:
        """Whether a pod of which nothing is known yet may have been busy for a moment: after a
        restart of the operator that would be told in status, and taken back right away."""
        first = process not in self._answers and process not in self._missed
        self._missed.add(process)
        return first

    def _view(self, process: str, pod: Observed) -> RouterPodView:
        answer = self._answers.get(process, SILENT)
        meta = pod.body["metadata"]
        return RouterPodView(
            name=pod.name,
            uid=pod.uid,
            running=_running(pod),
            ready=is_ready(pod),
            terminating="deletionTimestamp" in meta,
            revision=answer.revision,
            members=answer.members,
            nudge=(meta.get("annotations") or {}).get(names.ANNOTATION_NUDGE),
            asked=process in self._answers,
        )


class Routers:
    """All watchers."""

    def __init__(self, probe: Probe, changed: Callable[[Owner], None]) -> None:
        self._probe = probe
        self._changed = changed
        self._watchers: dict[Owner, RouterWatcher] = {}

    def view(self, owner: Owner, children: list[Observed]) -> RouterView:
        """What the router pods among `children` answer."""
        pods = [c for c in children if _is(c, "Pod", names.COMPONENT_ROUTER)]
        if not pods:
            self.forget(owner)
            return RouterView()
        watcher = self._watchers.get(owner)
        if watcher is None:
            watcher = self._watchers[owner] = RouterWatcher(owner, self._probe, self._changed)
        config, backends = _written(owner, children)
        ready = ready_members(children)
        members = {name: ready.get(revision_behind(name), frozenset()) for name in backends}
        return watcher.look(pods, config, members)

    def forget(self, owner: Owner) -> None:
        """The object, or its router, is gone."""
        watcher = self._watchers.pop(owner, None)
        if watcher is not None:
            watcher.close()

    def close(self) -> None:
        """Ends all watchers."""
        for owner in list(self._watchers):
            self.forget(owner)


def running_routers(children: list[Observed]) -> dict[str, str]:
    """Process → IP of every router pod in which an Envoy may be carrying traffic."""
    pods = [c for c in children if _is(c, "Pod", names.COMPONENT_ROUTER) and _running(c)]
    return {process_of(pod): _ip(pod) for pod in pods}


def running_servers(children: list[Observed], revision: str) -> list[tuple[Observed, str]]:
    """(pod, IP) of every model pod of a revision in which a server may be carrying traffic."""
    pods = [c for c in children if _is(c, "Pod", names.COMPONENT_MODEL) and _running(c)]
    found = [pod for pod in pods if revision_of(pod) == revision]
    return [(pod, _ip(pod)) for pod in found]


def revision_of(child: Observed) -> str:
    """The revision that an object belongs to, empty for none."""
    labels = child.body["metadata"].get("labels") or {}
    return str(labels.get(names.LABEL_REVISION, ""))


def ready_members(children: list[Observed]) -> dict[str, frozenset[str]]:
    """Revision → IPs of its pods that are ready and not terminating, as its Service lists them."""
    found: dict[str, set[str]] = {}
    for child in children:
        revision = revision_of(child)
        if revision and _is(child, "Pod", names.COMPONENT_MODEL) and is_serving(child):
            found.setdefault(revision, set()).add(_ip(child))
    return {revision: frozenset(ips) for revision, ips in found.items()}


def is_serving(pod: Observed) -> bool:
    """Whether a Service lists the pod."""
    return is_ready(pod) and "deletionTimestamp" not in pod.body["metadata"] and bool(_ip(pod))


def is_ready(pod: Observed) -> bool:
    """The pod's own condition."""
    conditions = (pod.body.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _is(child: Observed, kind: str, component: str) -> bool:
    labels = child.body["metadata"].get("labels") or {}
    return child.kind == kind and labels.get(names.LABEL_COMPONENT) == component


def _written(owner: Owner, children: list[Observed]) -> tuple[str | None, frozenset[str]]:
    """The hash of the written configuration and the revisions in its route."""
    for child in children:
        if child.kind == "ConfigMap" and child.name == names.router_name(owner[1]):
            annotations = child.body["metadata"].get("annotations") or {}
            value = annotations.get(names.ANNOTATION_CONFIG)
            return (None if value is None else str(value)), _backends(annotations)
    return None, frozenset()


def _backends(annotations: Mapping[str, str]) -> frozenset[str]:
    route = read_route(annotations.get(names.ANNOTATION_ROUTE, ""))
    return frozenset([*route.weights, *(mirror_name(name) for name in route.mirror)])


def _running(pod: Observed) -> bool:
    """Whether a process may be carrying traffic in it."""
    status = pod.body.get("status") or {}
    containers = status.get("containerStatuses") or ()
    return bool(_ip(pod)) and any("running" in (c.get("state") or {}) for c in containers)


def process_of(pod: Observed) -> str:
    """A restarted container is another process: its former answers say nothing about it."""
    containers = (pod.body.get("status") or {}).get("containerStatuses") or ()
    return pod.uid + "".join(f"/{c.get('restartCount', 0)}" for c in containers)


def _ip(pod: Observed) -> str:
    return str((pod.body.get("status") or {}).get("podIP") or "")
