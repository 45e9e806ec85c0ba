"""The simulated world: one object, one operator, one namespace, and what users do to it.

Everything that happens is an event at a virtual time (`sim_clock`); delays are drawn from the seed.
The operator's process is `sim_shell`, kubelet and routers are `sim_actors`, clients `sim_metrics`.
A further actor is told of every change through `api.watchers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from savedmodel_operator.api import names
from savedmodel_operator.api.source import VersionView
from simulation.sim_actors import Kubelet, Routers
from simulation.sim_api import OWNER, Key, clone
from simulation.sim_clock import START
from simulation.sim_metrics import Metrics
from simulation.sim_shell import SETTINGS, Fault, Shell

__all__ = ["SETTINGS", "START", "Fault", "World"]


class World(Shell):
    """All of it; stories drive it."""

    def __init__(self, seed: int, spec: Mapping[str, Any], faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(seed, faults)
        self.kubelet = Kubelet(self)
        self.routers = Routers(self)
        self.metrics = Metrics(self)
        self.users = 0  # edits by users so far
        self.bad: set[int] = set()  # versions that may never get a request
        self.doomed: set[str] = set()  # revisions whose pods the story itself takes away
        self.hurried = False  # whether a person may cut holds short
        self.spare = 0  # pods beyond replicas that the story itself brings about
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

    def _on_change(self, key: Key) -> None:
        self.kubelet.sync(key)
        self.routers.sync(key)
        if key not in self.api.objects:
            self.after(0.1, 1.0, self._collect_garbage)
        self.heard(key)

    def _collect_garbage(self) -> None:
        """As the garbage collector: what belongs to nobody that is there, goes."""
        for key in self.api.orphans():
            if key[0] != "Pod":
                self.api.delete(key)
            elif "deletionTimestamp" not in self.api.objects[key]["metadata"]:
                self.kubelet.leave(key)

    def read_weights(self, marks: Mapping[str, str]) -> Mapping[str, int]:
        """The weights of a written route."""
        return _route(marks[names.ANNOTATION_ROUTE])["weights"]

    def read_mirror(self, marks: Mapping[str, str]) -> Mapping[str, int]:
        """Who gets copies by a written route."""
        return _route(marks[names.ANNOTATION_ROUTE]).get("mirror", {})

    # what stories ask and do

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
        self.bucket.versions = versions
        listed = ", ".join(str(v.number) for v in versions) or "nothing"
        self.note(f"> the bucket holds {listed}")
        self.wake(0.05)

    def edit_spec(self, change: Callable[[dict[str, Any]], None]) -> None:
        """A user's edit."""

        def edit(body: dict[str, Any]) -> None:
            change(body["spec"])
            body["metadata"]["generation"] += 1
            self.note(f"> the spec becomes {_changed(before, body['spec'])}")

        self.users += 1
        before = self.api.objects[OWNER]["spec"]
        self.api.edit(OWNER, edit)

    def lose_status(self) -> None:
        """As a restore without the status subresource leaves it."""

        def lose(body: dict[str, Any]) -> None:
            body["status"] = {"observedGeneration": -1}

        self.note("> status is lost")
        self.api.edit(OWNER, lose)

    def act(self, text: str) -> None:
        """A user's action annotation."""
        self.users += 1
        self.note(f"> a person asks: {text}")
        self.api.edit(
            OWNER, lambda b: b["metadata"]["annotations"].update({names.ANNOTATION_ACTION: text})
        )


@lru_cache(maxsize=1024)
def _route(text: str) -> Mapping[str, Mapping[str, int]]:
    found: Mapping[str, Mapping[str, int]] = json.loads(text)
    return found


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The fields of the spec that an edit changed, as JSON."""
    fields: dict[str, Any] = {}
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = {k: new.get(k) for k in sorted({*old, *new}) if old.get(k) != new.get(k)}
            fields.update({f"{key}.{k}": v for k, v in inner.items()})
        elif old != new:
            fields[key] = new
    return json.dumps(fields) if fields else "the same"
