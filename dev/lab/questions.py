"""Requests with known answers: each proves which version computed it.

Neighbours: `samples` has the arithmetic, `clients` sends what is made here. The bodies are those of
TF Serving's REST row format and of its own gRPC messages. Must not open a connection.
"""

import base64
import json
import os
import warnings
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np

from lab import samples

Arrays = Mapping[str, Any]

#: Relative. All sums are of small integers and quarters, so float32 is exact; this is for a server
#: that multiplies in another order.
TOLERANCE = 1e-5


class Question(Protocol):
    """A question that differs by its index, with the answer that a version has to give."""

    model: str

    def inputs(self, index: int) -> Arrays:
        """The tensors to send, by name; first dimension is the batch."""
        ...

    def outputs(self, index: int, version: int) -> Arrays:
        """The tensors that this version answers."""
        ...

    def rest(self, index: int) -> bytes:
        """The JSON body in row format."""
        ...


class FlowersQuestion:
    """Two flowers, four measurements each. The version may leave out `best`."""

    model = "flowers"

    def inputs(self, index: int) -> Arrays:
        row = [float((index * k) % 7) for k in (1, 2, 3, 5)]
        return {"measurements": np.array([row, row[::-1]], np.float32)}

    def outputs(self, index: int, version: int) -> Arrays:
        rows = self.inputs(index)["measurements"].tolist()
        answers = [samples.flowers(row, version) for row in rows]
        return {
            "scores": np.array([scores for scores, _ in answers], np.float32),
            "best": np.array([best for _, best in answers], np.int64),
        }

    def rest(self, index: int) -> bytes:
        return json.dumps({"instances": self.inputs(index)["measurements"].tolist()}).encode()


class CalcQuestion:
    """Two numbers."""

    model = "calc"

    def __init__(self, model: str = "calc") -> None:
        self.model = model

    def inputs(self, index: int) -> Arrays:
        return {"x": np.array([index % 97, -(index % 13)], np.float32)}

    def outputs(self, index: int, version: int) -> Arrays:
        values = [samples.calc(x, version) for x in self.inputs(index)["x"].tolist()]
        return {"y": np.array(values, np.float32)}

    def rest(self, index: int) -> bytes:
        return json.dumps({"instances": self.inputs(index)["x"].tolist()}).encode()


class WideQuestion:
    """As many numbers as `rows`: an answer that is large, some seven bytes of JSON for each."""

    def __init__(self, rows: int, model: str = "calc") -> None:
        self.model, self.rows = model, rows

    def inputs(self, index: int) -> Arrays:
        return {"x": (np.arange(self.rows) + index).astype(np.float32) % 997}

    def outputs(self, index: int, version: int) -> Arrays:
        return {"y": samples.calc(self.inputs(index)["x"], version)}

    def rest(self, index: int) -> bytes:
        return json.dumps({"instances": self.inputs(index)["x"].tolist()}).encode()


class BlobQuestion:
    """One string of `length` bytes: a large body with a cheap answer."""

    def __init__(self, length: int, model: str = "blob") -> None:
        self.model, self.length = model, length

    def inputs(self, index: int) -> Arrays:  # noqa: ARG002 - always the same
        return {"data": np.array([self._content], object)}

    def outputs(self, index: int, version: int) -> Arrays:  # noqa: ARG002
        return {"size": np.array([samples.blob(self.length, version)], np.int64)}

    def rest(self, index: int) -> bytes:  # noqa: ARG002
        return self._body

    @cached_property
    def _content(self) -> bytes:
        return b"0123456789abcdef" * (self.length // 16) + b"x" * (self.length % 16)

    @cached_property
    def _body(self) -> bytes:
        text = base64.b64encode(self._content).decode()
        return json.dumps({"instances": [{"b64": text}]}).encode()


def judge(question: Question, index: int, version: int, answer: Arrays) -> str | None:
    """What is wrong with an answer that came in the name of `version`; None: it is right."""
    for name, wanted in question.outputs(index, version).items():
        if name not in answer:
            return f"version {version} answered without '{name}'"
        seen = answer[name]
        if seen.shape != wanted.shape:
            return f"version {version}: '{name}' has shape {seen.shape}, not {wanted.shape}"
        if not np.allclose(seen, wanted, rtol=TOLERANCE):
            return f"version {version}: '{name}' is {seen.tolist()}, not {wanted.tolist()}"
    return None


def read_rest(question: Question, index: int, version: int, body: bytes) -> Arrays:
    """The tensors in a REST answer: bare values for one output, else an object per row.

    Raises ValueError, KeyError or TypeError for a body that is no such answer.
    """
    rows = json.loads(body)["predictions"]
    wanted = question.outputs(index, version)
    if rows and isinstance(rows[0], dict):
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {next(iter(wanted)): np.array(rows)}


@cache
def _serving() -> tuple[Any, Any]:
    """(tensorflow, predict_pb2): TF Serving's own messages, which need TensorFlow (2 s, 0.5 GB).

    Its C++ part greets on the second file descriptor, where a person is reading.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that TensorFlow imports
            import tensorflow as tf
            from tensorflow_serving.apis import predict_pb2
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)
    return tf, predict_pb2


def write_grpc(question: Question, index: int) -> bytes:
    """A PredictRequest, serialized."""
    tf, predict_pb2 = _serving()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = question.model
    for name, value in question.inputs(index).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    data: bytes = request.SerializeToString()
    return data


def read_grpc(body: bytes) -> Arrays:
    """The tensors in a serialized PredictResponse. Raises google.protobuf.message.DecodeError."""
    tf, predict_pb2 = _serving()
    response = predict_pb2.PredictResponse.FromString(body)
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
