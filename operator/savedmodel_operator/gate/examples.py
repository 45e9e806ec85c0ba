"""What a signature must be so that Classify and Regress can be called with it. Pure.

Rules of TensorFlow Serving's servables/tensorflow/classifier.cc and regressor.cc, as far as the
file tells dtypes and shapes. What is inside of the tf.Example that such a client sends stands in
the graph's parsing ops, not in the signature: it is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from savedmodel_operator.gate.difference import Difference, found
from savedmodel_operator.gate.tensors import ANY, shown_shape
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"

_CLASSES = {"classes": "DT_STRING", "scores": "DT_FLOAT"}


def differing_methods(path: str, old: Signature, new: Signature) -> Iterator[Difference]:
    """Whether clients that classified or regressed with `old` still can with `new`.

    The method's name does not count, only the shape: the server checks the name with
    --enable_signature_method_name_check alone.
    """
    for method, verb, find_fault, keys in _METHODS:
        if old.method != method or find_fault(old) is not None:
            continue
        fault = find_fault(new)
        if fault:
            fact = f"can no longer {verb}: {fault}"
            yield found(f"{verb}-lost", path, f"{verb} lost", fact)
            continue
        for key in sorted(keys & old.outputs.keys() & new.outputs.keys()):
            before, after = _rows(old.outputs[key]), _rows(new.outputs[key])
            if before < 0 <= after:
                change = f"{ANY} → {after}"
                fact = f"changed {change}: it no longer has a row for each example"
                yield found("examples-rows-fixed", f"{path}.outputs.{key}.shape[0]", change, fact)


def classify_fault(signature: Signature) -> str | None:
    """Why Classify refuses the signature, None where nothing in the file says so."""
    outputs = signature.outputs
    fault = _input_fault(signature)
    if fault:
        return fault
    if len(outputs) not in (1, 2) or not outputs.keys() & _CLASSES.keys():
        return "its outputs are not classes or scores or both"
    for key, dtype in _CLASSES.items():
        if key in outputs:
            fault = _tensor_fault(key, outputs[key], dtype, ranks=(2,))
            if fault:
                return fault
    widths = {_width(outputs[key]) for key in _CLASSES if key in outputs} - {-1}
    return "classes and scores differ in dimension 1" if len(widths) > 1 else None


def regress_fault(signature: Signature) -> str | None:
    """Why Regress refuses the signature, None where nothing in the file says so."""
    fault = _input_fault(signature)
    if fault:
        return fault
    if list(signature.outputs) != ["outputs"]:
        return "it has not exactly one output, outputs"
    output = signature.outputs["outputs"]
    fault = _tensor_fault("outputs", output, "DT_FLOAT", ranks=(1, 2))
    if fault is None and _width(output) not in (-1, 1):
        fault = f"outputs has the shape {shown_shape(output.shape)}"
    return fault


def _input_fault(signature: Signature) -> str | None:
    if list(signature.inputs) != ["inputs"]:
        return "it has not exactly one input, inputs"
    kind = signature.inputs["inputs"].kind
    return None if kind == "Dense" else f"inputs is {kind}"


def _tensor_fault(key: str, tensor: TensorSpec, dtype: str, ranks: tuple[int, ...]) -> str | None:
    if tensor.kind != "Dense":
        return f"{key} is {tensor.kind}"
    if tensor.dtype != dtype:
        return f"{key} is {tensor.dtype}, not {dtype}"
    if tensor.shape is not None and len(tensor.shape) not in ranks:
        return f"{key} has the shape {shown_shape(tensor.shape)}"
    return None


def _width(tensor: TensorSpec) -> int:
    """The size of dimension 1, -1 where the file does not say."""
    return tensor.shape[1] if tensor.shape is not None and len(tensor.shape) > 1 else -1


def _rows(tensor: TensorSpec) -> int:
    """The size of dimension 0, -1 where the file does not say."""
    return tensor.shape[0] if tensor.shape else -1


_METHODS = (
    (CLASSIFY, "classify", classify_fault, _CLASSES.keys()),
    (REGRESS, "regress", regress_fault, {"outputs"}),
)
