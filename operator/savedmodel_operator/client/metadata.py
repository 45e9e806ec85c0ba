"""Signatures as a running server tells them: from REST's JSON and from protocol messages. Pure.

Both become the same `Signature` that the reader makes of a file, so that everything else need not
know where they came from. A default is only known to be there: its value stays at the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.client.errors import NoAnswerError
from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec
from savedmodel_operator.savedmodel.saved_model import INTERNAL_SIGNATURES

AT_THE_SERVER = "at the server"
"""`TensorSpec.default` of an input that has one; the value itself is not asked for."""


@dataclass(frozen=True)
class Served:
    """What answers under a model's name: the version that was chosen, and its signatures."""

    name: str
    version: int | None
    signatures: Mapping[str, Signature]


def from_json(body: bytes) -> Served:
    """The answer of `GET …/metadata`. Raises NoAnswerError for any other text."""
    try:
        data = json.loads(body)
        spec = data["model_spec"]
        signatures = data["metadata"]["signature_def"]["signature_def"]
        return Served(
            str(spec["name"]),
            int(spec["version"]) if spec.get("version") else None,
            {
                str(key): _json_signature(signature)
                for key, signature in signatures.items()
                if key not in INTERNAL_SIGNATURES
            },
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NoAnswerError(
            f"the answer is no model metadata of TensorFlow Serving ({type(error).__name__})"
        ) from None


def _json_signature(data: Mapping[str, Any]) -> Signature:
    defaults = data.get("defaults", {})
    return Signature(
        str(data.get("method_name", "")),
        {str(k): _json_tensor(t, k in defaults) for k, t in data.get("inputs", {}).items()},
        {str(k): _json_tensor(t, False) for k, t in data.get("outputs", {}).items()},
    )


def _json_tensor(data: Mapping[str, Any], has_default: bool) -> TensorSpec:
    """Fields at their default may be left out of proto JSON; sizes are strings there."""
    dtype = data.get("dtype", 0)
    shape = data.get("tensor_shape", {})
    sizes = tuple(int(dim.get("size", 0)) for dim in shape.get("dim", []))
    kind = "Sparse" if "coo_sparse" in data else "Dense"
    kind = "Composite" if "composite_tensor" in data else kind
    return TensorSpec(
        dtype=proto_name(dtype) if isinstance(dtype, int) else str(dtype),
        shape=None if shape.get("unknown_rank") else sizes,
        name=str(data.get("name", "")),
        kind=kind,
        default=AT_THE_SERVER if has_default else None,
    )


def from_messages(signatures: Mapping[str, Any]) -> dict[str, Signature]:
    """SignatureDef messages, ours or TensorFlow's."""
    return {
        str(key): Signature(
            signature.method_name,
            {k: _tensor(t, k in signature.defaults) for k, t in signature.inputs.items()},
            {k: _tensor(t, False) for k, t in signature.outputs.items()},
        )
        for key, signature in signatures.items()
        if key not in INTERNAL_SIGNATURES
    }


def _tensor(info: Any, has_default: bool) -> TensorSpec:
    kinds = {"coo_sparse": "Sparse", "composite_tensor": "Composite"}
    unknown = info.tensor_shape.unknown_rank
    return TensorSpec(
        dtype=proto_name(info.dtype),
        shape=None if unknown else tuple(int(dim.size) for dim in info.tensor_shape.dim),
        name=info.name,
        kind=kinds.get(info.WhichOneof("encoding") or "", "Dense"),
        default=AT_THE_SERVER if has_default else None,
    )
