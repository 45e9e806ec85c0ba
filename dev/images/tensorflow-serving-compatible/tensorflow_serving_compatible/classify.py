"""Classify: which tensors a signature means, and its outputs as classes with scores.

Order and words of servables/tensorflow/classifier.cc. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_serving_compatible.errors import StatusError, invalid_argument
from tensorflow_serving_compatible.predict import CLASSIFY, DEFAULT_SIGNATURE
from tensorflow_serving_compatible.protos import types_pb2
from tensorflow_serving_compatible.tensors import DT_FLOAT, DT_STRING, Tensor, shape_text

INPUTS, CLASSES, SCORES = "inputs", "classes", "scores"


def method_error(kind: str, method: str, signature: Any) -> StatusError:
    return invalid_argument(
        f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
    )


def find_signature(signatures: Mapping[str, Any], name: str) -> Any:
    signature = signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    return signature


def tensor_names(signature: Any, *, check_method: bool) -> tuple[str, list[str]]:
    """(input, outputs) of a signature that can classify. Raises StatusError."""
    if check_method and signature.method_name != CLASSIFY:
        raise method_error("classification", CLASSIFY, signature)
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {signature}")
    outputs = [signature.outputs[key].name for key in (CLASSES, SCORES) if key in signature.outputs]
    if not outputs:
        raise invalid_argument(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )
    return signature.inputs[INPUTS].name, outputs


def dtype_enum(dtype: int) -> str:
    return str(types_pb2.DataType.Name(dtype))


def _check(tensor: Tensor, key: str, dtype: int, examples: int) -> None:
    if len(tensor.shape) != 2:
        raise invalid_argument(
            "Expected Tensor shape: [batch_size num_classes] but got " + shape_text(tensor.shape)
        )
    if tensor.dtype != dtype:
        raise invalid_argument(
            f"Expected {key} Tensor of {dtype_enum(dtype)}. Got: {dtype_enum(tensor.dtype)}"
        )
    if tensor.shape[0] != examples:
        raise invalid_argument(
            f"Expected {key} output batch size of {examples}. Got: {tensor.shape[0]}"
        )


def fill_result(signature: Any, examples: int, outputs: Mapping[str, Tensor], result: Any) -> None:
    """Fills a ClassificationResult from the outputs by tensor name. Raises StatusError."""
    classes = _output(signature, CLASSES, outputs)
    scores = _output(signature, SCORES, outputs)
    if CLASSES in signature.outputs and SCORES in signature.outputs:
        # One tensor under both keys counts as classes alone, as in the C++ loop.
        scores = (
            None if signature.outputs[CLASSES].name == signature.outputs[SCORES].name else scores
        )
    if classes is not None:
        _check(classes, CLASSES, DT_STRING, examples)
    if scores is not None:
        _check(scores, SCORES, DT_FLOAT, examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    present = classes if classes is not None else scores
    columns = present.shape[1] if present is not None else 0
    for row in range(examples):
        found = result.classifications.add()
        for column in range(columns):
            entry = found.classes.add()
            if classes is not None:
                entry.label = classes.values[row * columns + column].decode("utf-8", "replace")
            if scores is not None:
                entry.score = scores.values[row * columns + column]


def _output(signature: Any, key: str, outputs: Mapping[str, Tensor]) -> Tensor | None:
    if key not in signature.outputs:
        return None
    return outputs.get(signature.outputs[key].name)
