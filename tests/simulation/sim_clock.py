"""The virtual clock: an event heap with seeded delays; the invariants are asked after every event.

Neighbours: `sim_shell` and `sim_world` are built on it. Must not know what the events are.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

START = 1_800_000_000.0


class Clock:
    """Time passes from event to event; all chance comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = 0
        self.transcript: list[str] = []
        self.legs = 0  # waits of the story so far: where in it this is
        self.invariants: list[Callable[[Any], None]] = []  # about the world as it is
        self.duties: list[Callable[[Any], None]] = []  # about time and the operator's next look
        self._checked: tuple[object, ...] = ()
        self._looked: tuple[object, ...] = ()
        self._known: dict[str, Any] = {}

    def after(self, low: float, high: float, what: Callable[[], None]) -> None:
        """Let something happen between `low` and `high` seconds from now."""
        self.serial += 1
        delay = low + (high - low) * self.random.random()
        heapq.heappush(self.heap, (self.now + delay, self.serial, what))

    def run(self, until: Callable[[], bool], limit: float = 3600.0) -> None:
        """Let time pass until the condition holds; a world that stands still has failed."""
        end = self.now + limit
        self.legs += 1
        while not until():
            if not self.heap:
                raise AssertionError(f"nothing will ever happen again\n{self.tail()}")
            self.now, _, what = heapq.heappop(self.heap)
            if self.now > end:
                raise AssertionError(f"not reached in {limit} s of virtual time\n{self.tail()}")
            what()
            self._check()

    def settle(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        self.after(seconds, seconds, lambda: None)
        self.run(lambda: self.now >= end)

    def marks(self) -> tuple[object, ...]:
        """What changes whenever anything changes that an invariant may look at."""
        return ()

    def looks(self) -> tuple[object, ...]:
        """What else changes of what a duty looks at, but the time."""
        return (len(self.transcript),)

    def _check(self) -> None:
        marks, looks = self.marks(), self.looks()
        if marks != self._checked:
            self._checked, self._looked, self._known = marks, looks, {}
            for check in (*self.invariants, *self.duties):
                check(self)
        elif looks != self._looked:
            self._looked = looks
            for check in self.duties:
                check(self)

    def once(self, what: str, find: Callable[[Any], Any]) -> Any:
        """What several invariants ask about the same moment."""
        if what not in self._known:
            self._known[what] = find(self)
        return self._known[what]

    def note(self, text: str) -> None:
        """A line of the transcript: who did what."""
        self.transcript.append(f"{self.now - START:9.2f} {text}")

    def tail(self) -> str:
        """The end of the transcript, for a failing test."""
        return "\n".join(self.transcript[-40:])
