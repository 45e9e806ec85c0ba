"""The Input message of classify and regress as the string tensor that models parse.

InputToSerializedExampleTensor of servables/tensorflow/util.cc: one serialized Example per
element; a context's bytes go before each example's, which merges them for the parser. Pure.
"""

from __future__ import annotations

from typing import Any

from tensorflow_serving_compatible.errors import invalid_argument
from tensorflow_serving_compatible.tensors import DT_STRING, Tensor


def input_tensor(source: Any) -> Tensor:
    """A tensor of shape [number of examples]. Raises StatusError for an empty Input."""
    kind = source.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = source.example_list_with_context.context.SerializeToString()
    examples = getattr(source, kind).examples if kind else ()
    if not examples:
        raise invalid_argument("Input is empty.")
    values = [context + example.SerializeToString() for example in examples]
    return Tensor(DT_STRING, (len(values),), values)
