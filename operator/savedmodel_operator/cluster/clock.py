"""The API server's time, carried forward by this machine's monotonic clock.

Every answer brings a `Date` header of whole seconds. Holds and deadlines are counted on this
clock, so that replicas on machines with other clocks agree and a jumped wall clock promotes
nothing early: after the first answer the clock runs with the monotonic one, and follows the
server's only at `MAX_SLEW`.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

MAX_SLEW = 0.01
"""A correction may be at most 1 % of the time since the last one: a hold of 5 minutes ends at
most 3 seconds early or late while a clock that jumped by an hour is followed."""


class ServerClock:
    """`now()` in Unix seconds, never going back. monotonic: seconds of a steady clock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._value: float | None = None
        self._at = 0.0

    @property
    def known(self) -> bool:
        """Whether the server was heard at least once."""
        return self._value is not None

    def now(self) -> float:
        """Unix seconds. Raises RuntimeError before the first answer, because any guess could
        end a hold early."""
        if self._value is None:
            raise RuntimeError("the API server's time is not known before its first answer")
        return self._value + (self._monotonic() - self._at)

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """One answer: its Date header, and when (monotonic) it was asked and received.

        The server wrote whole seconds D somewhere between: its clock read [D, D + 1).
        """
        stamp = _parse(date)
        if stamp is None:
            return
        mono = self._monotonic()
        low = stamp + (mono - received)
        high = stamp + 1.0 + (mono - sent)
        if self._value is None:
            self._value, self._at = (low + high) / 2, mono
            return
        elapsed = mono - self._at
        here = self._value + elapsed
        error = low - here if here < low else high - here if here > high else 0.0
        limit = MAX_SLEW * elapsed
        self._value, self._at = here + max(-limit, min(limit, error)), mono


def _parse(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None
