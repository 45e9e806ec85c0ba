"""Models that Keras writes: Keras 3 `export`, tf_keras 2 `save` and `export`, and what
`tf.saved_model.save` makes of either. Each function writes one model; `ORIGINS` says what wrote it.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import tf_keras


def k3_named(path: str) -> None:
    features = keras.Input((4,), name="features")
    keras.Model(features, keras.layers.Dense(3, name="scores")(features)).export(
        path, verbose=False
    )


def k3_unnamed(path: str) -> None:
    features = keras.Input((4,))
    keras.Model(features, keras.layers.Dense(3)(features)).export(path, verbose=False)


def k3_sequential(path: str) -> None:
    model = keras.Sequential([keras.layers.Dense(5, activation="relu"), keras.layers.Dense(2)])
    model.build((None, 7))
    model.export(path, verbose=False)


def k3_lists(path: str) -> None:
    first, second = keras.Input((4,)), keras.Input((2,), dtype="int32")
    joined = keras.layers.Concatenate()([first, keras.layers.Lambda(_cast)(second)])
    outputs = [keras.layers.Dense(1)(joined), keras.layers.Dense(3)(joined)]
    keras.Model([first, second], outputs).export(path, verbose=False)


def _cast(ids):
    return keras.ops.cast(ids, "float32")


def k3_dicts(path: str) -> None:
    inputs = {
        "features": keras.Input((4,), name="features"),
        "ids": keras.Input((2,), name="ids", dtype="int32"),
    }
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(inputs["ids"]))
    joined = keras.layers.Concatenate()([inputs["features"], embedded])
    outputs = {"score": keras.layers.Dense(1)(joined), "class": keras.layers.Dense(3)(joined)}
    keras.Model(inputs, outputs).export(path, verbose=False)


def k3_image(path: str) -> None:
    layers = keras.layers
    keras.Sequential([
        keras.Input((8, 8, 3), name="image"), layers.Rescaling(1 / 255.0), layers.Conv2D(4, 3),
        layers.BatchNormalization(), layers.Dropout(0.5), layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax"),
    ]).export(path, verbose=False)  # fmt: skip


def k3_recurrent(path: str) -> None:
    """A loop in the function library, and two open sizes."""
    words = keras.Input((None, 3), name="words")
    keras.Model(words, keras.layers.LSTM(4)(words)).export(path, verbose=False)


def k3_text(path: str) -> None:
    """A vocabulary, hence tables and an initialiser."""
    words = keras.Input((1,), dtype="string", name="words")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b", "c"])
    keras.Model(words, lookup(words)).export(path, verbose=False)


def k3_archive(path: str) -> None:
    """Endpoints of one's own, none of them called serving_default."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec([None, 4], tf.float32, name="x")
    archive.add_endpoint("score", model.call, input_signature=[spec])
    archive.add_endpoint("best", lambda x: tf.argmax(model(x), 1), input_signature=[spec])
    archive.write_out(path, verbose=False)


def k3_saved(path: str) -> None:
    features = keras.Input((4,), name="features")
    tf.saved_model.save(keras.Model(features, keras.layers.Dense(3)(features)), path)


def k3_mixed_precision(path: str) -> None:
    features = keras.Input((4,), name="features")
    dense = keras.layers.Dense(3, dtype=keras.DTypePolicy("mixed_bfloat16"))
    keras.Model(features, dense(features)).export(path, verbose=False)


def _keras2():
    return tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(5,), name="out")])


def k2_save(path: str) -> None:
    model = _keras2()
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 5)), np.zeros((2, 2)), verbose=0)  # with the optimizer's variables
    tf_keras.models.save_model(model, path, save_format="tf")


def k2_export(path: str) -> None:
    _keras2().export(path)


def k2_saved(path: str) -> None:
    tf.saved_model.save(_keras2(), path)


def k2_functional(path: str) -> None:
    first = tf_keras.Input((4,), name="first")
    second = tf_keras.Input((2,), name="second", dtype="int32")
    joined = tf_keras.layers.Concatenate()([first, tf.cast(second, tf.float32)])
    outputs = {"a": tf_keras.layers.Dense(1)(joined), "b": tf_keras.layers.Dense(3)(joined)}
    model = tf_keras.Model({"first": first, "second": second}, outputs)
    tf_keras.models.save_model(model, path, save_format="tf")


ORIGINS = {
    k3_named: "Keras 3 export",
    k3_unnamed: "Keras 3 export",
    k3_sequential: "Keras 3 export",
    k3_lists: "Keras 3 export",
    k3_dicts: "Keras 3 export",
    k3_image: "Keras 3 export",
    k3_recurrent: "Keras 3 export",
    k3_text: "Keras 3 export",
    k3_archive: "Keras 3 export",
    k3_mixed_precision: "Keras 3 export",
    k3_saved: "tf.saved_model.save of a Keras 3 model",
    k2_save: "Keras 2 save",
    k2_functional: "Keras 2 save",
    k2_export: "Keras 2 export",
    k2_saved: "tf.saved_model.save of a Keras 2 model",
}
