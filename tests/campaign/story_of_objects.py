"""How the status of SavedModelDeployments went on, as a watcher saw it, for many objects at once.

A thread of its own, so that blocking tests follow while they wait. Keeps what tests ask for and not
whole objects. Neighbours: `many_requests` watches.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from many_requests import Body, connect

PATIENCE = 240.0


@dataclass(frozen=True)
class Moment:
    """What an event told. `at`: monotonic seconds of its arrival; weight and step: the candidate's."""

    at: float
    generation: int
    observed: int
    phase: str
    stable: int | None
    candidate: int | None
    weight: int | None
    step: int | None
    message: str


class Stories:
    """Moments by the object's name; a context manager."""

    def __init__(self, kubeconfig: Path, path: str) -> None:
        self._kubeconfig = kubeconfig
        self._path = path
        self._told = threading.Condition()
        self._moments: dict[str, list[Moment]] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="stories")

    def __enter__(self) -> Stories:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def of(self, name: str) -> list[Moment]:
        """All so far."""
        with self._told:
            return list(self._moments.get(name, ()))

    def wait(
        self, name: str, done: Callable[[Moment], bool], what: str, patience: float = PATIENCE
    ) -> Moment:
        """The last moment of an object, once it is as wanted."""
        until = time.monotonic() + patience
        with self._told:
            while True:
                told = self._moments.get(name)
                if told and done(told[-1]):
                    return told[-1]
                left = until - time.monotonic()
                last = told[-1] if told else None
                assert left > 0, f"{name}: no {what} within {patience:.0f} s; last: {last}"
                self._told.wait(left)

    def _run(self) -> None:
        self._loop.run_until_complete(self._follow())
        self._loop.close()

    async def _follow(self) -> None:
        async with connect(self._kubeconfig) as api:
            watch = asyncio.create_task(api.follow(self._path, "", self._heard))
            await self._stop.wait()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    def _heard(self, _kind: str, body: Body) -> None:
        moment = _moment(body)
        name = body["metadata"]["name"]
        with self._told:
            self._moments.setdefault(name, []).append(moment)
            self._told.notify_all()


def _moment(body: Body) -> Moment:
    status = body.get("status") or {}
    stable, candidate = (status.get(role) or {} for role in ("stable", "candidate"))
    return Moment(
        at=time.monotonic(),
        generation=int(body["metadata"]["generation"]),
        observed=int(status.get("observedGeneration", -1)),
        phase=str(status.get("phase", "")),
        stable=stable.get("number"),
        candidate=candidate.get("number"),
        weight=candidate.get("weight"),
        step=candidate.get("step"),
        message=str(status.get("message", "")),
    )
