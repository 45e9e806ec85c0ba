"""Continuous clients at a steady rate, in a thread of their own.

    with Load(address, (Stream("rest", Transport.REST, question, rate=40),)) as load:
        …                                   # anything that should not be felt by clients
    load.record.summary().failed            # → 0

Neighbours: `clients` send, `record` keeps, demo and tests start and stop. Open loop: a request goes
out at its time whether or not earlier ones have been answered, as independent users do. Bounded in
number, in time and in requests under way. Must not know what happens in the cluster meanwhile.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from lab.clients import Client, Transport, connect
from lab.errors import LabError
from lab.questions import Question
from lab.record import Answer, Record


@dataclass(frozen=True)
class Stream:
    """One client: `rate` requests per second, never more than `at_most`."""

    name: str
    transport: Transport
    question: Question
    rate: float
    at_most: int = 100_000
    under_way: int = 64
    """Requests under way at once; beyond it the next ones wait and count as late."""
    timeout: float = 30.0
    """Seconds after which an unanswered request has failed."""


class Load:
    """Runs streams between `start` and `stop`; `record` may be read at any time."""

    #: Seconds that a run may last at most, whatever becomes of its owner.
    LONGEST = 1800.0

    def __init__(self, address: str, streams: Iterable[Stream]) -> None:
        self.address, self.streams = address, tuple(streams)
        self.record = Record()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> "Load":
        """Begin; returns once all clients are made, hence with TensorFlow imported."""
        self._thread.start()
        self._ready.wait(60)
        self._complain()
        return self

    def stop(self) -> Record:
        """No further requests; waits for those under way and gives back the record."""
        self._stopping.set()
        self._thread.join(max(stream.timeout for stream in self.streams) + 10)
        if self._thread.is_alive():
            raise LabError("the clients did not end in time")
        self._complain()
        return self.record

    def __enter__(self) -> "Load":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _complain(self) -> None:
        if self._error is not None:
            raise LabError(f"the clients broke: {self._error!r}") from self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:  # told to the thread that asks
            self._error = error
        finally:
            self._ready.set()

    async def _all(self) -> None:
        clients = [connect(s.transport, self.address, s.question, s.timeout) for s in self.streams]
        self._ready.set()
        try:
            async with asyncio.TaskGroup() as group:
                for stream, client in zip(self.streams, clients, strict=True):
                    group.create_task(self._paced(stream, client))
        finally:
            for client in clients:
                await client.close()

    async def _paced(self, stream: Stream, client: Client) -> None:
        loop = asyncio.get_running_loop()
        begin, slots = loop.time(), asyncio.Semaphore(stream.under_way)
        async with asyncio.TaskGroup() as group:
            for index in range(stream.at_most):
                due = begin + index / stream.rate
                while not self._stopping.is_set() and loop.time() < due:
                    await asyncio.sleep(min(0.1, max(0.0, due - loop.time())))
                if self._stopping.is_set() or loop.time() - begin > self.LONGEST:
                    return
                self.record.late += slots.locked()
                await slots.acquire()
                group.create_task(self._one(stream, client, index, slots))

    async def _one(
        self, stream: Stream, client: Client, index: int, slots: asyncio.Semaphore
    ) -> None:
        started = time.time()
        try:
            outcome = await client.ask(index)
        finally:
            slots.release()
        self.record.answers.append(
            Answer(
                stream.name,
                started,
                time.time(),
                outcome.version,
                outcome.revision,
                outcome.failure,
            )
        )
