"""The families of versions: each varies what one row of the compatibility table is about.

Neighbours: `variants` has the words; `mutants` adds families drawn at random. Pure data.
"""

from __future__ import annotations

from lab.matrix.mutants import FAMILIES as MUTANTS
from lab.matrix.variants import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    Family,
    In,
    Out,
    Shape,
    Sig,
    Variant,
    one,
)

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "string", "complex64",
)  # fmt: skip
SHAPES: dict[str, Shape] = {
    "batch": (-1,), "scalar": (), "two": (2,), "four": (4,), "rows": (-1, 4), "wider": (-1, 5),
    "free": (-1, -1), "fixed": (2, 4), "deep": (-1, 4, 1), "unknown": None,
}  # fmt: skip

X, Y = In(), Out()
TEXT = In("string")


def _given(shape: Shape) -> tuple[int, ...]:
    return (-1,) if shape is None else shape


def _output_shapes() -> tuple[Variant, ...]:
    return (
        *(one(n, outputs={"y": Out(shape=s, real=_given(s))}) for n, s in SHAPES.items()),
        one("free-3", outputs={"y": Out(shape=(-1, -1), real=(-1, 3))}),
        one("free-4", outputs={"y": Out(shape=(-1, -1), real=(-1, 4))}),
        one("unknown-4", outputs={"y": Out(shape=None, real=(-1, 4))}),
    )


def _outputs() -> tuple[Variant, ...]:
    word, b = Out("string"), Out(shape=(-1, 3))
    return (
        one("y", outputs={"y": Y}),
        one("z", outputs={"z": Y}),
        one("y-z", outputs={"y": Y, "z": Y}),
        one("y-w", outputs={"y": Y, "w": Y}),
        one("y-z-w", outputs={"y": Y, "z": Y, "w": Y}),
        one("y-matrix", outputs={"y": Y, "z": b}),
        one("y-scalar", outputs={"y": Y, "z": Out(shape=())}),
        one("y-z-scalar", outputs={"y": Y, "z": Y, "w": Out(shape=())}),
        one("y-z-other-rows", outputs={"y": Y, "z": Y, "w": Out(shape=(5,))}),
        one("y-z-unknown", outputs={"y": Y, "z": Y, "w": Out(shape=None, real=())}),
        one("y-z-words", outputs={"y": Y, "z": Y, "w": word}),
        one("y-z-half", outputs={"y": Y, "z": Y, "w": Out("float16")}),
        one("y-z-complex", outputs={"y": Y, "z": Y, "w": Out("complex64")}),
        one("fixed", outputs={"y": Out(shape=(5,)), "z": Out(shape=(5,))}),
    )


def _inputs() -> tuple[Variant, ...]:
    given = In(default=1.0)
    return (
        one("x"),
        one("z", {"z": X}),
        one("x-z", {"x": X, "z": X}),
        one("x-w", {"x": X, "w": X}),
        one("x-z-w", {"x": X, "z": X, "w": X}),
        one("x?", {"x": given}),
        one("x?2", {"x": In(default=2.0)}),
        one("x-z?", {"x": X, "z": given}),
        one("x-z?2", {"x": X, "z": In(default=2.0)}),
        one("x?-z?", {"x": given, "z": given}),
        one("x-z-w?", {"x": X, "z": X, "w": given}),
        one("x-z?-w?", {"x": X, "z": given, "w": given}),
        one("none", {}),
        one("keras_tensor_1", {"keras_tensor_1": X}),
        one("keras_tensor_6", {"keras_tensor_6": X}),
    )


