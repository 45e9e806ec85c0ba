"""Example values for a document: small, of the right type and shape, the same each time. Pure.

Whole numbers are 0, which every lookup table has; other values are arbitrary. A request that they
make may still be refused by the model: what it means by a tensor is not in its signature.
"""

from __future__ import annotations

from math import prod
from typing import Any

from savedmodel_operator.client.surface import CLASSIFY, DECIMALS, REGRESS, Form, batch_sizes
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

MAX_ELEMENTS = 64
"""Of all inputs of an example; one image of 224×224×3 would be 600 KB of text."""


def sample_body(signature: Signature, form: Form) -> Any:
    """The value of `instances` or `inputs`; None where it would be too long."""
    size = next(iter(batch_sizes(signature)), 1)
    shapes = {key: _shape(tensor, form, size) for key, tensor in signature.inputs.items()}
    if sum(map(prod, shapes.values())) > MAX_ELEMENTS:
        return None
    examples = signature.method in (CLASSIFY, REGRESS)
    values = {
        key: _filled(_element(signature.inputs[key], examples), shape)
        for key, shape in sorted(shapes.items())
    }
    alone = next(iter(values.values())) if len(values) == 1 else None
    if form == "column":
        return values if alone is None else alone
    if alone is not None:
        return alone
    return [{key: value[at] for key, value in values.items()} for at in range(size)]


def _shape(tensor: TensorSpec, form: Form, size: int) -> tuple[int, ...]:
    known = (-1,) if tensor.shape is None else tensor.shape
    inner = tuple(1 if n < 0 else n for n in known)
    return (size, *inner[1:]) if form == "row" else inner


def _element(tensor: TensorSpec, examples: bool) -> Any:
    if tensor.dtype == "DT_STRING":
        return "" if examples else "a"  # no bytes are an Example without features
    if tensor.dtype == "DT_BOOL":
        return True
    return 0.5 if tensor.dtype in DECIMALS else 0


def _filled(value: Any, shape: tuple[int, ...]) -> Any:
    for size in reversed(shape):
        value = [value] * size
    return value
