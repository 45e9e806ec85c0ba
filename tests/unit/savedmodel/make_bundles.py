"""Writes variable bundles by TensorFlow's own writer: `make_bundles.py FOLDER`.

One folder per case, each with variables/variables.index and shards, of every kind of tensor whose
checksum is computed in another way: numbers of all types, strings, variants, slices.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

NUMBERS = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
    "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "qint8", "quint8", "qint32",
    "float8_e5m2", "float8_e4m3fn", "int4", "uint4",
)  # fmt: skip
TEXTS = ["", "a", "é" * 100, "x" * 20_000, "\0\1\2", *(f"word {i}" for i in range(70_000))]


def numbers() -> dict[str, tf.Tensor]:
    values = np.arange(1, 8).reshape([7, 1])
    found = {k: tf.constant(values.astype(tf.as_dtype(k).as_numpy_dtype)) for k in NUMBERS}
    found["scalar"] = tf.constant(3.5)
    found["nothing"] = tf.zeros([0, 4])
    found["large"] = tf.random.stateless_uniform([3_000_000], seed=(1, 2))
    found["after"] = tf.constant([1, 2, 3])
    return found


def strings() -> dict[str, tf.Tensor]:
    return {
        "many": tf.constant(TEXTS),
        "square": tf.constant([["a", "bb"], ["", "dddd"]]),
        "scalar": tf.constant("one"),
        "none": tf.constant([], tf.string),
        "blanks": tf.constant([""] * 5),
        "beside": tf.constant([1.0, 2.0]),
    }


def variants() -> dict[str, tf.Tensor]:
    lists = [
        tf.raw_ops.TensorListFromTensor(tensor=tf.zeros([n, 2]), element_shape=[2])
        for n in (1, 2, 40)
    ]
    return {"lists": tf.stack(lists), "one": lists[0], "beside": tf.constant([1.0, 2.0])}


def save(folder: Path, tensors: dict[str, tf.Tensor], slices: list[str] | None = None) -> None:
    prefix = folder / "variables" / "variables"
    prefix.parent.mkdir(parents=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors) if slices is None else ["parts"] * len(tensors),
        shape_and_slices=slices or [""] * len(tensors),
        tensors=list(tensors.values()),
    )


def main(folder: Path) -> None:
    for case in (numbers, strings, variants):
        save(folder / case.__name__, case())
    parts = {"first": tf.ones([2, 3]), "second": tf.zeros([4, 3])}
    save(folder / "slices", parts, ["6 3 0,2:-", "6 3 2,4:-"])


main(Path(sys.argv[1]))
