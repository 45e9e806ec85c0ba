"""Batching: many runs of one signature as one run of the session, along dimension 0.

Behaviour of batching/batching_session.cc over a shared_batch_scheduler: a queue per set of input
and output tensors, a batch that closes when it is full or its first task has waited
`batch_timeout_micros`, `num_batch_threads` threads for all models, and UNAVAILABLE when
`max_enqueued_batches` are waiting. What has no honest counterpart here
(`enable_large_batch_splitting`, `pad_variable_length_inputs`) is refused at start.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tensorflow_serving_compatible.errors import (
    Code,
    StatusError,
    failed_precondition,
    invalid_argument,
)
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.model import Session
from tensorflow_serving_compatible.tensors import DT_STRING, Tensor

Feeds = Sequence[tuple[str, Tensor]]
# (input tensors, output tensors): what may share a batch.
Signature = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Parameters:
    """SharedBatchScheduler's options; the defaults are those of shared_batch_scheduler.h."""

    max_batch_size: int = 1000
    timeout_micros: int = 0
    max_enqueued: int = 10
    threads: int = 0
    thread_pool_name: str = ""
    allowed_sizes: tuple[int, ...] = ()


def parameters(message: Any) -> Parameters:
    """From a BatchingParameters message. Raises StatusError for what cannot be honoured."""
    if message.pad_variable_length_inputs or message.enable_large_batch_splitting.value:
        raise invalid_argument(
            "pad_variable_length_inputs and enable_large_batch_splitting are not implemented by "
            "tensorflow-serving-compatible, which is for development and tests only"
        )

    def value(name: str, default: int) -> int:
        return int(getattr(message, name).value) if message.HasField(name) else default

    made = Parameters(
        value("max_batch_size", Parameters.max_batch_size),
        value("batch_timeout_micros", Parameters.timeout_micros),
        value("max_enqueued_batches", Parameters.max_enqueued),
        value("num_batch_threads", len(os.sched_getaffinity(0))),
        message.thread_pool_name.value,
        tuple(message.allowed_batch_sizes),
    )
    _check(made)
    return made


def _check(made: Parameters) -> None:
    if made.allowed_sizes and made.allowed_sizes[-1] != made.max_batch_size:
        raise invalid_argument(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{made.allowed_sizes[-1]}; expected {made.max_batch_size}"
        )
    if made.threads < 1:
        raise invalid_argument(f"num_batch_threads must be positive; was {made.threads}")
    if made.max_batch_size < 1:
        raise invalid_argument(
            f"input_batch_size_limit must be positive; was {made.max_batch_size}"
        )
    if made.timeout_micros < 0:
        raise invalid_argument(
            f"batch_timeout_micros must be non-negative; was {made.timeout_micros}"
        )
    if made.max_enqueued < 1:
        raise invalid_argument(f"max_enqueued_batches must be positive; was {made.max_enqueued}")


@dataclass
class Task:
    feeds: dict[str, Tensor]
    size: int
    timeout_ms: int
    enqueued: float
    done: threading.Event = field(default_factory=threading.Event)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    error: BaseException | None = None


@dataclass
class Batch:
    session: Session
    signature: Signature
    deadline: float
    tasks: list[Task] = field(default_factory=list)
    closed: bool = False

    @property
    def size(self) -> int:
        return sum(task.size for task in self.tasks)


