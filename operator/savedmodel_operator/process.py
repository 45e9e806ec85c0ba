"""The whole process: builds the parts, runs them, and ends them in the right order.

    kopf ──► objects ─┐                          ┌─► applier ─► API server
    informers ► cache ┼─► queue ─► reconciler ───┤
    sources, routers ─┘     (only while leading) └─► reporter

Ending: no new write, running cycles end between two actions, then the Lease is given back, so that
a successor begins at once. A part that ends by itself ends the process; Kubernetes starts it anew.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from savedmodel_operator.apply import Applier
from savedmodel_operator.cluster import ChildCache, Client, ObjectCache, Owner, ServerClock, Watches
from savedmodel_operator.cluster import connect as connection
from savedmodel_operator.cluster.crd import wait_for_crd
from savedmodel_operator.cluster.leases import ClusterLease
from savedmodel_operator.handlers import Transport
from savedmodel_operator.lease import Lease
from savedmodel_operator.observe import Observer, tools
from savedmodel_operator.queue import WorkQueue
from savedmodel_operator.reconcile import Reconciler
from savedmodel_operator.report import Reporter
from savedmodel_operator.settings import Settings
from savedmodel_operator.telemetry import HealthServer, Telemetry

log = logging.getLogger(__name__)

LAST_CYCLES = 10.0
"""Seconds that running cycles get to end; a pod has 30 in all."""

SWITCH_SECONDS = 0.0005
"""After which a thread that computes lets another one have Python's lock; 5 ms is Python's own.
Threads that read buckets compute between their answers, and the event loop asks for the lock anew
after each of its system calls: 200 small requests beside four such threads took 3.7 s, and take 1.1 s,
while the threads get no less done."""

SILENT_SECONDS = 300.0
"""A watch is heard every 60 s (bookmarks) and replaced after 70 s of silence. One that was silent
for longer, while other requests are answered, will not recover by itself."""


class Process:
    """One replica of the operator."""

    def __init__(self, settings: Settings, client: Client, telemetry: Telemetry) -> None:
        self._settings = settings
        self._client = client
        self._telemetry = telemetry
        self._stopping = asyncio.Event()
        self._executor = ThreadPoolExecutor(settings.storage_threads, "storage")
        self._objects = ObjectCache()
        self._children = ChildCache()
        self._queue: WorkQueue[Owner] = WorkQueue(self._cycle, settings.workers)
        self._watches = Watches(client, settings.namespaces, self._children, self._queue.add)
        self._lease = Lease(
            ClusterLease(client, settings.pod_namespace, settings.lease_name),
            settings.pod_name,
            self._leads,
        )
        self._transport = Transport(
            lambda: connection.identity(settings.kubeconfig),
            settings.namespaces,
            self._objects,
            self._queue.add,
        )
        self._observer = self._make_observer()
        self._reconciler = self._make_reconciler()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code: 1 where a part ended by itself."""
        health = HealthServer(self._telemetry, self._alive, self._unready)
        await health.start(self._settings.host, self._settings.port)
        self._listen_to_signals()
        try:
            return await self._run_parts()
        finally:
            await self._observer.close()
            self._executor.shutdown(wait=False, cancel_futures=True)
            await health.stop()

    def stop(self) -> None:
        """Ends `run` in good order."""
        self._stopping.set()

    async def _run_parts(self) -> int:
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        parts: set[asyncio.Task[Any]] = {stopping}
        try:
            if not await self._first(
                wait_for_crd(self._client, self._settings.namespaces), stopping
            ):
                return 0
            parts.add(asyncio.create_task(self._watches.run(), name="watches"))
            if not await self._first(self._watches.wait_synced(), *parts):
                return 0 if stopping.done() else self._why(parts)
            parts.add(asyncio.create_task(self._transport.run(), name="transport"))
            if not await self._first(self._transport.started.wait(), *parts):
                return 0 if stopping.done() else self._why(parts)
            self._listen_to_signals()  # kopf takes the signals over when it starts
            lease = asyncio.create_task(self._lease.run(), name="lease")
            queue = asyncio.create_task(self._queue.run(), name="queue")
            parts |= {lease, queue}
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            code = 0 if stopping.done() else self._why(parts)
            await self._hand_over(lease, queue)
            return code
        finally:
            self._transport.stop()
            await _end([p for p in parts if p.get_name() == "transport"], 5.0)
            await _end(list(parts), 0.0)

    async def _hand_over(self, lease: asyncio.Task[None], queue: asyncio.Task[None]) -> None:
        self._lease.stop_writing()
        self._queue.stop()
        await _end([queue], LAST_CYCLES)
        await _end([lease], 0.0)
        await self._lease.release()

    async def _first(self, wanted: Coroutine[Any, Any, Any], *others: asyncio.Task[Any]) -> bool:
        """Whether `wanted` was done before any of the others ended."""
        task = asyncio.create_task(wanted)
        await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return not any(o.done() for o in others)
        await _end([task], 0.0)
        return False

    def _why(self, parts: set[asyncio.Task[Any]]) -> int:
        for part in parts:
            if part.done() and not part.cancelled() and part.get_name() != "stop":
                log.critical("%s ended by itself", part.get_name(), exc_info=part.exception())
        return 1

    async def _cycle(self, key: Owner) -> Any:
        return await self._reconciler.cycle(key)

    def _leads(self, leading: bool) -> None:
        self._telemetry.leads(leading)
        for key in self._objects.names():
            if leading:
                self._queue.add(key)
            else:
                self._observer.forget(key)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    def _alive(self) -> list[str]:
        problems = self._telemetry.stuck(time.monotonic())
        silent, name = self._watches.oldest()
        if silent > SILENT_SECONDS and self._lease.leading:
            problems.append(f"the watch of {name} has been silent for {silent:.0f} s")
        return problems

    def _unready(self) -> list[str]:
        problems = [f"{name} not listed yet" for name in self._watches.waiting]
        if not self._transport.started.is_set():
            problems.append("SavedModelDeployments are not watched yet")
        return problems

    def _make_observer(self) -> Observer:
        return tools.make_observer(
            settings=self._settings,
            client=self._client,
            objects=self._objects,
            children=self._children,
            executor=self._executor,
            changed=self._queue.add,
            looked=self._telemetry.looked,
        )

    def _make_reconciler(self) -> Reconciler:
        applier = Applier(self._client, self._children, self._lease)
        reporter = Reporter(
            self._client, self._objects, applier, self._telemetry, self._settings.pod_name
        )
        return Reconciler(
            self._observer,
            self._client,
            applier,
            reporter,
            self._telemetry,
            lambda: self._lease.leading,
        )


async def _end(tasks: list[asyncio.Task[Any]], patience: float) -> None:
    """Waits for tasks, then cancels what is left; their results do not matter any more."""
    if not tasks:
        return
    if patience:
        await asyncio.wait(tasks, timeout=patience)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings) -> int:
    """The exit code of one replica's life."""
    sys.setswitchinterval(SWITCH_SECONDS)
    telemetry = Telemetry(settings.version)
    clock = ServerClock(time.monotonic)
    async with connection.connect(settings.kubeconfig, clock, telemetry.counted) as client:
        return await Process(settings, client, telemetry).run()
