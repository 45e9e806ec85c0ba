"""Who may act: one replica at a time, by a coordination.k8s.io Lease of our own.

    standby ──acquire──► leading ──renewed every 2 s──► leading
       ▲                    └── 10 s without renewal ──► may_write() is False
       └── lost to another, or released ─┘               (others wait 15 s from our last renewal)

`may_write()` is asked before every write and looks at the monotonic clock only: a replica that
was frozen or cut off stops by itself before another may begin. Durations are client-go's. Others'
clocks are never compared: a foreign Lease has run out when it did not change for its duration of
*our* monotonic time. Written anew because the client library's elector leaves the worker running
when renewal dies.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from savedmodel_operator import errors

log = logging.getLogger(__name__)

DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY = 2.0
"""Seconds: client-go's defaults 15/10/2. A hard crash costs at most DURATION + RETRY."""

Body = dict[str, Any]


class LeaseStore(Protocol):
    """The Lease object on the API server; raises the `errors.ApiError` family."""

    async def read(self) -> Body:
        """The object, or NotFound."""

    async def create(self, spec: Mapping[str, Any]) -> Body:
        """POST; AlreadyExists where another was quicker."""

    async def update(self, seen: Body, spec: Mapping[str, Any]) -> Body:
        """PUT over exactly what was seen; Conflict where another was quicker."""


class Lease:
    """One candidate for leadership.

    `changed` is called at each beginning and end of leading, and with True once more where a
    renewal came so late that no write was allowed before it.
    """

    def __init__(
        self,
        store: LeaseStore,
        holder: str,
        changed: Callable[[bool], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._holder = holder
        self._changed = changed
        self._monotonic = monotonic
        self._now = now
        self._chance = chance
        self._seen: Body | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None
        self._leading = False
        self._stopping = False

    @property
    def leading(self) -> bool:
        """Whether we hold the Lease, as far as `may_write` knows."""
        return self._leading and self.may_write()

    def may_write(self) -> bool:
        """Whether a write may begin now."""
        return not self._stopping and self.remaining() > DURATION - RENEW_DEADLINE

    def remaining(self) -> float:
        """Seconds until another replica may act; a write must have ended by then."""
        if self._renewed_at is None:
            return 0.0
        return max(0.0, self._renewed_at + DURATION - self._monotonic())

    def stop_writing(self) -> None:
        """No write begins any more; the Lease itself is held until `release`."""
        self._stopping = True

    async def run(self) -> None:
        """Acquires and renews until cancelled."""
        while True:
            try:
                # Longer than this, and a renewal that hangs would outlive what it renews.
                await asyncio.wait_for(self._attempt(), RENEW_DEADLINE)
            except (errors.ApiError, TimeoutError) as error:
                log.debug("lease: %s", error)
            self._settle()
            await asyncio.sleep(RETRY * (1.0 + 0.1 * self._chance()))

    async def release(self) -> None:
        """Gives the Lease back, so that a successor needs not wait for it to run out."""
        held = self._renewed_at is not None
        self.stop_writing()
        self._lost()
        self._settle()
        if not held:
            return
        try:
            await asyncio.wait_for(self._give_back(), RETRY)
        except (errors.ApiError, TimeoutError) as error:
            log.warning("lease not released, a successor waits %d s: %s", DURATION, error)

    async def _give_back(self) -> None:
        """Reads first: a renewal may have been cut off after the server had written it."""
        found = await self._store.read()
        if (found.get("spec") or {}).get("holderIdentity") == self._holder:
            spec = {**found["spec"], "holderIdentity": "", "renewTime": self._stamp()}
            await self._store.update(found, spec)

    async def _attempt(self) -> None:
        if self._stopping:
            return
        if (
            self._renewed_at is not None
            and self._seen is not None
            and await self._write(self._seen)
        ):
            return
        # Not ours yet, or it is another version than we saw: a lost answer, or a lost race.
        try:
            found = await self._store.read()
        except errors.NotFound:
            if not await self._write(None):
                self._lost()
            return
        self._look(found)
        if not self._free(found) or not await self._write(found):
            self._lost()

    async def _write(self, seen: Body | None) -> bool:
        """Takes or renews; False where another was quicker."""
        began = self._monotonic()
        spec = self._spec(seen)
        try:
            body = await (
                self._store.create(spec) if seen is None else self._store.update(seen, spec)
            )
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            return False
        self._look(body)
        late = self._leading and not self._stopping and not self.may_write()
        # From the beginning of the request: the server may have written right then.
        self._renewed_at = began
        if late:
            # Nobody else had it, so leading did not end; but who asked in between was turned away.
            self._changed(True)
        return True

    def _lost(self) -> None:
        self._renewed_at = None

    def _look(self, found: Body) -> None:
        version = found["metadata"]["resourceVersion"]
        if self._seen is None or self._seen["metadata"]["resourceVersion"] != version:
            self._seen_at = self._monotonic()
        self._seen = found

    def _free(self, found: Body) -> bool:
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._holder):
            return True
        duration = float(spec.get("leaseDurationSeconds") or DURATION)
        return self._monotonic() - self._seen_at > duration

    def _spec(self, seen: Body | None) -> Body:
        old = (seen or {}).get("spec") or {}
        ours = old.get("holderIdentity") == self._holder
        stamp = self._stamp()
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": old.get("acquireTime", stamp) if ours else stamp,
            "renewTime": stamp,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if ours else 1),
        }

    def _stamp(self) -> str:
        """MicroTime. For people only: nobody compares it."""
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _settle(self) -> None:
        leading = self.may_write()
        if self._renewed_at is not None and self.remaining() <= 0.0:
            self._renewed_at = None  # run out: others may have it now, so look before writing
        if leading != self._leading:
            self._leading = leading
            log.info("leader: %s, identity %s", "yes" if leading else "no", self._holder)
            self._changed(leading)
