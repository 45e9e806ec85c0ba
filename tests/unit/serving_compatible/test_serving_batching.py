"""Batches are formed, split and refused as TensorFlow Serving does it.

Vectors: batching/batching_session_test.cc and batching_util.h of TensorFlow Serving; limits and
words of the queue: tensorflow/core/kernels/batching_util/shared_batch_scheduler.h.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving_compatible import protos
from tensorflow_serving_compatible.batching import (
    BatchedSession,
    Scheduler,
    Task,
    batch_size,
    merge,
    parameters,
    split,
)
from tensorflow_serving_compatible.errors import Code, StatusError
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.tensors import Tensor

FLOAT = protos.types_pb2.DT_FLOAT


def floats(shape, values):
    return Tensor(FLOAT, shape, np.array(values, "f4"))


def task(shape, values, dtype="f4"):
    tensor = Tensor(FLOAT, shape, np.array(values, dtype))
    return Task({"x": tensor}, shape[0], 0, 0.0)


def test_merge_and_split():
    """AllowedBatchSizesRequirePadding: the last task's first row pads."""
    tasks = [task((1, 2), [1, 2]), task((2, 2), [3, 4, 5, 6])]
    merged = merge("x", tasks, 1)
    assert merged.shape == (4, 2)
    assert merged.values.tolist() == [1, 2, 3, 4, 5, 6, 3, 4]
    split("y", merged, tasks, 1)
    assert [entry.outputs["y"].values.tolist() for entry in tasks] == [[1, 2], [3, 4, 5, 6]]


def test_tasks_that_do_not_fit_together():
    with pytest.raises(StatusError, match="different shapes and padding is turned off"):
        merge("x", [task((1, 2), [1, 2]), task((1, 1), [1])], 0)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (floats((), [1]), "Batched output tensor has 0 dimensions"),
        (floats((3,), [1, 2, 3]), "Batched output tensor's 0th dimension does not equal the sum"),
    ],
)
def test_outputs_that_cannot_be_split(tensor, words):
    with pytest.raises(StatusError, match=words):
        split("y", tensor, [task((2,), [1, 2])], 0)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([], "Batching Run() must have at least one input tensor"),
        ([()], "Batching Run() input tensors must have at least one dimension"),
        ([(2,), (3,)], "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_inputs_that_cannot_be_batched(shapes, words):
    feeds = [(str(n), floats(shape, [0] * int(np.prod(shape)))) for n, shape in enumerate(shapes)]
    with pytest.raises(StatusError) as caught:
        batch_size(feeds)
    assert caught.value.message == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]",
         "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
         "expected 8"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative"),
        ("pad_variable_length_inputs: true", "not implemented by tensorflow-serving-compatible"),
        ("enable_large_batch_splitting { value: true }", "not implemented by"),
    ],
)  # fmt: skip
def test_batching_parameters_that_are_refused(text, words):
    with pytest.raises(StatusError) as caught:
        parameters(text_format.Parse(text, protos.BatchingParameters()))
    assert words in caught.value.message


class Doubling:
    """A session that doubles its input once it may, and counts its runs."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.entered, self.may_go = threading.Semaphore(0), threading.Event()

    def run(self, feeds, fetches, timeout_ms=0):
        tensor = feeds[0][1]
        self.runs.append(tensor.shape[0])
        self.entered.release()
        assert self.may_go.wait(30)
        return [Tensor(tensor.dtype, tensor.shape, tensor.values * 2) for _ in fetches]


def test_a_full_queue_is_unavailable():
    """One batch runs, one waits and is full: the next task finds no room."""
    text = (
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 } batch_timeout_micros { value: 0 }"
    )
    options = parameters(text_format.Parse(text, protos.BatchingParameters()))
    inner = Doubling()
    scheduler = Scheduler(options, Metrics())
    session = BatchedSession(inner, scheduler)
    answers = []

    def call():
        answers.append(session.run([("x", floats((1,), [3]))], ["y"])[0].values.tolist())

    first = threading.Thread(target=call)
    first.start()
    assert inner.entered.acquire(timeout=30)
    waiting = Task({"x": floats((1,), [5])}, 1, 0, 0.0)
    scheduler.schedule(inner, (("x",), ("y",)), waiting)
    with pytest.raises(StatusError) as caught:
        session.run([("x", floats((1,), [4]))], ["y"])
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.message == (
        "The batch scheduling queue to which this task was submitted is full; task size is 1 but "
        "scheduling capacity is only 0 (num_enqueued_batches=1, max_enqueued_batches=1, "
        "open_batch_size=1, max_execution_batch_size=1)"
    )
    inner.may_go.set()
    first.join(30)
    assert waiting.done.wait(30)
    assert answers == [[6.0]]
    assert waiting.outputs["y"].values.tolist() == [10.0]