def _methods() -> tuple[Variant, ...]:
    classes, scores = Out("string", (-1, 2)), Out(shape=(-1, 2))
    inputs, both = {"inputs": TEXT}, {"classes": classes, "scores": scores}
    return (
        one("classify", inputs, both, CLASSIFY),
        one("classify-as-predict", inputs, both, PREDICT),
        one("classify-unnamed", inputs, both, ""),
        one("classify-as-regress", inputs, both, REGRESS),
        one("classify-scores", inputs, {"scores": scores}, CLASSIFY),
        one("classify-classes", inputs, {"classes": classes}, CLASSIFY),
        one("classify-more", inputs, both | {"extra": scores}, CLASSIFY),
        one("classify-input", {"inputs": TEXT, "more": In(default=1.0)}, both, CLASSIFY),
        one("classify-renamed", {"examples": TEXT}, both, CLASSIFY),
        one("classify-doubles", inputs, both | {"scores": Out("float64", (-1, 2))}, CLASSIFY),
        one("classify-flat", inputs, both | {"scores": Out(shape=(-1,))}, CLASSIFY),
        one("classify-three", inputs,
            {"classes": Out("string", (-1, 3)), "scores": Out(shape=(-1, 3))}, CLASSIFY),
        one("classify-fixed", inputs,
            {"classes": Out("string", (3, 2)), "scores": Out(shape=(3, 2))}, CLASSIFY),
        one("classify-any", inputs,
            {"classes": Out("string", (-1, -1)), "scores": Out(shape=(-1, -1))}, CLASSIFY),
    )  # fmt: skip


def _regressions() -> tuple[Variant, ...]:
    inputs, outputs = {"inputs": TEXT}, {"outputs": Y}
    return (
        one("regress", inputs, outputs, REGRESS),
        one("regress-as-predict", inputs, outputs, PREDICT),
        one("regress-as-classify", inputs, outputs, CLASSIFY),
        one("regress-column", inputs, {"outputs": Out(shape=(-1, 1))}, REGRESS),
        one("regress-any", inputs, {"outputs": Out(shape=(-1, -1), real=(-1, 1))}, REGRESS),
        one("regress-fixed", inputs, {"outputs": Out(shape=(3,))}, REGRESS),
        one("regress-unknown", inputs, {"outputs": Out(shape=None)}, REGRESS),
        one("regress-doubles", inputs, {"outputs": Out("float64")}, REGRESS),
        one("regress-more", inputs, outputs | {"extra": Y}, REGRESS),
        one("regress-renamed", inputs, {"y": Y}, REGRESS),
        one("regress-input", {"inputs": TEXT, "more": In(default=1.0)}, outputs, REGRESS),
        one("regress-input-renamed", {"examples": TEXT}, outputs, REGRESS),
        one("regress-default", {"inputs": In("string", default=0.0)}, outputs, REGRESS),
    )


def _signatures() -> tuple[Variant, ...]:
    plain, other = Sig(), Sig(outputs={"z": Out("int64")})
    return (
        Variant("default", {"serving_default": plain}),
        Variant("default-more", {"serving_default": plain, "more": other}),
        Variant("more", {"more": other}),
        Variant("more-plain", {"more": plain}),
        Variant("default-other", {"serving_default": other}),
        Variant("swapped", {"serving_default": other, "more": plain}),
    )


def _encodings() -> tuple[Variant, ...]:
    sparse, composite = In(kind="Sparse"), In(kind="Composite")
    return (
        one("dense", outputs={"y": Y, "z": Y}),
        one("sparse-in", {"x": sparse}, {"y": Y, "z": Y}),
        one("composite-in", {"x": composite}, {"y": Y, "z": Y}),
        one("sparse-out", outputs={"y": Y, "z": Out(kind="Sparse")}),
        one("composite-out", outputs={"y": Y, "z": Out(kind="Composite")}),
        one("composite-more", outputs={"y": Y, "z": Y, "w": Out(kind="Composite")}),
    )


def _flattened() -> tuple[Variant, ...]:
    """A sparse or ragged input as the exporter writes it: one dense input per component."""
    whole, splits = In(shape=(-1, -1)), In("int64")
    sparse = {"x": In("int64", (-1, 2)), "x_1": X, "x_2": In("int64", (2,))}
    return (
        one("whole", {"x": whole}),
        one("flat", {"x": X}),
        one("ragged", {"x": X, "x_1": splits}),
        one("sparse", sparse),
    )


