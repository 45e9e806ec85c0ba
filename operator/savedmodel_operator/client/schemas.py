"""JSON Schemas of tensors as TensorFlow Serving's REST API reads and writes them. Pure.

A `Library` collects what several places share (`#/components/schemas/…` of an OpenAPI 3.1
document). Types and shapes come from the signature; a size that is not known is not bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from savedmodel_operator.client.surface import DECIMALS, INTEGERS
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.facts import TensorSpec

Schema = dict[str, Any]
Side = Literal["request", "response"]

_PREFIX = "#/components/schemas/"
BASE64 = "Base64"

_NUMBER = (
    "In answers NaN, Infinity and -Infinity stand as bare tokens, which strict JSON does not know; "
    "requests may use them, too."
)
_WHOLE = "Written without a fraction or exponent: the server refuses 1.0."


class Library:
    """Shared schemas by name, in the order of their first use."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def add(self, name: str, schema: Schema) -> Schema:
        """Stores a schema under a free name; a reference to it."""
        self.schemas[name] = schema
        return {"$ref": _PREFIX + name}

    def tensor(
        self, key: str, tensor: TensorSpec, shape: tuple[int, ...] | None, side: Side
    ) -> Schema:
        """A tensor's value with this shape; () is one element, None any depth of arrays."""
        name = self._element(key, tensor, side)
        if shape is None:
            return self._any_rank(name)
        schema: Schema = {"$ref": _PREFIX + name}
        for size in reversed(shape):
            schema = array(schema, size)
        return schema

    def _element(self, key: str, tensor: TensorSpec, side: Side) -> str:
        """The name of the schema of one element."""
        if tensor.dtype == "DT_STRING":
            return self._string(key, side)
        name = f"Value.{python_name(tensor.dtype)}"
        if name not in self.schemas:
            self.schemas[name] = _scalar(tensor.dtype)
        return name

    def _string(self, key: str, side: Side) -> str:
        if BASE64 not in self.schemas:
            self.schemas[BASE64] = {
                "type": "object",
                "description": "Bytes. Strings that are no UTF-8 can only be said so.",
                "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"],
                "additionalProperties": False,
            }
        if side == "response" and key.endswith("_bytes"):
            return BASE64
        text: Schema = {"type": "string"}
        if side == "request":
            self.schemas["Value.string"] = {"anyOf": [text, {"$ref": _PREFIX + BASE64}]}
            return "Value.string"
        self.schemas["Value.text"] = {
            **text,
            "description": "The bytes as they are: no UTF-8, no JSON. Outputs whose name ends in "
            "_bytes come as base64.",
        }
        return "Value.text"

    def _any_rank(self, element: str) -> Schema:
        name = f"AnyRank.{element.removeprefix('Value.')}"
        reference: Schema = {"$ref": _PREFIX + name}
        self.schemas[name] = {
            "description": "The rank is not known: one element, or arrays of equal size.",
            "anyOf": [{"$ref": _PREFIX + element}, {"type": "array", "items": reference}],
        }
        return reference


def _scalar(dtype: str) -> Schema:
    if dtype in DECIMALS:
        word = "float" if dtype == "DT_FLOAT" else "double"
        return {"type": "number", "format": word, "description": _NUMBER}
    if dtype in INTEGERS:
        low, high = INTEGERS[dtype]
        name = python_name(dtype)
        return {
            "type": "integer",
            "format": name,
            "minimum": low,
            "maximum": high,
            "description": _WHOLE,
        }
    return {"type": "boolean"}


def array(items: Schema, size: int = -1, *, least: int = 0) -> Schema:
    """An array of exactly `size` items, or of any number from `least` on."""
    schema: Schema = {"type": "array", "items": items}
    if size >= 0:
        return {**schema, "minItems": size, "maxItems": size}
    return {**schema, "minItems": least} if least else schema


def record(fields: Mapping[str, Schema], *, required: bool = True, closed: bool = True) -> Schema:
    """An object of these fields."""
    schema: Schema = {"type": "object", "properties": dict(fields)}
    if required and fields:
        schema["required"] = sorted(fields)
    return {**schema, "additionalProperties": False} if closed else schema
