"""List and watch of one kind in one place, forever: the source of what `cache` knows.

    list ──► cache.replace ──► watch ──► cache.put / drop ──┐
      ▲                          ▲                          │
      └── 410 Gone ──────────────┴── dropped, silent, ended ┘   with jittered backoff

Level-triggered: all that it tells others is "something of this owner changed".
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from savedmodel_operator import errors
from savedmodel_operator.api import names
from savedmodel_operator.cluster.cache import ChildCache, Owner
from savedmodel_operator.cluster.client import Client, WatchEvent
from savedmodel_operator.cluster.kinds import CHILDREN, Kind

log = logging.getLogger(__name__)

Changed = Callable[[Owner], None]

WATCH_SECONDS = 600
"""How long the server keeps one watch, plus up to a fifth: all informers of all operators must
not come back at the same moment."""

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0


def _now() -> float:
    """The event loop's clock, which is monotonic."""
    return asyncio.get_running_loop().time()


class Backoff:
    """Growing pauses with jitter: half of the step is fixed, half is chance."""

    def __init__(self, first: float, longest: float, chance: Callable[[], float]) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._failures = 0

    def reset(self) -> None:
        """It works again."""
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        step = min(self._longest, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return step * (0.5 + 0.5 * self._chance())


class Informer:
    """Keeps the cache of one kind fresh. `heard` is the monotonic time of the last sign of life."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str | None,
        cache: ChildCache,
        changed: Changed,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._cache = cache
        self._changed = changed
        self._chance = chance
        self._version = ""
        self.synced = asyncio.Event()
        self.heard = _now()

    @property
    def name(self) -> str:
        """For messages: what and where."""
        return f"{self._kind.resource} in {self._namespace or 'all namespaces'}"

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, self._chance)
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch(backoff)
                delay = FIRST_DELAY * self._chance()  # the server ended the watch in good order
            except errors.Gone:
                self._version = ""
                delay = FIRST_DELAY * self._chance()
            except errors.ApiError as error:
                delay = max(backoff.next(), error.retry_after or 0.0)
                level = logging.DEBUG if isinstance(error, errors.Unavailable) else logging.WARNING
                log.log(level, "cannot watch %s: %s", self.name, error.message)
                if not isinstance(error, errors.Unavailable):
                    self._version = ""
            await asyncio.sleep(delay)

    async def _list(self) -> None:
        listing = await self._client.list(self._kind, self._namespace, names.SELECTOR)
        self.heard = _now()
        changed = self._cache.replace(
            self._kind.kind,
            self._namespace,
            _typed(listing.items, self._kind),
            listing.resource_version,
        )
        self._version = listing.resource_version
        self.synced.set()
        for owner in changed:
            self._changed(owner)

    async def _watch(self, backoff: Backoff) -> None:
        seconds = int(WATCH_SECONDS * (1 + self._chance() / 5))
        began = _now()
        events = self._client.watch(
            self._kind, self._namespace, self._version, seconds, names.SELECTOR
        )
        try:
            async for event in events:
                self.heard = _now()
                backoff.reset()
                self._take(event)
        finally:
            if _now() - began > LONGEST_DELAY:
                backoff.reset()  # it was open for long: being cut off now is not being refused

    def _take(self, event: WatchEvent) -> None:
        self._version = str(event.body["metadata"]["resourceVersion"])
        if event.type == "BOOKMARK":
            return
        owner = (
            self._cache.drop(event.body) if event.type == "DELETED" else self._cache.put(event.body)
        )
        if owner is not None:
            self._changed(owner)


def _typed(items: list[dict[str, object]], kind: Kind) -> list[dict[str, object]]:
    """Items of a list carry no kind of their own."""
    return [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in items]


class Watches:
    """All informers of the operator."""

    def __init__(
        self, client: Client, namespaces: tuple[str, ...], cache: ChildCache, changed: Changed
    ) -> None:
        places: tuple[str | None, ...] = namespaces or (None,)
        self._informers = [
            Informer(client, kind, place, cache, changed) for kind in CHILDREN for place in places
        ]

    async def run(self) -> None:
        """Until cancelled; the failure of one is the failure of all."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run(), name=f"watch {informer.name}")

    async def wait_synced(self) -> None:
        """Until each has listed once."""
        for informer in self._informers:
            await informer.synced.wait()

    @property
    def waiting(self) -> list[str]:
        """What was not listed yet, in words."""
        return [i.name for i in self._informers if not i.synced.is_set()]

    def oldest(self) -> tuple[float, str]:
        """The informer that was silent the longest: (seconds since, what)."""
        now = _now()
        return max((now - i.heard, i.name) for i in self._informers)
