"""The published state of every version: what GetModelStatus answers and startup waits for.

States and their order follow core/servable_state.h and core/servable_state_monitor.cc. Entries
stay after END. Thread-safe; knows nothing of loading.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from tensorflow_serving_compatible.errors import StatusError


class State(IntEnum):
    """ModelVersionStatus.State, as numbered in apis/get_model_status.proto."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Published:
    state: State
    error: StatusError | None = None


class Monitor:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._states: dict[str, dict[int, Published]] = {}

    def publish(self, name: str, version: int, state: State, error: StatusError | None = None
                ) -> None:  # fmt: skip
        with self._changed:
            self._states.setdefault(name, {})[version] = Published(state, error)
            self._changed.notify_all()

    def versions(self, name: str) -> dict[int, Published]:
        """All known versions of a model, highest first."""
        with self._changed:
            states = self._states.get(name, {})
            return {version: states[version] for version in sorted(states, reverse=True)}

    def wait_available(self, names: Iterable[str]) -> dict[tuple[str, int], Published]:
        """Waits until each model has a version AVAILABLE or at its END.

        The highest such version decides for its model. Without one it waits for ever, as
        TensorFlow Serving does for a base path without versions.
        """
        wanted = list(names)
        with self._changed:
            self._changed.wait_for(lambda: all(self._decided(name) for name in wanted))
            reached = {}
            for name in wanted:
                version = self._decided(name)
                if version is not None:
                    reached[name, version[0]] = self._states[name][version[0]]
            return reached

    def _decided(self, name: str) -> tuple[int] | None:
        states = self._states.get(name, {})
        for version in sorted(states, reverse=True):
            if states[version].state in (State.AVAILABLE, State.END):
                return (version,)
        return None
