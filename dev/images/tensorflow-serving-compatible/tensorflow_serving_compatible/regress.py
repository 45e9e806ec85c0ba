"""Regress: which tensors a signature means, and its output as one value per example.

Order and words of servables/tensorflow/regressor.cc. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_serving_compatible.classify import dtype_enum, method_error
from tensorflow_serving_compatible.errors import invalid_argument
from tensorflow_serving_compatible.predict import REGRESS
from tensorflow_serving_compatible.tensors import DT_FLOAT, Tensor, shape_text

INPUTS, OUTPUTS = "inputs", "outputs"


def tensor_names(signature: Any, *, check_method: bool) -> tuple[str, list[str]]:
    """(input, [output]) of a signature that can regress. Raises StatusError."""
    if check_method and signature.method_name != REGRESS:
        raise method_error("regression", REGRESS, signature)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return signature.inputs[INPUTS].name, [signature.outputs[OUTPUTS].name]


def fill_result(signature: Any, examples: int, outputs: Mapping[str, Tensor], result: Any) -> None:
    """Fills a RegressionResult from the outputs by tensor name. Raises StatusError."""
    name = signature.outputs[OUTPUTS].name
    tensor = outputs.get(name)
    if tensor is None:
        raise invalid_argument(f"Could not find output tensor '{name}'")
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            + shape_text(shape)
        )
    if shape[0] != examples:
        raise invalid_argument(
            f"Input batch size did not match output batch size: {examples} vs. {shape[0]}"
        )
    if tensor.dtype != DT_FLOAT:
        raise invalid_argument(
            f"Expected output Tensor of DT_FLOAT.  Got: {dtype_enum(tensor.dtype)}"
        )
    for value in tensor.values.tolist():
        result.regressions.add(value=value)
