"""Running a SavedModel in this process with TensorFlow's session loader (the extra `check`).

The loader of TF1 is used because it is what Serving's session does: defaults of inputs are
honoured, which TF2's callables do not (facts §5). The model's ops run with the rights of the
caller. Still not Serving: Python ops have kernels here and none there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from savedmodel_operator.client.arrays import Array
from savedmodel_operator.client.errors import NoAnswerError, RefusedError, load, shorten
from savedmodel_operator.client.tensor_proto import from_proto


def run_local(
    folder: Path, tags: Sequence[str], name: str, feeds: Mapping[str, Array]
) -> dict[str, Array]:
    """The dense outputs of signature `name` for these inputs, defaults filled in.

    Raises MissingExtraError without TensorFlow, NoAnswerError where the model does not load,
    RefusedError where the run fails.
    """
    with _quiet():
        tf = load("tensorflow", "check", "running a model on this machine")
    tf.get_logger().setLevel("ERROR")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        try:
            meta = tf.compat.v1.saved_model.loader.load(session, list(tags), str(folder))
        except (tf.errors.OpError, ValueError, RuntimeError, OSError) as error:
            raise NoAnswerError(f"TensorFlow cannot load {folder}: {_words(error)}") from None
        signature = meta.signature_def[name]
        given = {
            signature.inputs[key].name: array
            for key, array in {**_defaults(signature, feeds), **feeds}.items()
        }
        wanted = {
            key: info.name
            for key, info in sorted(signature.outputs.items())
            if info.WhichOneof("encoding") == "name"
        }
        try:
            found = session.run(wanted, given)
        except (tf.errors.OpError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise RefusedError(f"TensorFlow cannot run {name!r}: {_words(error)}") from None
    return {key: _array(value) for key, value in found.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without stderr: TensorFlow greets there while it is imported, whatever the log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _defaults(signature: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The values that Serving feeds for inputs that a request leaves out."""
    return {
        key: from_proto(value)[1] for key, value in signature.defaults.items() if key not in feeds
    }


def _array(value: Any) -> Array:
    """Session results are arrays, but a scalar string is bare bytes."""
    import numpy as np

    if isinstance(value, bytes):
        found = np.empty((), dtype=object)
        found[()] = value
        return found
    array: Array = np.asarray(value)
    return array


def _words(error: Exception) -> str:
    """The first lines of TensorFlow's message; a node's Python traceback of the export follows."""
    text = getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return shorten(" ".join(lines[:2])) or type(error).__name__
