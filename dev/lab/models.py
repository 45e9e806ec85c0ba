"""Makes the sample models with TensorFlow and Keras, as a training job would.

    python -m lab.models FOLDER [KIND/DIRECTORY …]

Neighbours: `samples` says what each computes, `faults` what goes wrong in some; `uploads` starts
this as a process of its own, because TensorFlow takes half a gigabyte and speaks to stderr as it
likes. Must not upload.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import faults
from lab.samples import ALL, Kind, Sample


def make(folder: Path, samples: tuple[Sample, ...] = ALL) -> None:
    """Write each sample to `folder`/KIND/DIRECTORY."""
    for one in samples:
        _MAKERS[one.kind](folder / one.key, one.number)


def _flowers(target: Path, version: int, *, best: bool = True) -> None:
    """Keras 3, functional: one dense layer whose weights are set instead of trained."""
    import keras
    import numpy as np

    measurements = keras.Input((4,), name="measurements", dtype="float32")
    scores = keras.layers.Dense(3, name="scores")(measurements)
    outputs: dict[str, Any] = {"scores": scores}
    if best:
        outputs["best"] = keras.ops.argmax(scores, axis=-1)
    model = keras.Model(measurements, outputs)
    kernel = np.array([[0.25, 0.5, 0.75]] * 4, np.float32)
    bias = np.array([10 * version, 10 * version + 1, 10 * version + 2], np.float32)
    model.get_layer("scores").set_weights([kernel, bias])
    model.export(str(target), verbose=False)


def _flowers_without_best(target: Path, version: int) -> None:
    _flowers(target, version, best=False)


def _calc(target: Path, version: int) -> None:
    _save_calc(target, version, "float32")


def _calc_of_integers(target: Path, version: int) -> None:
    _save_calc(target, version, "int32")


def _calc_that_crashes(target: Path, version: int) -> None:
    """Its table's file has words where the graph reads numbers, so the table's initializer fails."""
    import tensorflow as tf

    class Calc(tf.Module):  # type: ignore[misc]
        def __init__(self, file: Path) -> None:
            super().__init__()
            numbers = tf.lookup.TextFileInitializer(str(file), tf.int64, 0, tf.int64, 1)
            self.table = tf.lookup.StaticHashTable(numbers, version)

        @tf.function(input_signature=[tf.TensorSpec([None], "float32", name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> dict[str, Any]:
            known = self.table.lookup(tf.cast(x, tf.int64))
            return {"y": x * 2 + tf.cast(known, tf.float32)}

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.txt"
        table.write_text(f"0\t{version}\n")
        tf.saved_model.save(Calc(table), str(target))
    (target / "assets" / "table.txt").write_text("nought\tone\n")


def _save_calc(target: Path, version: int, dtype: str) -> None:
    import tensorflow as tf

    class Calc(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(2, dtype=dtype)
            self.version = tf.Variable(version, dtype=dtype)

        @tf.function(input_signature=[tf.TensorSpec([None], dtype, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> dict[str, Any]:
            return {"y": x * self.weight + self.version}

    tf.saved_model.save(Calc(), str(target))


def _blob(target: Path, version: int) -> None:
    import tensorflow as tf

    class Blob(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.version = tf.Variable(version, dtype="int64")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="data")])  # type: ignore[untyped-decorator]
        def __call__(self, data: Any) -> dict[str, Any]:
            length = tf.cast(tf.strings.length(data), tf.int64)
            return {"size": length * 1000 + self.version}

    tf.saved_model.save(Blob(), str(target))


_MAKERS: dict[Kind, Callable[[Path, int], None]] = {
    Kind.FLOWERS: _flowers,
    Kind.FLOWERS_WITHOUT_BEST: _flowers_without_best,
    Kind.CALC: _calc,
    Kind.CALC_OF_INTEGERS: _calc_of_integers,
    Kind.CALC_THAT_CRASHES: _calc_that_crashes,
    Kind.CALC_THAT_REFUSES: faults.calc(faults.Refuses),
    Kind.CALC_THAT_FAILS: faults.calc(faults.Fails),
    Kind.CALC_THAT_TIRES: faults.calc(faults.Tires),
    Kind.FLOWERS_THAT_REFUSES: faults.flowers(faults.Refuses),
    Kind.FLOWERS_THAT_TIRES: faults.flowers(faults.Tires),
    Kind.BLOB: _blob,
}


def main() -> None:
    """Entry point of `uploads`."""
    known = {one.key: one for one in ALL}
    wanted = sys.argv[2:] or list(known)
    make(Path(sys.argv[1]), tuple(known[key] for key in wanted))


if __name__ == "__main__":
    main()
