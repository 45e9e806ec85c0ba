"""Looking at one thing per object again and again, beside the cycles.

A cycle's view holds the watch that it needs, which begins it or lets it go on; a watch of another
subject takes its place with nothing of what was known. News wakes the object. What is looked at,
and what is news, is the watch's own matter: `counters`, `golden`, `queries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from savedmodel_operator.cluster.cache import Owner

log = logging.getLogger(__name__)


class Watch(Protocol):
    """What is looked at for one object."""

    @property
    def subject(self) -> Hashable:
        """What it is about; a watch of another subject is another watch."""
        ...

    @property
    def interval(self) -> float:
        """Seconds between the end of a look and the next one."""
        ...

    async def look(self) -> bool:
        """Looks once; whether there is news. Does not raise for what the world may do."""
        ...


W = TypeVar("W", bound=Watch)


class Watches(Generic[W]):
    """The watches of one kind, at most one for an object."""

    def __init__(self, changed: Callable[[Owner], None]) -> None:
        self._changed = changed
        self._held: dict[Owner, tuple[W, asyncio.Task[None]]] = {}

    def hold(self, owner: Owner, wanted: W) -> W:
        """The watch of this subject, which goes on, or else `wanted`, which begins."""
        held = self._held.get(owner)
        if held is not None and held[0].subject == wanted.subject:
            if not held[1].done():
                return held[0]
            wanted = held[0]  # a bug ended its task; what it knows is as good as before
        self.forget(owner)
        task = asyncio.create_task(self._repeat(owner, wanted), name=f"watch {wanted.subject}")
        self._held[owner] = (wanted, task)
        return wanted

    def forget(self, owner: Owner) -> None:
        """Nothing is looked at for this object any more."""
        held = self._held.pop(owner, None)
        if held is not None:
            held[1].cancel()

    def close(self) -> None:
        """Ends all watches."""
        for owner in list(self._held):
            self.forget(owner)

    async def _repeat(self, owner: Owner, watch: W) -> None:
        try:
            while True:
                if await watch.look():
                    self._changed(owner)
                await asyncio.sleep(watch.interval)
        except Exception:
            log.exception("bug in looking at %s", watch.subject)
            raise
