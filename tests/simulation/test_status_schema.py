"""Every status that the planner writes in a whole life is one that the API server keeps as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from savedmodel_operator.api.schema import build_root
from simulation.sim_scenarios import SCENARIOS, make
from simulation.sim_world import World

STATUS = build_root()["properties"]["status"]
VALIDATOR = jsonschema.Draft202012Validator(STATUS)


def pruned(schema: Mapping[str, Any], value: Any, path: str = "status") -> Iterator[str]:
    """Paths of what the API server would drop, because the schema does not declare it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in schema["properties"]:
                yield from pruned(schema["properties"][key], inner, f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(value, list):
        for entry in value:
            yield from pruned(schema["items"], entry, f"{path}[]")


class Watcher:
    """An invariant of the world: looks at each status once."""

    def __init__(self) -> None:
        self.seen: Mapping[str, Any] = {}
        self.fields: set[str] = set()

    def __call__(self, world: World) -> None:
        if world.status == self.seen:
            return
        self.seen = world.status
        assert list(pruned(STATUS, world.status)) == []
        assert [error.message for error in VALIDATOR.iter_errors(world.status)] == []
        self.fields |= set(world.status)


@pytest.mark.parametrize("name", [n for n in SCENARIOS if n != "deletion"])
def test_nothing_is_pruned_or_refused(name: str) -> None:
    world, watcher = make(5), Watcher()
    world.invariants.append(watcher)
    SCENARIOS[name](world)
    assert {"observedGeneration", "phase", "versions", "conditions"} <= watcher.fields


def test_the_watcher_would_notice() -> None:
    assert list(pruned(STATUS, {"phase": "x", "stable": {"colour": 1}})) == ["status.stable.colour"]
    assert not VALIDATOR.is_valid({"candidate": {"number": "1"}})
