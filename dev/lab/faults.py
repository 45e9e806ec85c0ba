"""Versions that are well in every look from outside and go wrong once clients call them.

Neighbours: `models` saves them, `samples` says what each does. A fault is a part of the graph that
runs before an honest answer, and what clients see of it is the runtime's own doing. Imports
TensorFlow only where a graph is made.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lab.samples import TIRED, TIRES_BY

MICROSECONDS = 1_000_000


class Fault(Protocol):
    """Made while a model is made; `nought(first)`, of a request's first number, is 0.0 if all goes
    well. What is added to an answer cannot be left out of a graph as needless."""

    def nought(self, first: Any) -> Any: ...


class Refuses:
    """An assertion that one request in four breaks: INVALID_ARGUMENT, which is HTTP 400."""

    def nought(self, first: Any) -> Any:
        import tensorflow as tf

        right = tf.Assert(tf.not_equal(tf.math.floormod(first, 4.0), 0.0), [first])
        with tf.control_dependencies([right]):
            return tf.identity(0.0)


class Fails:
    """A packed table with one damaged row of four, unpacked when it is asked for: DATA_LOSS, which
    is HTTP 500. A checksum of the file would find nothing: the damage was exported."""

    def nought(self, first: Any) -> Any:
        import tensorflow as tf

        row = zlib.compress(struct.pack("<f", 0.0))
        rows = tf.constant([row[:2] + b"\xff\xff" + row[4:], row, row, row])
        wanted = tf.cast(tf.math.floormod(first, 4.0), tf.int32)
        unpacked = tf.io.decode_compressed(rows[wanted], "ZLIB")
        return tf.reshape(tf.io.decode_raw(unpacked, tf.float32), [])


class Tires:
    """Whatever it keeps of each request, the next one takes longer for it, up to a bound.

    It sleeps, because work would be slow or quick by the machine, and slow for stable as well.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        self.answered = tf.Variable(0, dtype="int64", name="answered")

    def nought(self, first: Any) -> Any:  # noqa: ARG002 - any request tires it
        import tensorflow as tf

        longer, longest = (int(seconds * MICROSECONDS) for seconds in (TIRES_BY, TIRED))
        answered = self.answered.assign_add(1, read_value=True)
        kind: Any = {"output_types": [tf.float32], "output_shapes": [[]]}
        whole = tf.raw_ops.TensorDataset(components=[tf.constant(0.0)], output_shapes=[[]])
        slow = tf.raw_ops.SleepDataset(
            input_dataset=whole,
            sleep_microseconds=tf.minimum(answered * longer, longest),
            **kind,
        )
        # Without this it would sleep once more before it says that there is nothing more.
        one = tf.raw_ops.TakeDataset(input_dataset=slow, count=tf.constant(1, tf.int64), **kind)
        return tf.raw_ops.DatasetToSingleElement(dataset=one, **kind)[0]


def calc(make: Callable[[], Fault]) -> Callable[[Path, int], None]:
    """Saves a CALC with this fault as a version."""

    def save(target: Path, version: int) -> None:
        import tensorflow as tf

        class Calc(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.fault = make()
                self.state = vars(self.fault)  # variables are found in modules and dicts only

            @tf.function(input_signature=[tf.TensorSpec([None], "float32", name="x")])  # type: ignore[untyped-decorator]
            def __call__(self, x: Any) -> dict[str, Any]:
                return {"y": x * 2 + version + self.fault.nought(x[0])}

        tf.saved_model.save(Calc(), str(target))

    return save


def flowers(make: Callable[[], Fault]) -> Callable[[Path, int], None]:
    """Saves a FLOWERS with this fault as a version, with the signatures that Keras exports."""

    def save(target: Path, version: int) -> None:
        import tensorflow as tf

        class Flowers(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.fault = make()
                self.state = vars(self.fault)

            @tf.function(input_signature=[tf.TensorSpec([None, 4], "float32", name="measurements")])  # type: ignore[untyped-decorator]
            def __call__(self, measurements: Any) -> dict[str, Any]:
                mean = tf.reduce_mean(measurements, axis=1, keepdims=True)
                offset = tf.constant([0.0, 1.0, 2.0]) + 10.0 * version
                scores = mean * tf.constant([1.0, 2.0, 3.0]) + offset
                scores += self.fault.nought(measurements[0, 0])
                return {"scores": scores, "best": tf.argmax(scores, axis=-1, output_type=tf.int32)}

        model = Flowers()
        both = {"serve": model.__call__, "serving_default": model.__call__}
        tf.saved_model.save(model, str(target), signatures=both)

    return save
