"""A client that knows nothing but an OpenAPI document: it builds bodies from the schemas alone.

Not the product's examples: values are made here from `type`, `minItems`, `const` and so on, so that
a schema that promises what the server does not take is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema

Json = Any


class DocumentClient:
    """One document, one HTTP client to its first server."""

    def __init__(self, document: dict[str, Any], http: httpx.Client) -> None:
        self.document, self._http = document, http

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema itself, or the one that it refers to."""
        while "$ref" in schema:
            found: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def validate(self, value: Json, schema: dict[str, Any]) -> None:
        """Raises jsonschema.ValidationError."""
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(method, path, operation)."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield method, path, operation

    def requests(self, operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Each kind of request body that an operation has."""
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for part in schema.get("oneOf", [schema]):
            yield self.resolve(part)

    def values(self, schema: dict[str, Any], depth: int = 0) -> Iterator[Json]:
        """Values of a schema, at least one for each alternative; arrays of two where it is free."""
        schema = self.resolve(schema)
        if "const" in schema:
            yield schema["const"]
        elif "anyOf" in schema:
            # Alternatives may refer back to themselves: AnyRank is an array of AnyRank.
            for part in schema["anyOf"][: 2 if depth < 6 else 1]:
                yield from self.values(part, depth + 3)
        elif schema.get("type") == "object":
            yield from self._objects(schema, depth)
        elif schema.get("type") == "array":
            count = min(max(schema.get("minItems", 2), 0), schema.get("maxItems", 2))
            for value in self.values(schema["items"], depth + 1):
                yield [value] * count
        else:
            yield scalar(schema)

    def _objects(self, schema: dict[str, Any], depth: int) -> Iterator[Json]:
        fields = schema.get("properties", {})
        if not fields:
            yield {}
        required = {
            key: list(self.values(fields[key], depth + 1)) for key in schema.get("required", [])
        }
        for at in range(max(map(len, required.values()), default=0)):
            yield {key: found[at % len(found)] for key, found in required.items()}

    def send(self, method: str, path: str, body: Json = None) -> httpx.Response:
        """One call; nothing is added but what the document says."""
        url = self.document["servers"][0]["url"] + path
        return (
            self._http.request(method, url, json=body)
            if body is not None
            else self._http.request(method, url)
        )

    def answer_schema(self, operation: dict[str, Any], status: int) -> dict[str, Any]:
        """The schema that an answer of this status is documented with."""
        responses = operation["responses"]
        response = self.resolve(responses.get(str(status), responses["default"]))
        found: dict[str, Any] = response["content"]["application/json"]["schema"]
        return found


def scalar(schema: dict[str, Any]) -> Json:
    """One value of a plain type."""
    kind = schema["type"]
    if isinstance(kind, list):
        return scalar({"type": kind[0]})
    if schema.get("contentEncoding") == "base64":
        return ""  # the bytes of an Example without features, and of no text
    return {"number": 0.25, "integer": 0, "string": "", "boolean": False}[kind]
