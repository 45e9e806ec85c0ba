"""Classify and regress requests in JSON: features to tensorflow.Example.

Rules and words of json_tensor.cc (FillClassifyRegressRequestFromJson): a whole number makes an
int64 feature, a decimal a float one, a string or `b64` object bytes, a boolean 0 or 1; one
feature never mixes kinds. Pure.
"""

from __future__ import annotations

from typing import Any

from tensorflow_serving_compatible.errors import StatusError, invalid_argument
from tensorflow_serving_compatible.json_parse import members
from tensorflow_serving_compatible.json_tensor import (
    decode_base64_object,
    document,
    is_base64_object,
    signature_name,
    to_bytes,
)
from tensorflow_serving_compatible.json_text import debug_text, type_name
from tensorflow_serving_compatible.protos import feature_pb2

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_INT64_MAX = 2**63 - 1


def fill_request(body: bytes, request: Any) -> None:
    """Fills a ClassificationRequest or RegressionRequest from its JSON form."""
    doc = document(body)
    name = signature_name(doc)
    if "signature_name" in doc:
        request.model_spec.signature_name = name
    target = request.input.example_list
    if "context" in doc:
        target = request.input.example_list_with_context
        target.context.SetInParent()
        _fill_example(doc["context"], target.context)
    if "examples" not in doc:
        raise _format_error(
            doc, "When method is classify, key 'examples' is expected and was not found"
        )
    examples = doc["examples"]
    if not isinstance(examples, list):
        raise _format_error(doc, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format_error(doc, "'examples' value is an empty array")
    for example in examples:
        _fill_example(example, target.examples.add())


def _format_error(doc: dict[str, Any], text: str) -> StatusError:
    return invalid_argument(f"JSON Value: {debug_text(doc)} {text}")


def _fill_example(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in members(value):
        feature = feature_pb2.Feature()
        for element in content if isinstance(content, list) else [content]:
            _add(element, name, feature)
        example.features.feature[name].CopyFrom(feature)


def _add(value: Any, name: str, feature: Any) -> None:
    unexpected = invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
    )
    if isinstance(value, bool):
        _list(feature, "int64_list", name).append(int(value))
    elif isinstance(value, dict):
        if not is_base64_object(value):
            raise unexpected
        _list(feature, "bytes_list", name).append(decode_base64_object(value))
    elif isinstance(value, str):
        _list(feature, "bytes_list", name).append(to_bytes(value))
    elif isinstance(value, float):
        _list(feature, "float_list", name).append(value)
    elif isinstance(value, int):
        values = _list(feature, "int64_list", name)
        if value > _INT64_MAX:
            raise invalid_argument(
                f"Feature: {name} has uint64_t element. Only int64_t is supported."
            )
        values.append(value)
    else:
        raise unexpected


def _list(feature: Any, kind: str, name: str) -> Any:
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid_argument(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}"
        )
    return getattr(feature, kind).value
