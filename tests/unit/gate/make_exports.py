"""Writes SavedModels whose keys the exporter chose. Run as a program, with a folder.

A process of its own: TensorFlow's Python package warns on import and leaves threads behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import tensorflow as tf
import tf_keras


def twice_in_keras3(folder: Path) -> None:
    """The same code, exported twice in one process, as a training pipeline does."""
    for number in "12":
        one = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
        one.export(str(folder / f"one{number}"), verbose=False)
        a, b = keras.Input((4,)), keras.Input((6,), dtype="int32")
        joined = keras.layers.Concatenate()([a, keras.ops.cast(b, "float32")])
        two = keras.Model([a, b], keras.layers.Dense(2)(joined))
        two.export(str(folder / f"two{number}"), verbose=False)


def twice_in_keras2(folder: Path) -> None:
    for number in "12":
        a, b = tf_keras.Input((4,)), tf_keras.Input((4,))
        first = tf_keras.layers.Dense(2)(a + b)
        model = tf_keras.Model([a, b], [first, tf_keras.layers.Dense(3)(first)])
        tf.saved_model.save(model, str(folder / f"old{number}"))
        small = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        tf.saved_model.save(small, str(folder / f"small{number}"))


class Flattened(tf.Module):
    """One input, dense and in every form that the exporter takes apart."""

    @tf.function(input_signature=[tf.TensorSpec([None, 5], tf.float32)])
    def dense(self, x: tf.Tensor) -> dict:
        return {"y": tf.reduce_sum(x, 1)}

    @tf.function(input_signature=[tf.SparseTensorSpec([None, 5], tf.float32)])
    def sparse(self, x: tf.SparseTensor) -> dict:
        return {"y": tf.sparse.reduce_sum(x, 1)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
    def ragged(self, x: tf.RaggedTensor) -> dict:
        return {"y": tf.reduce_sum(x, 1)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None] * 4, tf.float32)])
    def ragged4(self, x: tf.RaggedTensor) -> dict:
        return {"y": tf.reduce_sum(x, [1, 2, 3])}


def flattened(folder: Path) -> None:
    module = Flattened()
    for name in ("dense", "sparse", "ragged", "ragged4"):
        given = {"serving_default": getattr(module, name)}
        tf.saved_model.save(module, str(folder / name), given)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    twice_in_keras3(target)
    twice_in_keras2(target)
    flattened(target)
