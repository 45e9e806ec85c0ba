"""Which faults are on, and how often each struck. Used by the test's thread and the proxy's.

Neighbours: `api_proxy` hands handles out, `passage` asks what befalls a call. Nothing here acts.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lab.errors import LabError
from lab.injection.calls import Call, Match
from lab.injection.faults import Fault


class Injection:
    """One fault that is on until `remove` or the end of its block, or struck `times` times."""

    def __init__(
        self, fault: Fault, match: Match, times: int | None, changed: Callable[[], None]
    ) -> None:
        self.fault = fault
        self.match = match
        self._times = times
        self._changed = changed
        self._condition = threading.Condition()
        self._hits = 0
        self._on = True

    @property
    def hits(self) -> int:
        """How many calls it struck."""
        return self._hits

    @property
    def on(self) -> bool:
        """Not removed. One that struck as often as it should is on, but strikes no more."""
        return self._on

    def take(self, call: Call) -> bool:
        """Whether it strikes this call; counted if so."""
        with self._condition:
            spent = self._times is not None and self._hits >= self._times
            if not self._on or spent or not self.match.fits(call):
                return False
            self._hits += 1
            self._condition.notify_all()
        name = type(self.fault).__name__
        call.fault = f"{call.fault} {name}".strip()
        return True

    def wait(self, n: int = 1, timeout: float = 60.0) -> None:
        """Until it struck `n` times. Raises LabError."""
        deadline = time.monotonic() + timeout
        with self._condition:
            while self._hits < n:
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait(left):
                    raise LabError(
                        f"{self.fault} struck {self._hits} of {n} times in {timeout:.0f} s"
                    )

    def remove(self) -> None:
        """It strikes no more, and what waits for it goes on."""
        with self._condition:
            self._on = False
        self._changed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()
