"""Builds facts in few words: `tensor("int32", [-1, 4])`, `model(inputs=…, outputs=…)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec

PREDICT = "tensorflow/serving/predict"
NAMES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "int8": "DT_INT8",
    "int32": "DT_INT32", "int64": "DT_INT64", "uint8": "DT_UINT8", "string": "DT_STRING",
    "bool": "DT_BOOL", "uint32": "DT_UINT32", "uint16": "DT_UINT16",
}  # fmt: skip


def tensor(
    dtype: str = "float32",
    shape: Sequence[int] | None = (-1,),
    default: str | None = None,
    kind: str = "Dense",
    name: str = "t:0",
) -> TensorSpec:
    sizes = None if shape is None else tuple(shape)
    return TensorSpec(NAMES[dtype], sizes, name if kind == "Dense" else "", kind, (), default)


def signature(
    inputs: Mapping[str, TensorSpec] | None = None,
    outputs: Mapping[str, TensorSpec] | None = None,
    method: str = PREDICT,
) -> Signature:
    return Signature(
        method,
        {"x": tensor()} if inputs is None else inputs,
        {"y": tensor()} if outputs is None else outputs,
    )


def model(signatures: Mapping[str, Signature] | None = None, **graph: Any) -> ModelFacts:
    """One MetaGraph tagged `serve`; `graph` overrides its further facts."""
    named = {"serving_default": signature()} if signatures is None else signatures
    plain = GraphFacts(("serve",), named, {"Placeholder": 1, "Identity": 1})
    return ModelFacts(1, (replace(plain, **graph),))
