"""Writes the models that `savedmodel run` and `openapi` are tried on. Run as a program.

    python make_run_models.py FOLDER

A process of its own: TensorFlow's Python package warns on import and leaves threads behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1

DTYPES = (
    "bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "int16",
    "int32", "int64", "int8", "string", "uint16", "uint32", "uint64", "uint8",
)  # fmt: skip


def echo(folder: Path) -> None:
    """A signature of each type's name that gives back its input."""
    module, signatures = tf.Module(), {}
    for name in DTYPES:
        spec = tf.TensorSpec([None], tf.as_dtype(name), name="x")
        made = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])
        setattr(module, f"echo_{name}", made)
        signatures[name] = made
    tf.saved_model.save(module, str(folder), signatures)


def shapes(folder: Path) -> None:
    """Shapes that are hard to describe: unknown rank, scalar, fixed batch, several of a kind."""
    module = tf.Module()

    def add(name: str, *specs: tf.TensorSpec) -> None:
        @tf.function(input_signature=list(specs))
        def call(*given: tf.Tensor) -> dict:
            return {f"o{i}": tf.identity(value) for i, value in enumerate(given)}

        setattr(module, name, call)
        signatures[name] = call

    signatures: dict = {}
    real, whole = tf.float32, tf.int32
    add("anyrank", tf.TensorSpec(None, real, name="x"))
    add("scalar", tf.TensorSpec([], real, name="x"))
    add("fixed", tf.TensorSpec([2, 3], real, name="x"))
    add("matrix", tf.TensorSpec([None, None], whole, name="x"))
    add("pair", tf.TensorSpec([None, 2], real, name="a"), tf.TensorSpec([None], tf.bool, name="b"))
    add("uneven", tf.TensorSpec([2], real, name="a"), tf.TensorSpec([3], real, name="b"))
    add("raw_bytes", tf.TensorSpec([None, 1], tf.string, name="x"))
    add("image", tf.TensorSpec([None, 8, 8, 3], tf.uint8, name="x"))
    add("odd name/é", tf.TensorSpec([None], real, name="x"))

    @tf.function(input_signature=[tf.TensorSpec([None], real, name="x")])
    def nan(x: tf.Tensor) -> dict:
        return {"bad": x / 0.0 - x / 0.0, "large": x / 0.0, "thumb_bytes": tf.strings.as_string(x)}

    module.nan, signatures["nan"] = nan, nan
    tf.saved_model.save(module, str(folder), signatures)


def names(folder: Path) -> None:
    """Names that only a TF1 builder can give: they must not become paths."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        text = v1.placeholder(tf.string, [None], name="text")
        make = v1.saved_model.signature_def_utils.predict_signature_def
        features = {"age": tf.io.FixedLenFeature([], tf.float32, 1.0)}
        serialized = v1.placeholder(tf.string, [None], name="serialized")
        age = v1.io.parse_example(serialized, features)["age"]
        both = tf.stack([age, age * 2], axis=1)
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": make({"x": x}, {"../evil": x + 1}),
                "text": make({"text": text}, {"out": tf.strings.join([text, tf.constant("\0")])}),
                "classify": v1.saved_model.classification_signature_def(
                    serialized, tf.strings.as_string(both), both
                ),
                "regress": v1.saved_model.regression_signature_def(serialized, age * 3),
            },
        )
        builder.save()


def main(root: Path) -> None:
    echo(root / "echo" / "7")
    shapes(root / "shapes" / "1")
    names(root / "names" / "1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
