"""The buckets: one watcher per object, which polls in a bounded pool of threads.

    first look ─► settled? ─► again after pollInterval        (changed → wake the object)
                     └─ no ─► again after 5 s at most
    error ─► 5 s, 10 s, … up to pollInterval; the Secret is read afresh each time

The view that `observe` gets is always there: SourcePending before the first look, and after an
error the versions of the last good one. A changed spec.source begins anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.api.types import Source, seconds
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.observe.access import split_uri
from savedmodel_operator.plan.snapshot import Observed
from savedmodel_operator.storage.base import Access, StorageError, Store

log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""Between the two equal listings that make a version complete, where pollInterval is longer."""

ERROR_SECONDS = 5.0

_GOOD = (Reason.SourceReady, Reason.SourceEmpty)


@dataclass(frozen=True)
class Wanted:
    """What a look is about beside the newest versions: numbers that are looked at however old they
    are, and the lock objects, by revision, whose bytes shall still be there."""

    numbers: frozenset[int] = frozenset()
    locks: Mapping[str, Observed] = field(default_factory=dict)


Discover = Callable[[Store, str, str | None, Wanted, SourceView | None], SourceView]
"""(store, prefix, ready marker, what else, previous view) in a thread."""


class ReadsAccess(Protocol):
    """`access.AccessReader`."""

    async def read(self, namespace: str, source: Source) -> Access:
        """Raises StorageError."""


class ClosableStore(Store, Protocol):
    """A store that holds connections."""

    def close(self) -> None:
        """Lets them go."""


@dataclass(frozen=True)
class Tools:
    """What watchers share. `looked` counts finished looks: (owner, reason)."""

    access: ReadsAccess
    open_store: Callable[[Access], ClosableStore]
    discover: Discover
    executor: Executor
    now: Callable[[], float]
    changed: Callable[[Owner], None]
    looked: Callable[[Owner, Reason], None] = lambda _owner, _reason: None


class SourceWatcher:
    """One object's bucket. Not for several threads, though its looks run in one."""

    def __init__(self, owner: Owner, source: Source, wanted: Wanted, tools: Tools) -> None:
        self._owner = owner
        self._source = source
        self._wanted = wanted
        self._tools = tools
        self._store: ClosableStore | None = None
        self._failures = 0
        self._now = asyncio.Event()
        self.view = SourceView(Reason.SourcePending, "the bucket is being read for the first time")
        self._task = asyncio.create_task(self._run(), name=f"source {owner[0]}/{owner[1]}")

    def want(self, source: Source, wanted: Wanted) -> None:
        """What the object says now; another source or lock is looked at at once."""
        new = wanted.locks.keys() - self._wanted.locks.keys()
        self._wanted = wanted
        if source == self._source:
            if new:
                self.look_now()
            return
        old, self._source = self._source, source
        self._drop_store()
        if msgspec.structs.replace(old, poll_interval=source.poll_interval) != source:
            self.view = SourceView(Reason.SourcePending, "the changed source is being read")
        self._now.set()

    def look_now(self) -> None:
        """As a person asked. Where a version has to settle, the second look is 5 s away at most,
        and one at once would prove nothing."""
        if not self._settles(self.view):
            self._now.set()

    async def close(self) -> None:
        """Ends the watcher; a look under way in its thread is left to its time limits."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._drop_store()

    async def _run(self) -> None:
        while True:
            self._now.clear()
            source = self._source
            view = await self._look(source)
            if source == self._source:
                self._take(view)
                delay = self._delay(view)
                if self._settles(view):
                    self._now.clear()
            else:
                delay = 0.0
            try:
                await asyncio.wait_for(self._now.wait(), delay)
            except TimeoutError:
                continue

    async def _look(self, source: Source) -> SourceView:
        loop = asyncio.get_running_loop()
        tools, previous = self._tools, self.view
        known = None if previous.observed_at == 0.0 else previous
        try:
            if self._store is None:
                access = await tools.access.read(self._owner[0], source)
                store = await loop.run_in_executor(tools.executor, tools.open_store, access)
                if source != self._source:
                    store.close()
                    return previous
                self._store = store
            prefix = split_uri(source.uri)[1]
            view = await loop.run_in_executor(
                tools.executor,
                tools.discover,
                self._store,
                prefix,
                source.ready_marker,
                self._wanted,
                known,
            )
        except StorageError as error:
            return self._failed(error.reason, error.message)
        except Exception as error:
            log.exception("bug while looking at the bucket of %s/%s", *self._owner)
            text = (
                f"the bucket could not be judged ({type(error).__name__}); see the operator's log"
            )
            return self._failed(Reason.CheckErrored, text)
        return replace(view, observed_at=tools.now())

    def _failed(self, reason: Reason, message: str) -> SourceView:
        last = self.view
        return replace(last, reason=reason, message=message, observed_at=self._tools.now())

    def _take(self, view: SourceView) -> None:
        before, self.view = self.view, view
        self._tools.looked(self._owner, view.reason)
        if view.reason in _GOOD:
            self._failures = 0
        else:
            self._failures += 1
            self._drop_store()  # the key may have been rotated, the CA bundle renewed
        if replace(before, observed_at=view.observed_at) != view:
            self._tools.changed(self._owner)

    def _delay(self, view: SourceView) -> float:
        interval = seconds(self._source.poll_interval)
        if view.reason not in _GOOD:
            return min(interval, ERROR_SECONDS * 2.0 ** min(self._failures - 1, 16))
        return min(interval, SETTLE_SECONDS) if self._settles(view) else interval

    def _settles(self, view: SourceView) -> bool:
        unsettled = any(v.reason is Reason.Settling for v in view.versions)
        return unsettled and view.reason in _GOOD and self._source.ready_marker is None

    def _drop_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


class Sources:
    """All watchers."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._watchers: dict[Owner, tuple[str, SourceWatcher]] = {}

    def view(self, owner: Owner, uid: str, source: Source, wanted: Wanted) -> SourceView:
        """The present view of an object's source; starts to watch it when it is new."""
        held = self._watchers.get(owner)
        if held is not None and held[0] != uid:
            self.forget(owner)
            held = None
        if held is None:
            watcher = SourceWatcher(owner, source, wanted, self._tools)
            self._watchers[owner] = (uid, watcher)
            return watcher.view
        held[1].want(source, wanted)
        return held[1].view

    def look_now(self, owner: Owner) -> None:
        """List this object's bucket now, whatever its pollInterval."""
        held = self._watchers.get(owner)
        if held is not None:
            held[1].look_now()

    def forget(self, owner: Owner) -> None:
        """The object is gone."""
        held = self._watchers.pop(owner, None)
        if held is not None:
            _closing.add(task := asyncio.create_task(held[1].close()))
            task.add_done_callback(_closing.discard)

    async def close(self) -> None:
        """Ends all watchers."""
        watchers = [watcher for _, watcher in self._watchers.values()]
        self._watchers.clear()
        await asyncio.gather(*(w.close() for w in watchers))


_closing: set[asyncio.Task[None]] = set()
"""asyncio keeps only weak references to tasks."""