def _numbered() -> tuple[Variant, ...]:
    """Two unnamed inputs and two unnamed layers, exported again and again in one process."""

    def numbered(name: str, first: int, layer: int) -> Variant:
        inputs = {f"keras_tensor_{first}": X, f"keras_tensor_{first + 1}": In("int64")}
        return one(name, inputs, {f"dense_{layer}": Y, f"dense_{layer + 1}": Out("int64")})

    return (
        numbered("first", 1, 1),
        numbered("inputs-2", 2, 1),
        numbered("inputs-6", 6, 1),
        numbered("outputs-2", 1, 2),
        numbered("outputs-6", 1, 6),
        numbered("both", 6, 6),
    )


def _strings() -> tuple[Variant, ...]:
    word, number = Out("string"), Out("int64")
    return (
        one("text", {"text": TEXT}, {"word": word}),
        one("text_bytes", {"text_bytes": TEXT}, {"word": word}),
        one("word_bytes", {"text": TEXT}, {"word_bytes": word}),
        one("other", {"text": TEXT}, {"other": word}),
        one("other_bytes", {"text": TEXT}, {"other_bytes": word}),
        one("two", {"text": TEXT}, {"word": word, "n": number}),
        one("two_bytes", {"text": TEXT}, {"word_bytes": word, "n": number}),
        one("number_bytes", {"text": TEXT}, {"word_bytes": number}),
        one("text-shape", {"text": In("string", (-1, 1))}, {"word": word}),
    )


FAMILIES: tuple[Family, ...] = (
    Family("input dtype", "the dtype of the only input",
           tuple(one(d, {"x": In(d)}) for d in DTYPES)),
    Family("output dtype", "the dtype of the only output",
           tuple(one(d, outputs={"y": Out(d)}) for d in DTYPES)),
    Family("input shape", "the shape of the only input, enforced by the kernels",
           tuple(one(n, {"x": In(shape=s)}) for n, s in SHAPES.items())),
    Family("input shape of lenient kernels", "the same, where the kernels take any shape",
           tuple(one(n, {"x": In(shape=s, strict=False)}) for n, s in SHAPES.items())),
    Family("output shape", "the shape of the only output",
           _output_shapes()),
    Family("outputs", "which outputs there are, and their rows", _outputs()),
    Family("inputs", "which inputs there are, and their defaults", _inputs()),
    Family("classify", "method, inputs and outputs of a classification", _methods()),
    Family("regress", "method, input and output of a regression", _regressions()),
    Family("signatures", "which signatures there are", _signatures()),
    Family("encoding", "dense, sparse and composite tensors", _encodings()),
    Family("flattened", "a dense input, or the components of a sparse or ragged one", _flattened()),
    Family("Keras's numbers", "the numbers of unnamed inputs and layers", _numbered()),
    Family("strings", "names that end in _bytes", _strings()),
    Family("python", "whether the kernels call Python",
           (one("graph"), Variant("python", {"serving_default": Sig()}, python=True))),
    *MUTANTS,
    Family("exporters", "one model trained again and written by other means",
           exports=("keras3-first", "keras3-again", "keras3-named", "keras2-save", "keras2-export",
                    "module-dict", "module-tensor", "tf1")),
)  # fmt: skip

LIMITS: tuple[Family, ...] = (
    Family("rows that are no batch",
           "an output of any size gives five rows whatever was sent; the file says of it what the "
           "former version's said of the batch",
           (one("batch", outputs={"y": Y, "z": Y}),
            one("five", outputs={"y": Y, "z": Out(shape=(-1,), real=(5,))}))),
    Family("variables that only Python restores",
           "tf.saved_model.save of a Keras 3 model (3.15, TensorFlow 2.21): it loads everywhere, "
           "answers in Python, and fails every request of a C++ server with FAILED_PRECONDITION "
           "`Could not find variable`; Model.export is right",
           exports=("module-inputs", "keras3-saved")),
)  # fmt: skip
"""Pairs of versions whose files are alike where one of them does not do what its file says: no
comparison of files can tell, a golden request can. The first member is what clients were built for.
"""
