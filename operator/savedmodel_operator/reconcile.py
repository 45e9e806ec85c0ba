"""One cycle of one object: observe → plan → apply → report. The shell around `plan.decide`.

Decides nothing about rollouts. It knows which failures become a condition (a person must act),
which are tried again (backoff), and which end the cycle quietly (another replica leads, the object
is gone). Status is written only when it differs, an Event follows each transition, and one line is
logged where something happened.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from savedmodel_operator import errors, status
from savedmodel_operator.api.parse import InvalidSpec, Meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.apply import Applier, Target
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import MODEL
from savedmodel_operator.observe import Observer
from savedmodel_operator.plan.actions import Create, Plan
from savedmodel_operator.plan.decide import decide
from savedmodel_operator.plan.snapshot import Snapshot
from savedmodel_operator.queue import Done
from savedmodel_operator.report import Reporter
from savedmodel_operator.telemetry import Telemetry

log = logging.getLogger(__name__)

BLOCKED_AGAIN = 60.0
"""Seconds until a blocked object is tried again without an event: the foreign Service may be
deleted, the Role granted, and nothing tells us."""

ACTING_AT_ONCE = 10
ACTING_PAUSE = 1.0
"""The longest chain of writes that wait for nothing is far shorter than ten cycles; more means a
quarrel with another writer, which must not become a hot loop."""

SHORTEST_SLEEP = 0.05
"""Seconds; a wake-up that is due already still leaves other objects their turn."""


@dataclass(frozen=True)
class Reconciler:
    """Runs cycles; `queue.WorkQueue` calls `cycle`."""

    observer: Observer
    client: Client
    applier: Applier
    reporter: Reporter
    telemetry: Telemetry
    leading: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic
    acted: dict[Owner, int] = field(default_factory=dict)  # cycles in a row that wrote something

    async def cycle(self, key: Owner) -> Done:
        """One look, and what follows from it. Never raises: a bug is logged with its stack."""
        if not self.leading():
            return Done()
        began = self.monotonic()
        self.telemetry.cycle_began(key, began)
        try:
            return await self._cycle(key)
        except errors.NotLeading:
            return Done()
        except errors.NamespaceTerminating:
            log.debug("%s/%s: the namespace is being deleted", *key)
            return Done(failed=True)
        except (errors.Conflict, errors.NotFound) as error:
            log.debug("%s/%s: looked again, because %s", *key, error.message)
            self.telemetry.cycle_failed(key, type(error).__name__)
            return Done(failed=True)
        except errors.ApiError as error:
            log.warning("%s/%s: %s", *key, error.message)
            self.telemetry.cycle_failed(key, type(error).__name__)
            return Done(after=error.retry_after, failed=True)
        except Exception:
            log.exception("%s/%s: bug in the cycle; it is tried again", *key)
            self.telemetry.cycle_failed(key, "Bug")
            return Done(failed=True)
        finally:
            self.telemetry.cycle_ended(key, self.monotonic() - began)

    async def _cycle(self, key: Owner) -> Done:
        meta = self.observer.meta(key)
        if meta is None or meta.deleting:
            # Owner references collect the children; there is nothing to do and nothing to keep.
            self._forget(key)
            return Done()
        try:
            snapshot = self.observer.observe(key)
            if snapshot is None:
                self._forget(key)
                return Done()
            flaps = self.applier.flaps(snapshot.namespace, snapshot.objects.values())
            plan = decide(replace(snapshot, flaps=flaps))
            if not await self._still_there(key, plan):
                return Done()
            target = Target(snapshot.namespace, snapshot.name, snapshot.uid)
            await self.applier.apply(target, plan.actions)
        except InvalidSpec as error:
            return await self._blocked(meta, Reason.InvalidSpec, error.message)
        except errors.Blocked as error:
            return await self._blocked(meta, error.reason, error.message)
        except errors.Invalid as error:
            return await self._blocked(meta, Reason.InvalidSpec, _refused(error))
        await self.reporter.report(meta, plan)
        if plan.sync:
            self.observer.sources.look_now(key)
        return self._next(key, snapshot, plan)

    def _next(self, key: Owner, snapshot: Snapshot, plan: Plan) -> Done:
        acted = self.acted.get(key, 0) + 1 if plan.actions else 0
        self.acted[key] = acted
        if 0 < acted <= ACTING_AT_ONCE:
            # Own writes wake nobody (the cache had them first), so look once more by ourselves.
            return Done(after=0.0)
        if acted:
            return Done(after=ACTING_PAUSE)
        if plan.wake_at is None:
            return Done()
        return Done(after=max(SHORTEST_SLEEP, plan.wake_at - snapshot.now))

    async def _still_there(self, key: Owner, plan: Plan) -> bool:
        """Whether the object really exists, asked before something is made for it.

        A deletion can pass unseen while a watch is broken, and children of a ghost would be made
        and collected in turn, forever.
        """
        if not any(isinstance(a, Create) for a in plan.actions):
            return True
        meta = self.observer.meta(key)
        try:
            body = await self.client.get(MODEL, *key)
        except errors.NotFound:
            body = None
        if body is not None:
            self.observer.objects.put(body)
        there = body is not None and meta is not None and body["metadata"]["uid"] == meta.uid
        if not there and meta is not None:
            self.observer.objects.drop(key, meta.uid)
            self._forget(key)
        return there

    async def _blocked(self, meta: Meta, reason: Reason, message: str) -> Done:
        now = self.observer.clock.now()
        body: Mapping[str, Any] = status.blocked(meta.status, meta.generation, reason, message, now)
        await self.reporter.blocked(meta, body, reason, message)
        return Done(after=BLOCKED_AGAIN)

    def _forget(self, key: Owner) -> None:
        self.observer.forget(key)
        self.reporter.forget(key)
        self.telemetry.forget(key)
        self.acted.pop(key, None)


def _refused(error: errors.Invalid) -> str:
    return f"the API server refuses what this spec leads to: {error.message}"
