"""A watch through the proxy: events as they come, until one side ends it or a fault does.

Neighbours: `passage` opened it. Bytes are passed on as they are; only a 410 is words of ours.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from lab.injection import faults
from lab.injection.calls import Call
from lab.injection.injections import Injection

EXPIRED = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}


class Turns(Protocol):
    """The part of the proxy that a watch needs."""

    @property
    def injections(self) -> Iterable[Injection]:
        """All that were made, in order."""

    async def changed(self) -> None:
        """Returns after the next injection or removal."""

    async def passable(self, call: Call | None = None) -> bool:
        """Returns once there is no partition; False where one made an end of what waited."""


@dataclass
class Fate:
    """What has befallen one watch so far."""

    struck: set[int] = field(default_factory=set)
    cuts: list[tuple[Injection, float]] = field(default_factory=list)
    mute: bool = False
    expired: bool = False

    def look(self, call: Call, injections: Iterable[Injection], now: float) -> None:
        """Each injection strikes a watch once."""
        for injection in list(injections):
            fault = injection.fault
            if id(injection) in self.struck or not isinstance(fault, faults.WatchFault):
                continue
            if injection.take(call):
                self.struck.add(id(injection))
                if isinstance(fault, faults.CutWatch):
                    self.cuts.append((injection, now + fault.after))
                self.mute |= isinstance(fault, faults.MuteWatch)
                self.expired |= isinstance(fault, faults.ExpireWatch)

    @property
    def end(self) -> float | None:
        """When it is cut, in the loop's time."""
        return min((at for injection, at in self.cuts if injection.on), default=None)

    def pause(self, now: float) -> float:
        """Seconds to wait at most. A client that left is noticed when nothing is written, too."""
        return 1.0 if self.end is None else min(1.0, self.end - now)


async def pass_watch(
    road: Turns,
    call: Call,
    answer: aiohttp.ClientResponse,
    response: web.StreamResponse,
    left: Callable[[], bool],
) -> bool:
    """Whether it ended in good order; the connection is to be reset otherwise."""
    fate, loop = Fate(), asyncio.get_running_loop()
    chunk: asyncio.Task[Any] = asyncio.create_task(answer.content.readany())
    change = asyncio.create_task(road.changed())
    try:
        while not left():
            fate.look(call, road.injections, loop.time())
            if fate.expired:
                await response.write(json.dumps(EXPIRED).encode() + b"\n")
                return True
            if fate.end is not None and fate.end <= loop.time():
                return False
            pause = fate.pause(loop.time())
            await asyncio.wait({chunk, change}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                change = asyncio.create_task(road.changed())
                continue  # what came together with a fault comes after it
            if chunk.done():
                data = chunk.result()
                if not await _deliver(road, call, fate, data, response):
                    return bool(not data)
                # A mute one stays open although the server ended it.
                more = answer.content.readany() if data else asyncio.Event().wait()
                chunk = asyncio.create_task(more)
    except ConnectionError:  # the client left
        return False
    finally:
        for task in (chunk, change):
            task.cancel()
        await asyncio.gather(chunk, change, return_exceptions=True)
    return False


async def _deliver(
    road: Turns, call: Call, fate: Fate, data: bytes, response: web.StreamResponse
) -> bool:
    """Whether the watch goes on after these bytes; none are its end."""
    if fate.mute:
        return True
    if not data or not await road.passable(call):
        return False
    await response.write(data)
    return True
