"""The work queue: which object is looked at next, and when.

Handlers, informers and watchers `add` keys; workers run one cycle per key. A key waits at most
once; a key that is added while its cycle runs is run again afterwards; never two cycles of one key
at a time. First come, first served, so a busy object cannot starve others. A failed key waits by
exponential backoff with jitter; `wake_at` keeps the earliest wish. It knows nothing about what the
keys mean.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY = 0.25
LONGEST_DELAY = 120.0
NEWS_DELAY = 1.0
"""0.25 s, 0.5 s, … 2 min after the tenth failure: a short outage costs seconds, a long one two
attempts a minute at most. News that came during a failing cycle waits a second at most."""


@dataclass(frozen=True)
class Done:
    """How a cycle ended. `after`: seconds until the next one is wanted (None: only by events).

    failed: wait by backoff, at least `after` seconds (a server that asked for them gets them, whatever
    the news); otherwise the backoff begins anew.
    """

    after: float | None = None
    failed: bool = False


Work = Callable[[K], Awaitable[Done]]


class WorkQueue(Generic[K]):
    """Runs `work` for every key that was added. For one event loop.

    chance: 0 ≤ x < 1, the jitter. The clock is the event loop's.
    """

    def __init__(
        self,
        work: Work[K],
        workers: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._workers = workers
        self._chance = chance
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._failures: dict[K, int] = {}
        self._not_before: dict[K, float] = {}
        self._news = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        """Keys that wait to be run at once."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Run it as soon as a worker is free, or again after its present cycle."""
        if self._stopping:
            return
        if (asked := self._asked(key)) > 0:
            self.add_after(key, asked)
            return
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._news.set()
        self._due.pop(key, None)

    def add_after(self, key: K, seconds: float) -> None:
        """Run it in `seconds`; an earlier wish stands."""
        if seconds <= 0:
            self.add(key)
            return
        at = asyncio.get_running_loop().time() + seconds
        if key in self._queued or self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, key))
        if len(self._heap) > 64 + 4 * len(self._due):  # mostly wishes that earlier ones replaced
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._news.set()

    def forget(self, key: K) -> None:
        """The object is gone: no delayed wake-up, no memory of failures."""
        self._due.pop(key, None)
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    async def run(self) -> None:
        """Works until `stop`; returns when the last running cycle has ended."""
        running: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping or running:
                self._news.clear()
                self._wake_due()
                while self._ready and len(running) < self._workers and not self._stopping:
                    key = self._ready.popleft()
                    self._queued.discard(key)
                    self._running.add(key)
                    running.add(asyncio.create_task(self._cycle(key), name=f"cycle {key}"))
                running = await self._pause(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def stop(self) -> None:
        """Starts no further cycle. Running ones end between two actions by themselves."""
        self._stopping = True
        self._news.set()

    async def _pause(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Until a cycle ends, a key comes or one is due. A bug in a cycle is raised here."""
        news = asyncio.create_task(self._news.wait())
        try:
            done, _ = await asyncio.wait(
                {news, *running}, timeout=self._next_due(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()
        for task in done - {news}:
            task.result()
        return running - done

    async def _cycle(self, key: K) -> None:
        done = Done(failed=True)
        self._not_before.pop(key, None)
        try:
            done = await self._work(key)
        finally:
            self._running.discard(key)
            self._settle(key, done)

    def _settle(self, key: K, done: Done) -> None:
        again = key in self._again
        self._again.discard(key)
        if done.failed:
            # News (a corrected spec) shortens the wait but does not end it: a failing object that
            # changes ten times a second must not become a hot loop.
            wait = self._backoff(key)
            wait = max(min(wait, NEWS_DELAY) if again else wait, done.after or 0.0)
            if done.after:
                self._not_before[key] = asyncio.get_running_loop().time() + done.after
            self.add_after(key, wait)
            return
        self._failures.pop(key, None)
        if again:
            self.add(key)
        elif done.after is not None:
            self.add_after(key, done.after)

    def _asked(self, key: K) -> float:
        """Seconds for which the server wants to hear no more of this key, news or not."""
        until = self._not_before.get(key)
        return 0.0 if until is None else until - asyncio.get_running_loop().time()

    def _backoff(self, key: K) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        step = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 32))
        return step * (0.5 + 0.5 * self._chance())

    def _next_due(self) -> float | None:
        if self._stopping or not self._heap:
            return None
        return max(0.0, self._heap[0][0] - asyncio.get_running_loop().time())

    def _wake_due(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key)
