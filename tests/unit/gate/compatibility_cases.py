"""Every row of the compatibility table as at least one pair of models, with what it must mean.

The expected effects are written down here from the facts about TensorFlow Serving, not taken from
the table: X breaks, m may break, r goes on with a risk, a dot is fine; in the order gRPC, rows,
columns. A case may show further findings beside the one that it is about.
"""

from __future__ import annotations

from unit.gate.facts_builder import signature, tensor

F, I32, I64, TEXT = tensor("float32"), tensor("int32"), tensor("int64"), tensor("string")


def inputs(**tensors):
    return {"serving_default": signature(inputs=tensors)}


def outputs(**tensors):
    return {"serving_default": signature(outputs=tensors)}


def classify(**outputs):
    """A classifying signature; it has scores of three classes if nothing else is said."""
    given = {"scores": tensor(shape=[-1, 3]), **outputs}
    method = "tensorflow/serving/classify"
    return {"serving_default": signature({"inputs": TEXT}, given, method)}


def regress(output=F):
    method = "tensorflow/serving/regress"
    return {"serving_default": signature({"inputs": TEXT}, {"outputs": output}, method)}


SPARSE = {"x": tensor("int64", [-1, 2]), "x_1": F, "x_2": tensor("int64", [2])}
PAIR = signature({"a": I32, "b": F})
IN, OUT = "serving_default.inputs", "serving_default.outputs"
ONE = {"serving_default": signature()}

