"""Loads and unloads versions as they are aspired, and hands out the loaded ones.

The life of a version follows core/aspired_versions_manager.cc, basic_manager.cc and
loader_harness.cc: START, LOADING (with retries), AVAILABLE, UNLOADING, END; a version that could
not be loaded stays at END until it is no longer aspired. Which one to load or unload next is
decided by `versions.next_action`; how a path becomes a model is the loader's business.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tensorflow_serving_compatible.errors import StatusError, not_found
from tensorflow_serving_compatible.monitor import Monitor, State
from tensorflow_serving_compatible.versions import Snapshot, next_action
from tensorflow_serving_compatible.versions import State as HarnessState

log = logging.getLogger(__name__)


class Servable(Protocol):
    """What a loader makes of a version."""

    def close(self) -> None: ...


Loader = Callable[[str, int, str], Servable]


@dataclass
class Harness:
    name: str
    version: int
    path: str
    state: HarnessState = "new"
    aspired: bool = True
    servable: Servable | None = None
    users: int = 0
    error: StatusError | None = None

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.version}}}"


@dataclass(frozen=True)
class Retries:
    """--max_num_load_retries and --load_retry_interval_micros (negative: no wait)."""

    count: int
    interval_micros: int


class Manager:
    def __init__(
        self,
        loader: Loader,
        monitor: Monitor,
        retries: Retries,
        *,
        load_threads: int,
        unload_threads: int,
    ) -> None:
        self._loader, self._monitor, self._retries = loader, monitor, retries
        self._lock = threading.Condition()
        self._harnesses: dict[tuple[str, int], Harness] = {}
        self._pending: dict[str, list[tuple[int, str]]] = {}
        self._load_pool = _pool(load_threads, "load")
        self._unload_pool = _pool(unload_threads, "unload")
        self._initial_pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._work, name="manager", daemon=True)

    def start(self, initial_threads: int) -> None:
        """Begins to work; until `initial_loads_done` it loads with this many threads."""
        self._initial_pool = _pool(initial_threads, "initial_load")
        self._thread.start()

    def initial_loads_done(self) -> None:
        with self._lock:
            pool, self._initial_pool = self._initial_pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def set_aspired(self, name: str, versions: Sequence[tuple[int, str]]) -> None:
        """The (version, path) pairs a model should have from now on."""
        with self._lock:
            self._pending[name] = list(versions)
            self._lock.notify_all()

    @contextmanager
    def use(self, name: str, version: int | None) -> Iterator[tuple[int, Servable]]:
        """A ready version (the highest without a number); it is not unloaded meanwhile.

        Raises StatusError(NOT_FOUND).
        """
        with self._lock:
            harness = self._find(name, version)
            harness.users += 1
            servable = harness.servable
            assert servable is not None
        try:
            yield harness.version, servable
        finally:
            with self._lock:
                harness.users -= 1
                if not harness.users:
                    self._lock.notify_all()

    def _find(self, name: str, version: int | None) -> Harness:
        ready = {
            number: harness
            for (owner, number), harness in self._harnesses.items()
            if owner == name and harness.state == "ready"
        }
        if version is None and ready:
            return ready[max(ready)]
        if version is not None and version in ready:
            return ready[version]
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise not_found(f"Servable not found for request: {request}")

    # --- the manager's own thread ------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                self._flush()
                self._take_pending()
                action = self._next()
                if action is None:
                    self._lock.wait()  # every change of what is aspired or loaded notifies
                    continue
                kind, harness = action
                harness.state = "loading" if kind == "load" else "unloading"
                pool = self._initial_pool or self._load_pool
                if kind == "unload":
                    pool = self._unload_pool
            work = self._load if kind == "load" else self._unload
            if pool is None:
                work(harness)
            else:
                pool.submit(work, harness)

    def _flush(self) -> None:
        for key, harness in list(self._harnesses.items()):
            if not harness.aspired and harness.state in ("new", "error", "disabled"):
                del self._harnesses[key]

    def _take_pending(self) -> None:
        """Applies what is aspired, unless a version that is still leaving is wanted back."""
        for name, wanted in list(self._pending.items()):
            current = [h for (owner, _), h in self._harnesses.items() if owner == name]
            numbers = {number for number, _ in wanted}
            if any(not harness.aspired and harness.version in numbers for harness in current):
                continue
            del self._pending[name]
            for harness in current:
                harness.aspired = harness.version in numbers
            for number, path in wanted:
                if (name, number) not in self._harnesses:
                    self._harnesses[name, number] = Harness(name, number, path)
                    self._monitor.publish(name, number, State.START)
            self._lock.notify_all()

    def _next(self) -> tuple[str, Harness] | None:
        """The most urgent action over all models: unloads before loads, to free memory."""
        actions = []
        for name in sorted({owner for owner, _ in self._harnesses}):
            action = next_action([
                Snapshot(harness.version, harness.state, harness.aspired)
                for (owner, _), harness in self._harnesses.items()
                if owner == name
            ])  # fmt: skip
            if action is not None:
                actions.append((action[0], self._harnesses[name, action[1]]))
        actions.sort(key=lambda found: found[0], reverse=True)
        return actions[0] if actions else None

    def _load(self, harness: Harness) -> None:
        log.info("Loading servable version %s", harness)
        self._monitor.publish(harness.name, harness.version, State.LOADING)
        error = self._try_loading(harness)
        with self._lock:
            harness.state = "error" if error else "ready"
            harness.error = error
            self._monitor.publish(
                harness.name, harness.version, State.END if error else State.AVAILABLE, error
            )
            self._lock.notify_all()
        log.info("%s servable version %s", "Could not load" if error else "Successfully loaded",
                 harness)  # fmt: skip

    def _try_loading(self, harness: Harness) -> StatusError | None:
        error: StatusError | None = None
        for attempt in range(self._retries.count + 1):
            if attempt:
                if not self._wait_to_retry(harness):
                    log.info("Retrying of Loading servable: %s was cancelled.", harness)
                    return error
                log.info("Retrying of Loading servable: %s retry: %d", harness, attempt)
            try:
                harness.servable = self._loader(harness.name, harness.version, harness.path)
            except StatusError as failure:
                error = failure
                log.error("Loading servable: %s failed: %s", harness, failure)  # noqa: TRY400
            else:
                return None
        return error

    def _wait_to_retry(self, harness: Harness) -> bool:
        """Waits for the interval; False as soon as the version is not aspired any more."""
        with self._lock:
            self._lock.wait_for(
                lambda: not harness.aspired, max(self._retries.interval_micros, 0) / 1e6
            )
            return harness.aspired

    def _unload(self, harness: Harness) -> None:
        log.info("Quiescing servable version %s", harness)
        self._monitor.publish(harness.name, harness.version, State.UNLOADING)
        with self._lock:
            self._lock.wait_for(lambda: harness.users == 0)
            servable, harness.servable = harness.servable, None
        if servable is not None:
            servable.close()
        with self._lock:
            harness.state = "disabled"
            self._monitor.publish(harness.name, harness.version, State.END)
            self._lock.notify_all()
        log.info("Done unloading servable version %s", harness)


def _pool(threads: int, name: str) -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(threads, thread_name_prefix=name) if threads > 0 else None
