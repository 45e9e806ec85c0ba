"""An operator behind a proxy on the fleet, and the short life of one object that faults are put into.

The same life without fault says what it should come to: the differential oracle of group A.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fleet import Fleet
from many_requests import Body
from plane_children import call, child, children, is_stable, path_of
from replica import Replica, until
from story_of_objects import Stories
from write_counts import made_and_deleted

from lab.injection import ApiProxy, Call, Match
from lab.objects import Step

PATIENCE = 180.0
HOLD = 3.0
STEPS = (Step(50, HOLD),)
Counts = Counter[tuple[str, str, str]]


@dataclass
class Behind:
    """One leading replica whose every call goes through the proxy."""

    fleet: Fleet
    proxy: ApiProxy
    replica: Replica
    stories: Stories

    def begin(self, name: str, edit: Callable[[Body], None] = lambda _: None) -> None:
        """A new object with version 1 in its bucket."""
        self.fleet.upload(1, name)
        body = self.fleet.manifest(name, name, steps=STEPS, deadline="30m")
        edit(body)
        self.fleet.apply(body)

    def serve(self, name: str) -> None:
        """Version 1 serves."""
        self.begin(name)
        self.stories.wait(name, lambda m: m.phase == "Serving", "serving", PATIENCE)

    def roll(self, name: str) -> None:
        """To version 2, until nothing is left of version 1 but its record."""
        self.fleet.upload(2, name)
        self.stories.wait(name, is_stable(2), "version 2 as stable", PATIENCE)
        self.settle(name)

    def settle(self, name: str) -> None:
        """Until nothing of version 1 is left but its lock and record."""

        def done() -> bool:
            kinds = ("deployments", "services", "poddisruptionbudgets")
            found = (key for key in children(self.fleet, name) if key[0] in kinds)
            return not any("-v1-" in key[1] for key in found)

        until(done, f"what {name} needs no more to go", PATIENCE)

    def live(self, name: str) -> Counts:
        """A whole life: made, served, rolled out to version 2. What was made and deleted."""
        self.serve(name)
        self.roll(name)
        return self.counts(name)

    def counts(self, name: str) -> Counts:
        """What was made and deleted for an object, its name left out."""
        return made_and_deleted(named(self.calls(name), name))

    def calls(self, name: str, since: float = 0.0) -> list[Call]:
        """All calls about one object and its children."""
        return self.proxy.calls(of(name), since)


def of(name: str, verbs: tuple[str, ...] | None = None, resource: str | None = None) -> Match:
    """Calls about an object and its children; the names of the tests' objects are no prefixes of
    each other."""
    return Match(verbs=verbs, resource=resource, name=f"{name}*")


def named(calls: Iterable[Call], name: str) -> list[Call]:
    """The same calls with NAME for the object's name."""
    return [
        Call(
            c.at,
            c.verb,
            c.path,
            resource=c.resource,
            name=c.name.replace(name, "NAME", 1),
            code=c.code,
        )
        for c in calls
    ]


def edit_service(fleet: Fleet, name: str) -> None:
    """Somebody points the Service elsewhere."""
    code, body = call(
        fleet,
        "PATCH",
        path_of("services", name),
        {"spec": {"selector": {"savedmodel.dev/component": "elsewhere"}}},
    )
    assert code == 200, body


def wait_put_back(fleet: Fleet, name: str, patience: float = PATIENCE) -> float:
    """Seconds until the Service points to the router again."""

    def done() -> bool:
        selector = child(fleet, "services", name).get("spec", {}).get("selector") or {}
        return bool(selector.get("savedmodel.dev/component") == "router")

    began = time.monotonic()
    until(done, f"Service {name} to be put back", patience)
    return time.monotonic() - began