class Scheduler:
    """The queue and the threads that all batched sessions of the process share."""

    def __init__(self, options: Parameters, metrics: Metrics) -> None:
        self._options, self._metrics = options, metrics
        self._changed = threading.Condition()
        self._waiting: deque[Batch] = deque()
        for index in range(options.threads):
            threading.Thread(
                target=self._work, name=f"{options.thread_pool_name}-{index}", daemon=True
            ).start()

    def schedule(self, session: Session, signature: Signature, task: Task) -> None:
        """Puts a task into an open batch or a new one. Raises StatusError."""
        limit = self._options.max_batch_size
        if task.size > limit:
            raise invalid_argument(
                f"Task size {task.size} is larger than maximum input batch size {limit}"
            )
        with self._changed:
            mine = [b for b in self._waiting if b.session is session and b.signature == signature]
            batch = mine[-1] if mine and not mine[-1].closed else None
            if batch is None or batch.size + task.size > limit:
                if len(mine) >= self._options.max_enqueued:
                    raise self._full(task, mine)
                if batch is not None:
                    batch.closed = True
                deadline = task.enqueued + self._options.timeout_micros / 1e6
                batch = Batch(session, signature, deadline)
                self._waiting.append(batch)
            batch.tasks.append(task)
            batch.closed = batch.size >= limit
            self._changed.notify()

    def _full(self, task: Task, mine: Sequence[Batch]) -> StatusError:
        limit, most = self._options.max_batch_size, self._options.max_enqueued
        capacity = (most - len(mine)) * limit + limit - mine[-1].size
        return StatusError(
            Code.UNAVAILABLE,
            "The batch scheduling queue to which this task was submitted is full; task size is "
            f"{task.size} but scheduling capacity is only {capacity} "
            f"(num_enqueued_batches={len(mine)}, max_enqueued_batches={most}, "
            f"open_batch_size={mine[-1].size}, max_execution_batch_size={limit})",
        )

    def _work(self) -> None:
        while True:
            batch = self._next()
            try:
                self._process(batch)
            except BaseException as error:
                for task in batch.tasks:
                    task.error = error
            finally:
                for task in batch.tasks:
                    task.done.set()

    def _next(self) -> Batch:
        """The oldest batch that is full or has waited long enough."""
        with self._changed:
            while True:
                now = time.monotonic()
                for batch in self._waiting:
                    if batch.closed or batch.deadline <= now:
                        self._waiting.remove(batch)
                        self._changed.notify()  # someone else watches the next deadline
                        return batch
                soonest = min((batch.deadline for batch in self._waiting), default=None)
                self._changed.wait(None if soonest is None else max(soonest - now, 0))

    def _process(self, batch: Batch) -> None:
        now = time.monotonic()
        left = []
        for task in batch.tasks:
            waited = now - task.enqueued
            # WrapSessionForBatching names no thread pool, so the label is always empty.
            self._metrics.queuing_latency.add(int(waited * 1e6), "")
            left.append(task.timeout_ms - waited * 1e3 if task.timeout_ms else float("inf"))
        if max(left) <= 0:
            raise StatusError(
                Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue"
            )
        timeout = 0 if max(left) == float("inf") else max(int(max(left)), 1)
        padding = self._padded(batch.size) - batch.size
        names, outputs = batch.signature
        feeds = [(name, merge(name, batch.tasks, padding)) for name in names]
        results = batch.session.run(feeds, outputs, timeout)
        self._metrics.batched_runs.add(1)
        for name, tensor in zip(outputs, results, strict=True):
            split(name, tensor, batch.tasks, padding)

    def _padded(self, size: int) -> int:
        """The smallest allowed batch size that holds `size`."""
        return next((s for s in self._options.allowed_sizes if s >= size), size)


def merge(name: str, tasks: Sequence[Task], padding: int) -> Tensor:
    """The tasks' tensors one after the other, padded with the last task's first row."""
    tensors = [task.feeds[name] for task in tasks]
    first = tensors[0]
    if any(tensor.shape[1:] != first.shape[1:] for tensor in tensors):
        raise failed_precondition(
            f"Tensors with name '{name}' from different tasks have different shapes and padding "
            "is turned off. Set pad_variable_length_inputs to true, or ensure that all tensors "
            "with the same name have equal dimensions starting with the first dim."
        )
    if any(tensor.dtype != first.dtype for tensor in tensors):
        raise StatusError(
            Code.INTERNAL,
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that "
            "have different data types.",
        )
    row = Tensor(0, first.shape[1:], ()).size
    parts = [tensor.values for tensor in tensors]
    parts += [tensors[-1].values[:row]] * padding
    count = sum(tensor.shape[0] for tensor in tensors) + padding
    if first.dtype == DT_STRING:
        values: Any = [value for part in parts for value in part]
    else:
        values = np.concatenate(parts)
    return Tensor(first.dtype, (count, *first.shape[1:]), values)


def split(name: str, tensor: Tensor, tasks: Sequence[Task], padding: int) -> None:
    """Gives each task its rows of an output."""
    if not tensor.shape:
        raise failed_precondition("Batched output tensor has 0 dimensions")
    if tensor.shape[0] != sum(task.size for task in tasks) + padding:
        raise failed_precondition(
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors"
        )
    row = Tensor(0, tensor.shape[1:], ()).size
    at = 0
    for task in tasks:
        end = at + task.size * row
        shape = (task.size, *tensor.shape[1:])
        task.outputs[name] = Tensor(tensor.dtype, shape, tensor.values[at:end])
        at = end


class BatchedSession:
    """Session::Run of a model whose runs are batched."""

    def __init__(self, session: Session, scheduler: Scheduler) -> None:
        self._session, self._scheduler = session, scheduler

    def run(self, feeds: Feeds, fetches: Sequence[str], timeout_ms: int = 0) -> list[Tensor]:
        task = Task(dict(feeds), batch_size(feeds), timeout_ms, time.monotonic())
        signature = (tuple(sorted(task.feeds)), tuple(sorted(set(fetches))))
        self._scheduler.schedule(self._session, signature, task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        return [task.outputs[name] for name in fetches]


def batch_size(feeds: Feeds) -> int:
    """The common first dimension. Raises StatusError where there is none."""
    if not feeds:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    sizes = set()
    for _, tensor in feeds:
        if not tensor.shape:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        sizes.add(tensor.shape[0])
    if len(sizes) > 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return int(sizes.pop())