CASES = [
    # row, old, new, path, change, effects (gRPC, rows, columns)
    ("signature-removed", {**ONE, "b": signature()}, ONE, "b", "removed", "XXX"),
    ("signature-added", ONE, {**ONE, "b": signature()}, "b", "added", "..."),
    ("method-changed", ONE, {"serving_default": signature(method="")},
     "serving_default.method", "tensorflow/serving/predict → none", "rrr"),
    ("input-added-required", inputs(x=F), inputs(x=F, k=I32), f"{IN}.k", "added", "XXX"),
    ("input-added-with-default", inputs(x=F), inputs(x=F, k=tensor(default="a")),
     f"{IN}.k", "added", ".XX"),
    ("input-removed", inputs(x=F, k=I32), inputs(x=F), f"{IN}.k", "removed", "XX."),
    ("input-removed", inputs(x=F, k=I32, j=I32), inputs(x=F, k=I32), f"{IN}.j", "removed", "XX."),
    ("last-input-removed", inputs(x=F), inputs(), f"{IN}.x", "removed", "XXX"),
    ("sole-input-renamed", inputs(a=F), inputs(b=F), f"{IN}.a", "a → b", "Xmm"),
    ("input-dtype-widened", inputs(x=I32), inputs(x=I64),
     f"{IN}.x.dtype", "DT_INT32 → DT_INT64", "X.."),
    ("input-dtype-widened", inputs(x=tensor("uint8")), inputs(x=I32),
     f"{IN}.x.dtype", "DT_UINT8 → DT_INT32", "X.."),
    ("input-dtype-widened", inputs(x=F), inputs(x=tensor("float64")),
     f"{IN}.x.dtype", "DT_FLOAT → DT_DOUBLE", "X.."),
    ("input-integer-to-float", inputs(x=I32), inputs(x=tensor("float64")),
     f"{IN}.x.dtype", "DT_INT32 → DT_DOUBLE", "X.."),
    ("input-integer-to-float", inputs(x=tensor("int8")), inputs(x=F),
     f"{IN}.x.dtype", "DT_INT8 → DT_FLOAT", "X.."),
    ("input-large-integer-to-float", inputs(x=I32), inputs(x=F),
     f"{IN}.x.dtype", "DT_INT32 → DT_FLOAT", "Xrr"),
    ("input-dtype-narrowed", inputs(x=I64), inputs(x=I32),
     f"{IN}.x.dtype", "DT_INT64 → DT_INT32", "Xmm"),
    ("input-dtype-narrowed", inputs(x=I32), inputs(x=tensor("uint32")),
     f"{IN}.x.dtype", "DT_INT32 → DT_UINT32", "Xmm"),
    ("input-float-narrowed", inputs(x=tensor("float64")), inputs(x=F),
     f"{IN}.x.dtype", "DT_DOUBLE → DT_FLOAT", "Xrr"),
    ("input-dtype-wrapped", inputs(x=I32), inputs(x=tensor("int8")),
     f"{IN}.x.dtype", "DT_INT32 → DT_INT8", "Xmm"),
    ("input-float-to-integer", inputs(x=F), inputs(x=I64),
     f"{IN}.x.dtype", "DT_FLOAT → DT_INT64", "XXX"),
    ("input-dtype-kind", inputs(x=TEXT), inputs(x=I32),
     f"{IN}.x.dtype", "DT_STRING → DT_INT32", "XXX"),
    ("input-dtype-kind", inputs(x=F), inputs(x=TEXT),
     f"{IN}.x.dtype", "DT_FLOAT → DT_STRING", "XXX"),
    ("input-dtype-kind", inputs(x=I32), inputs(x=tensor("bool")),
     f"{IN}.x.dtype", "DT_INT32 → DT_BOOL", "XXX"),
    ("input-dtype-unwritable", inputs(x=F), inputs(x=tensor("float16")),
     f"{IN}.x.dtype", "DT_FLOAT → DT_HALF", "XXX"),
    ("input-dtype-was-unwritable", inputs(x=tensor("float16")), inputs(x=F),
     f"{IN}.x.dtype", "DT_HALF → DT_FLOAT", "X.."),
    ("input-shape-widened", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[-1, -1])),
     f"{IN}.x.shape[1]", "4 → any", "..."),
    ("input-shape-widened", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=None)),
     f"{IN}.x.shape", "[-1,4] → unknown rank", "..."),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[-1, 5])),
     f"{IN}.x.shape[1]", "4 → 5", "mmm"),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1, 4])), inputs(x=tensor(shape=[1, 4])),
     f"{IN}.x.shape[0]", "any → 1", "mmm"),
    ("input-shape-narrowed", inputs(x=tensor(shape=[-1])), inputs(x=tensor(shape=[-1, 1])),
     f"{IN}.x.shape", "[-1] → [-1,1]", "mmm"),
    ("input-shape-narrowed", inputs(x=tensor(shape=None)), inputs(x=tensor(shape=[-1])),
     f"{IN}.x.shape", "unknown rank → [-1]", "mmm"),
    ("default-removed", inputs(x=F, k=tensor(default="a")), inputs(x=F, k=F),
     f"{IN}.k.default", "removed", "X.."),
    ("default-added", inputs(x=F, k=F), inputs(x=F, k=tensor(default="a")),
     f"{IN}.k.default", "added", "..."),
    ("default-changed", inputs(x=F, k=tensor(default="a")), inputs(x=F, k=tensor(default="b")),
     f"{IN}.k.default", "changed", "r.."),
    ("output-removed", outputs(y=F, z=F, w=F), outputs(y=F, z=F), f"{OUT}.w", "removed", "XXX"),
    ("output-removed", outputs(y=F), outputs(z=F, w=F), f"{OUT}.y", "removed", "XXX"),
    ("outputs-reduced-to-one", outputs(y=F, z=F), outputs(y=F), OUT, "2 → 1", "XXX"),
    ("sole-output-renamed", outputs(y=F), outputs(z=F), f"{OUT}.y", "y → z", "X.."),
    ("sole-output-renamed", outputs(a_bytes=F), outputs(a=F), f"{OUT}.a_bytes", "a_bytes → a",
     "X.."),
    ("sole-output-renamed-bytes", outputs(a=TEXT), outputs(a_bytes=TEXT),
     f"{OUT}.a", "a → a_bytes", "XXX"),
    ("output-added-to-one", outputs(y=F), outputs(y=F, z=F), f"{OUT}.z", "added", ".XX"),
    ("output-added", outputs(y=F, z=F), outputs(y=F, z=F, w=F), f"{OUT}.w", "added", "..."),
    ("output-added-scalar", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor(shape=[])),
     f"{OUT}.w", "added", ".X."),
    ("output-added-with-other-rows", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor(shape=[7])),
     f"{OUT}.w", "added", ".m."),
    ("output-dtype-number", outputs(y=I32), outputs(y=F),
     f"{OUT}.y.dtype", "DT_INT32 → DT_FLOAT", "Xrr"),
    ("output-dtype-kind", outputs(y=I32), outputs(y=TEXT),
     f"{OUT}.y.dtype", "DT_INT32 → DT_STRING", "XXX"),
    ("output-dtype-kind", outputs(y=F), outputs(y=tensor("float16")),
     f"{OUT}.y.dtype", "DT_FLOAT → DT_HALF", "XXX"),
    ("output-dtype-was-unwritable", outputs(y=tensor("uint16")), outputs(y=I32),
     f"{OUT}.y.dtype", "DT_UINT16 → DT_INT32", "X.."),
    ("output-shape-narrowed", outputs(y=tensor(shape=[-1, -1])), outputs(y=tensor(shape=[-1, 3])),
     f"{OUT}.y.shape[1]", "any → 3", "..."),
    ("output-shape-unknown", outputs(y=tensor(shape=[-1, 3])), outputs(y=tensor(shape=[-1, -1])),
     f"{OUT}.y.shape[1]", "3 → any", "mmm"),
    ("output-shape-changed", outputs(y=tensor(shape=[-1, 3])), outputs(y=tensor(shape=[-1, 4])),
     f"{OUT}.y.shape[1]", "3 → 4", "mmm"),
    ("output-became-scalar", outputs(y=tensor(shape=[-1])), outputs(y=tensor(shape=[])),
     f"{OUT}.y.shape", "[-1] → []", "mXm"),
    # signatures under other names
    ("default-signature-removed", ONE, {"b": signature()}, "serving_default",
     "serving_default → b", "XXX"),
    ("default-signature-removed", ONE, {"b": signature(inputs={})}, "serving_default",
     "removed", "XXX"),
    ("signature-renamed", {**ONE, "b": PAIR}, {**ONE, "c": PAIR}, "b", "b → c", "XXX"),
    ("signature-removed", {**ONE, "b": signature()}, {**ONE, "c": PAIR}, "b", "removed", "XXX"),
    # classify and regress
    ("classify-lost", classify(), classify(scores=tensor("float64", [-1, 3])),
     "serving_default", "classify lost", "XXX"),
    ("classify-lost", classify(), classify(scores=tensor(shape=[-1])),
     "serving_default", "classify lost", "XXX"),
    ("classify-lost", classify(), classify(classes=tensor("string", [-1, 4])),
     "serving_default", "classify lost", "XXX"),
    ("classify-lost", classify(), classify(extra=F, more=F), "serving_default", "classify lost", "XXX"),
    ("regress-lost", regress(), regress(tensor(shape=[-1, 2])),
     "serving_default", "regress lost", "XXX"),
    ("regress-lost", regress(), regress(tensor("float64")),
     "serving_default", "regress lost", "XXX"),
    (
        "examples-rows-fixed",
        classify(),
        classify(scores=tensor(shape=[4, 3])),
        f"{OUT}.scores.shape[0]",
        "any → 4",
        "mmm",
    ),
    (
        "examples-rows-fixed",
        regress(),
        regress(tensor(shape=[4])),
        f"{OUT}.outputs.shape[0]",
        "any → 4",
        "mmm",
    ),
    # keys that Keras numbers
    ("keras-input-renumbered", inputs(keras_tensor_1=F), inputs(keras_tensor_6=F),
     f"{IN}.keras_tensor_1", "keras_tensor_1 → keras_tensor_6", "Xmm"),
    ("keras-input-renumbered", inputs(dense_input=F), inputs(dense_1_input=F),
     f"{IN}.dense_input", "dense_input → dense_1_input", "Xmm"),
    ("keras-inputs-renumbered", inputs(keras_tensor=F, keras_tensor_1=I32),
     inputs(keras_tensor_7=F, keras_tensor_8=I32),
     f"{IN}.keras_tensor_1", "keras_tensor_1 → keras_tensor_8", "XXX"),
    ("keras-inputs-renumbered", inputs(keras_tensor_1=F, keras_tensor_2=I32),
     inputs(keras_tensor_2=F, keras_tensor_3=I32),
     f"{IN}.keras_tensor_2", "keras_tensor_2 → keras_tensor_3", "XXX"),
    ("keras-inputs-renumbered", inputs(keras_tensor_9=F, keras_tensor_10=I32, named=F),
     inputs(keras_tensor_20=I32, keras_tensor_21=F, named=F),
     f"{IN}.keras_tensor_9", "keras_tensor_9 → keras_tensor_21", "XXX"),
    ("keras-output-renumbered", outputs(dense_1=F, y=F), outputs(dense_4=F, y=F),
     f"{OUT}.dense_1", "dense_1 → dense_4", "XXX"),
    # sparse and ragged inputs, component by component
    ("input-flattened", inputs(x=tensor(shape=[-1, 9])), inputs(**SPARSE),
     f"{IN}.x", "dense → x, x_1, x_2", "XXX"),
    ("input-flattened", inputs(x=tensor(shape=[-1, -1])), inputs(x=F, x_1=I64),
     f"{IN}.x", "dense → x, x_1", "XXX"),
    ("input-unflattened", inputs(**SPARSE), inputs(x=tensor(shape=[-1, 9])),
     f"{IN}.x", "x, x_1, x_2 → dense", "XXm"),
    # the first and the last
    ("first-input-required", inputs(), inputs(x=F), f"{IN}.x", "added", "X.."),
    ("first-input-with-default", inputs(), inputs(x=tensor(default="a")),
     f"{IN}.x", "added", "..."),
    ("output-added", outputs(), outputs(y=F), f"{OUT}.y", "added", "..."),
    # what JSON cannot carry, what the server cannot fetch
    ("output-added-unwritable", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor("float16")),
     f"{OUT}.w", "added", ".XX"),
    ("output-added-composite", outputs(y=F, z=F), outputs(y=F, z=F, w=tensor(kind="Composite")),
     f"{OUT}.w", "added", "mXX"),
    ("output-encoding-changed", outputs(y=F, z=F), outputs(y=F, z=tensor(kind="Composite")),
     f"{OUT}.z", "Dense → Composite", "XXX"),
    ("output-was-not-served", outputs(y=F, z=tensor(kind="Composite")), outputs(y=F, z=F),
     f"{OUT}.z", "Composite → Dense", "..."),
    ("output-was-not-served", outputs(y=F, z=F, w=tensor(kind="Composite")), outputs(y=F, z=F),
     f"{OUT}.w", "removed", "..."),
    ("input-encoding-changed", inputs(x=F), inputs(x=tensor(kind="Sparse")),
     f"{IN}.x", "Dense → Sparse", "XXX"),
    ("input-was-not-served", inputs(x=tensor(kind="Sparse")), inputs(x=F),
     f"{IN}.x", "Sparse → Dense", "..."),
    ("input-was-not-served", inputs(x=tensor(kind="Sparse")),
     inputs(x=tensor("int32", kind="Sparse")), f"{IN}.x.dtype", "DT_FLOAT → DT_INT32", "..."),
    # dimension 0 of answers in rows
    ("output-was-scalar", outputs(y=tensor(shape=[])), outputs(y=F),
     f"{OUT}.y.shape", "[] → [-1]", "m.m"),
    ("output-known-as-scalar", outputs(y=tensor(shape=None)), outputs(y=tensor(shape=[])),
     f"{OUT}.y.shape", "unknown rank → []", "mXm"),
    ("output-rows-fixed", outputs(y=F), outputs(y=tensor(shape=[3])),
     f"{OUT}.y.shape[0]", "any → 3", "mmm"),
    ("output-rows-fixed", outputs(y=tensor(shape=None)), outputs(y=tensor(shape=[3])),
     f"{OUT}.y.shape", "unknown rank → [3]", "mmm"),
]  # fmt: skip
