"""Writes the SavedModels that the tests of the development server load. Run as a program.

A process of its own, because TensorFlow's Python package warns on import and leaves threads
behind, and because nothing else in these tests needs it: the server itself does not import it.

    python make_serving_models.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

v1 = tf.compat.v1


def half_plus(folder: Path, addend: float) -> None:
    """y = x / 2 + addend under the names of TensorFlow Serving's own test model.

    Signatures, tensor names, shapes and method names as in
    servables/tensorflow/testdata/saved_model_half_plus_two_2_versions_metadata.json.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        half, plus = v1.Variable(0.5, name="a"), v1.Variable(addend, name="b")
        text = v1.placeholder(tf.string, name="tf_example")
        features = {key: tf.io.FixedLenFeature([1], tf.float32, [0.0]) for key in ("x", "x2")}
        parsed = v1.io.parse_example(text, features)
        parsed["x"].set_shape([None, 1])
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(tf.multiply(half, x), plus, name="y")
        x2 = v1.placeholder(tf.float32, [None, 1], name="x2")
        y3 = tf.add(tf.multiply(half, x2), v1.Variable(3.0, name="c"), name="y3")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info

        def signature(inputs: dict, outputs: dict, method: str) -> object:
            return v1.saved_model.build_signature_def(
                {key: info(value) for key, value in inputs.items()},
                {key: info(value) for key, value in outputs.items()},
                f"tensorflow/serving/{method}",
            )

        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signature({"x": x}, {"y": y}, "predict"),
                "regress_x_to_y": signature({"inputs": text}, {"outputs": y}, "regress"),
                "classify_x_to_y": signature({"inputs": text}, {"scores": y}, "classify"),
                "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, "regress"),
                "classify_x2_to_y3": signature({"inputs": x2}, {"scores": y3}, "classify"),
            },
        )
        builder.save()


class Zoo(tf.Module):
    """One signature per peculiarity."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)]
    )
    def two(self, text: tf.Tensor, count: tf.Tensor) -> dict:
        return {
            "joined_bytes": tf.strings.join([text, tf.strings.as_string(count)]),
            "next": count + 1,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def python(self, x: tf.Tensor) -> dict:
        return {"y": tf.py_function(lambda value: value + 1, [x], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def numpy(self, x: tf.Tensor) -> dict:
        return {"y": tf.numpy_function(lambda value: value + 1, [x], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def slow(self, rounds: tf.Tensor) -> dict:
        """Multiplies matrices as often as asked: a request whose length the test chooses."""
        start = tf.ones([64, 64], tf.float32)
        _, result = tf.while_loop(
            lambda i, _: i < rounds[0],
            lambda i, value: (i + 1, tf.matmul(value, start) / 64.0),
            (0, start),
            parallel_iterations=1,
        )
        return {"y": result[:1, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def wide(self, x: tf.Tensor) -> dict:
        return {"sum": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([2], tf.float32)])
    def pair(self, x: tf.Tensor) -> dict:
        return {"y": tf.linalg.matvec(tf.constant([[1.0, 2.0], [3.0, 4.0]]), x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.half)])
    def half(self, x: tf.Tensor) -> dict:
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def scalar(self, x: tf.Tensor) -> dict:
        return {"total": tf.reduce_sum(x)}


class Defaulted(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.float32)])
    def scale(self, x: tf.Tensor, factor: tf.Tensor = tf.constant(10.0)) -> dict:  # noqa: B008
        return {"y": x * factor}


def zoo(folder: Path) -> None:
    module = Zoo()
    names = ("two", "python", "numpy", "slow", "wide", "pair", "half", "scalar")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(folder), {"serving_default": module.wide, **signatures})


def dense(folder: Path) -> None:
    model = keras.Sequential([keras.layers.Input((3,), name="x"), keras.layers.Dense(2)])
    weights = [[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.5, -0.5]]
    model.layers[0].set_weights([np.array(value, np.float32) for value in weights])
    model.export(str(folder), verbose=False)


def warm_up(folder: Path, signature: str) -> None:
    """Two records of one Predict request, written by TensorFlow's own writer."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "warm"
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0]]))
    record = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    target = folder / "assets.extra" / "tf_serving_warmup_requests"
    target.parent.mkdir()
    with tf.io.TFRecordWriter(str(target)) as writer:
        for _ in range(2):
            writer.write(record.SerializeToString())


def main(root: Path) -> None:
    half_plus(root / "half" / "00000123", 2.0)
    half_plus(root / "half" / "124", 3.0)
    zoo(root / "zoo" / "1")
    defaulted = Defaulted()
    # Only a signature that is named explicitly is written with its defaults.
    tf.saved_model.save(defaulted, str(root / "defaulted" / "1"), defaulted.scale)
    dense(root / "dense" / "5")
    for name, signature in (("warm", "serving_default"), ("warm_failing", "absent")):
        shutil.copytree(root / "half" / "124", root / name / "1")
        warm_up(root / name / "1", signature)
    for name in ("cut", "shard_gone", "index_gone"):
        shutil.copytree(root / "half" / "124", root / name / "1")
    pb = root / "cut" / "1" / "saved_model.pb"
    pb.write_bytes(pb.read_bytes()[:-200])
    (root / "shard_gone" / "1" / "variables" / "variables.data-00000-of-00001").unlink()
    (root / "index_gone" / "1" / "variables" / "variables.index").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
