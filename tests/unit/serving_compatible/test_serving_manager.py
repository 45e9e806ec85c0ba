"""Versions come and go in the order TensorFlow Serving keeps.

Vectors: core/aspired_versions_manager_test.cc, core/basic_manager_test.cc and
core/servable_state_monitor_test.cc; the loader is the test's own, as it is there.
"""

from __future__ import annotations

import pytest
from tensorflow_serving_compatible.errors import Code, StatusError
from tensorflow_serving_compatible.manager import Manager, Retries
from tensorflow_serving_compatible.monitor import Monitor, State


class Loaded:
    def __init__(self, closed, path):
        self._closed, self._path = closed, path

    def close(self):
        self._closed.append(self._path)


class World:
    """A manager whose loader fails for the paths it is told to."""

    def __init__(self, count=0, interval_micros=0):
        self.failing: set[str] = set()
        self.loads: list[str] = []
        self.closed: list[str] = []
        self.monitor = Monitor()
        retries = Retries(count, interval_micros)
        self.manager = Manager(self.load, self.monitor, retries, load_threads=1, unload_threads=0)
        self.manager.start(2)

    def load(self, _name, _version, path):
        self.loads.append(path)
        if path in self.failing:
            raise StatusError(Code.NOT_FOUND, f"no {path}")
        return Loaded(self.closed, path)

    def wait(self, **states):
        """Until version vN of model m has the state that is given for it."""
        wanted = {int(name[1:]): state for name, state in states.items()}
        with self.monitor._changed:
            reached = self.monitor._changed.wait_for(
                lambda: all(
                    number in self.monitor._states.get("m", {})
                    and self.monitor._states["m"][number].state is state
                    for number, state in wanted.items()
                ),
                30,
            )
        assert reached, self.monitor.versions("m")


def test_a_new_version_is_ready_before_the_old_one_goes():
    world = World()
    world.manager.set_aspired("m", [(1, "one")])
    world.wait(v1=State.AVAILABLE)
    world.manager.set_aspired("m", [(2, "two")])
    world.wait(v1=State.END, v2=State.AVAILABLE)
    assert world.closed == ["one"]
    with world.manager.use("m", None) as (version, _):
        assert version == 2
    with pytest.raises(StatusError, match=r"Servable not found for request: Specific\(m, 1\)"):
        world.manager.use("m", 1).__enter__()


def test_a_version_in_use_is_not_closed():
    world = World()
    world.manager.set_aspired("m", [(1, "one")])
    world.wait(v1=State.AVAILABLE)
    with world.manager.use("m", 1):
        world.manager.set_aspired("m", [])
        world.wait(v1=State.UNLOADING)
        assert world.closed == []
    world.wait(v1=State.END)
    assert world.closed == ["one"]


def test_loads_are_retried_and_a_failed_version_stays_failed():
    world = World(2)
    world.failing.add("two")
    world.manager.set_aspired("m", [(1, "one")])
    world.wait(v1=State.AVAILABLE)
    world.manager.set_aspired("m", [(2, "two")])
    world.wait(v2=State.END)
    assert world.loads == ["one", "two", "two", "two"]
    found = world.monitor.versions("m")
    assert found[2].error is not None
    assert str(found[2].error) == "NOT_FOUND: no two"
    assert found[1].state is State.AVAILABLE
    # Wanted again, it is not tried again; only after it was not wanted for a while.
    world.failing.clear()
    world.manager.set_aspired("m", [(2, "two")])
    world.manager.set_aspired("m", [(1, "one")])
    world.manager.set_aspired("m", [(2, "two"), (3, "three")])
    world.wait(v3=State.AVAILABLE)


def test_a_retry_ends_when_the_version_is_not_wanted_any_more():
    world = World(5, 3_600_000_000)
    world.failing.add("one")
    world.manager.set_aspired("m", [(1, "one")])
    world.wait(v1=State.LOADING)
    world.manager.set_aspired("m", [])
    world.wait(v1=State.END)
    assert world.loads == ["one"]


def test_the_highest_decided_version_answers_for_its_model():
    world = World()
    world.failing.add("two")
    world.manager.set_aspired("m", [(1, "one"), (2, "two")])
    world.wait(v1=State.AVAILABLE, v2=State.END)
    reached = world.monitor.wait_available(["m"])
    assert {key: found.state for key, found in reached.items()} == {("m", 2): State.END}
