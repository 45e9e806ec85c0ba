"""Predict: from a request's named tensors to the signature's outputs.

Order and words of servables/tensorflow/predict_util.cc and of GetInputValues in
tensorflow/cc/saved_model/util.cc. There is no check of dtypes or shapes against the signature:
the session decides. Pure but for the session it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_serving_compatible.errors import (
    Code,
    StatusError,
    failed_precondition,
    invalid_argument,
)
from tensorflow_serving_compatible.tensors import Tensor, from_proto

DEFAULT_SIGNATURE = "serving_default"
PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

# A request's input: already a tensor (REST) or still in its protocol form (gRPC, defaults).
Inputs = Mapping[str, Any]
Feeds = list[tuple[str, Tensor]]


def find_signature(signatures: Mapping[str, Any], name: str) -> Any:
    signature = signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
    return signature


def feeds(signature: Any, inputs: Inputs, *, check_method: bool) -> Feeds:
    """(tensor name, tensor) pairs for the session. Raises StatusError."""
    if check_method and signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
        raise StatusError(
            Code.INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{PREDICT}, {CLASSIFY}, {REGRESS}}}. Was: {signature.method_name}",
        )
    _check_size(signature, inputs)
    found = []
    seen = []
    for alias in sorted(signature.inputs):
        if alias in inputs:
            seen.append(alias)
            value = inputs[alias]
        else:
            value = _default(signature, alias, inputs)
        tensor = value if isinstance(value, Tensor) else from_proto(value)
        if tensor is None:
            raise invalid_argument(f"tensor parsing error: {alias}")
        found.append((signature.inputs[alias].name, tensor))
    if len(seen) != len(inputs):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_join(seen)}, "
            f"request input: {_join(inputs)}"
        )
    return found


def _join(names: Any) -> str:
    return ",".join(sorted(names))


def _check_size(signature: Any, inputs: Inputs) -> None:
    given, wanted = set(inputs), set(signature.inputs)
    if len(given) > len(wanted) or (len(given) < len(wanted) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({{{_join(given)}}}) != len({{{_join(wanted)}}}). "
            f"Sent extra: {{{_join(given - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - given)}}}."
        )


def _default(signature: Any, alias: str, inputs: Inputs) -> Any:
    if alias not in signature.defaults:
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found "
            "in request and no default value provided. Inputs expected to be in the request "
            f"{{{_join(inputs)}}}, or default input alias set: {_join(signature.defaults)}"
        )
    return signature.defaults[alias]


def fetches(signature: Any, output_filter: Sequence[str]) -> tuple[list[str], list[str]]:
    """(aliases, tensor names) of the wanted outputs; all of them without a filter."""
    aliases: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{_join(signature.outputs)}}}."
            )
        if alias in aliases:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    aliases = aliases or sorted(signature.outputs)
    return aliases, [signature.outputs[alias].name for alias in aliases]
