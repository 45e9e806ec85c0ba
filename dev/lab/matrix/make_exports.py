"""One model, four features in and three scores out, by every exporter in use.

Called by `make`, in its process. The weights differ from export to export, as after a training;
names and shapes are what the exporter makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tf_keras  # type: ignore[import-untyped]

v1 = tf.compat.v1


def _keras3(named: bool) -> Any:
    features = keras.Input((4,), name="features" if named else None)
    return keras.Model(features, keras.layers.Dense(3)(features))


def _keras2() -> Any:
    return tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,), name="scores")])


def _keras2_save(path: str) -> None:
    model = _keras2()
    model.compile("sgd", "mse")
    tf_keras.models.save_model(model, path, save_format="tf")


def _module(path: str, as_dict: bool, name: str = "features") -> None:
    module = tf.Module()
    module.weight = tf.Variable(tf.ones([4, 3]))
    spec = tf.TensorSpec([None, 4], tf.float32, name=name)

    def serve(features: Any) -> Any:
        scores = features @ module.weight
        return {"scores": scores} if as_dict else scores

    module.serve = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, path)


def _tf1(path: str) -> None:
    builder = v1.saved_model.Builder(path)
    with v1.Session(graph=tf.Graph()) as session:
        features = v1.placeholder(tf.float32, [None, 4], "features")
        scores = features @ v1.get_variable("w", [4, 3])
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"features": features}, {"scores": scores})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
    builder.save()


EXPORTS: dict[str, Callable[[str], None]] = {
    "keras3-first": lambda path: _keras3(named=False).export(path, verbose=False),
    "keras3-again": lambda path: _keras3(named=False).export(path, verbose=False),
    "keras3-named": lambda path: _keras3(named=True).export(path, verbose=False),
    "keras3-saved": lambda path: tf.saved_model.save(_keras3(named=True), path),
    "keras2-save": _keras2_save,
    "keras2-export": lambda path: _keras2().export(path),
    "module-dict": lambda path: _module(path, as_dict=True),
    "module-tensor": lambda path: _module(path, as_dict=False),
    "module-inputs": lambda path: _module(path, as_dict=False, name="inputs"),
    "tf1": _tf1,
}
