"""What TensorFlow Serving's REST API can carry, and which form suits a signature. Pure.

The rules are those of util/json_tensor.cc, servables/tensorflow/classifier.cc and regressor.cc in
tensorflow/serving. `bodies` writes requests by them, `openapi` documents them. Each question is
answered with None (it works) or one sentence that says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

Form = Literal["row", "column"]

DEFAULT_SIGNATURE = "serving_default"
NAMELESS = "its name is empty, and servers take an empty name for serving_default"
"""Why a signature that a TF1 builder gave no name cannot be called, over gRPC neither."""

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"

DECIMALS = frozenset({"DT_FLOAT", "DT_DOUBLE"})
INTEGERS: Mapping[str, tuple[int, int]] = {
    "DT_INT8": (-(2**7), 2**7 - 1),
    "DT_INT16": (-(2**15), 2**15 - 1),
    "DT_INT32": (-(2**31), 2**31 - 1),
    "DT_INT64": (-(2**63), 2**63 - 1),
    "DT_UINT8": (0, 2**8 - 1),
    "DT_UINT32": (0, 2**32 - 1),
    "DT_UINT64": (0, 2**64 - 1),
}
"""Whole numbers with what each can hold. DT_UINT16 is missing in json_tensor.cc, too."""

CARRIED = DECIMALS | INTEGERS.keys() | {"DT_BOOL", "DT_STRING"}
"""Types with a JSON form; all others are refused there, half precision included."""


@dataclass(frozen=True)
class Choice:
    """A model by name, with at most one of version and label."""

    name: str
    version: int | None = None
    label: str | None = None

    @property
    def path(self) -> str:
        """Its REST path, without a trailing slash.

        >>> Choice("m").path, Choice("m", 3).path, Choice("a b", label="stable").path
        ('/v1/models/m', '/v1/models/m/versions/3', '/v1/models/a%20b/labels/stable')
        """
        path = f"/v1/models/{quote(self.name, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return path if self.label is None else f"{path}/labels/{quote(self.label, safe='')}"


def shape_words(shape: tuple[int, ...] | None) -> str:
    """A shape for a person.

    >>> shape_words((-1, 4)), shape_words(()), shape_words(None)
    ('[any, 4]', 'scalar', 'of unknown rank')
    """
    if shape is None:
        return "of unknown rank"
    if not shape:
        return "scalar"
    return "[" + ", ".join("any" if size < 0 else str(size) for size in shape) + "]"


def tensor_words(tensor: TensorSpec) -> str:
    """Type and shape for a person.

    >>> tensor_words(TensorSpec("DT_FLOAT", (-1, 4), "x:0"))
    'float32 [any, 4]'
    """
    return f"{python_name(tensor.dtype)} {shape_words(tensor.shape)}"


def carry_problem(signature: Signature) -> str | None:
    """Why no predict request in JSON can work for this signature, row or column."""
    for side, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for key, tensor in sorted(tensors.items()):
            if tensor.kind != "Dense":
                return f"its {side} {key!r} is {tensor.kind.lower()}, which Serving cannot carry"
            if tensor.dtype not in CARRIED:
                name = python_name(tensor.dtype)
                return f"its {side} {key!r} is {name}, which has no form in Serving's JSON"
    if not signature.inputs:
        return "it has no inputs, and Serving's JSON cannot say nothing"
    if not signature.outputs:
        return "it has no outputs"
    return None


def row_problem(signature: Signature) -> str | None:
    """Why rows (`instances`) cannot work: every tensor needs the same first dimension."""
    problem = carry_problem(signature)
    if problem:
        return problem
    for side, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for key, tensor in sorted(tensors.items()):
            if tensor.shape == ():
                return f"its {side} {key!r} is a scalar, which has no rows"
    sizes = batch_sizes(signature)
    if len(sizes) > 1:
        words = " and ".join(map(str, sorted(sizes)))
        return f"its tensors have first dimensions of different size: {words}"
    if sizes == {0}:
        return "its first dimension is 0, and a request has at least one row"
    return None


def batch_sizes(signature: Signature) -> set[int]:
    """The known sizes of first dimensions over all inputs and outputs."""
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    return {tensor.shape[0] for tensor in tensors if tensor.shape and tensor.shape[0] >= 0}


def form_problem(signature: Signature, form: Form) -> str | None:
    """Why a form of request cannot work for this signature."""
    return row_problem(signature) if form == "row" else carry_problem(signature)


def classify_problem(signature: Signature) -> str | None:
    """Why `:classify` cannot work. The method name does not matter unless the server checks it."""
    problem = _examples_problem(signature)
    if problem:
        return problem
    outputs = signature.outputs
    found = outputs.keys() & {"classes", "scores"}
    if not 1 <= len(outputs) <= 2 or not found:
        return "its outputs are not 'classes', 'scores' or both"
    for key, dtype in (("classes", "DT_STRING"), ("scores", "DT_FLOAT")):
        if key in outputs and not _fits(outputs[key], dtype, (2,)):
            return f"its output {key!r} is not {python_name(dtype)} with [batch, classes]"
    return None


def regress_problem(signature: Signature) -> str | None:
    """Why `:regress` cannot work."""
    problem = _examples_problem(signature)
    if problem:
        return problem
    if signature.outputs.keys() != {"outputs"}:
        return "it has not exactly one output of the name 'outputs'"
    output = signature.outputs["outputs"]
    wide = output.shape is not None and len(output.shape) == 2 and output.shape[1] not in (-1, 1)
    if wide or not _fits(output, "DT_FLOAT", (1, 2)):
        return "its output 'outputs' is not float32 with [batch] or [batch, 1]"
    return None


def _examples_problem(signature: Signature) -> str | None:
    if signature.inputs.keys() != {"inputs"}:
        return "it has not exactly one input of the name 'inputs'"
    tensor = signature.inputs["inputs"]
    if not _fits(tensor, "DT_STRING", (1,)):
        return f"its input is {tensor_words(tensor)}, and examples arrive as string [any]"
    return None


def _fits(tensor: TensorSpec, dtype: str, ranks: tuple[int, ...]) -> bool:
    known = tensor.shape is None or len(tensor.shape) in ranks
    return tensor.kind == "Dense" and tensor.dtype == dtype and known
