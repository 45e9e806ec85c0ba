"""A golden file becomes a request that can be sent, and the answer it should get. Pure.

JSON: `{"request": …, "response": …}` as TensorFlow Serving's REST API has them, in row form
(`instances`, `predictions`), column form (`inputs`, `outputs`) or with `examples` and `results`.
npz: the arrays `in:NAME` are sent in column form, `out:NAME` are expected. Without a response
nothing is compared. Whoever reads the ConfigMap calls `read_golden`; `golden` judges answers.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from savedmodel_operator.api.golden import GoldenRequest
from savedmodel_operator.gate.golden_npz import Array, MalformedNpz, read_npz
from savedmodel_operator.gate.verdict import listed, short

FORMS = {"instances": "predictions", "inputs": "outputs", "examples": "results"}
"""Part of a request → part of its response."""

MAX_FILE = 1024 * 1024
"""Bytes; the API server's own limit for a ConfigMap."""

UNSENDABLE = frozenset({"float16", "uint16"})
"""JSON has no place for them in TensorFlow Serving (facts/tensorflow.md §3)."""


class MalformedGolden(ValueError):
    """A file that says no request; the text names the field, the file and the remedy."""


@dataclass(frozen=True)
class Golden:
    """One golden request. `form`: instances, inputs or examples; `expected` is a REST response."""

    request: GoldenRequest
    form: str
    body: bytes
    expected: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """As the spec calls it."""
        return self.request.name

    @property
    def file(self) -> str:
        """Where it stands, for messages."""
        return f"ConfigMap {self.request.config_map.name}, key {self.request.config_map.key}"


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """A short name for the content of (request, file) pairs; "" for none."""
    found = hashlib.sha256()
    empty = True
    for name, data in files:
        empty = False
        found.update(f"{name} {len(data)} ".encode() + data)
    return "" if empty else found.hexdigest()[:12]


def where(request: GoldenRequest) -> str:
    """The field and the file, as messages begin."""
    place = request.config_map
    return f"gate.requests[{request.name}]: ConfigMap {place.name}, key {place.key}"


def read_golden(request: GoldenRequest, data: bytes) -> Golden:
    """The request in a file. Raises MalformedGolden."""
    if len(data) > MAX_FILE:
        raise MalformedGolden(
            f"{where(request)}: it has {len(data)} bytes, at most 1 MiB is read; send fewer rows"
        )
    try:
        return _from_npz(request, data) if data[:2] == b"PK" else _from_json(request, data)
    except (_MalformedError, MalformedNpz) as error:
        raise MalformedGolden(f"{where(request)}: {error}") from None


class _MalformedError(ValueError):
    """A clause without the place."""


def _from_json(request: GoldenRequest, data: bytes) -> Golden:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _MalformedError(
            f"it is no JSON ({str(error)[:200]}); write {{"
            '"request": {"instances": […]}, "response": {"predictions": […]}}'
        ) from None
    content = _object(content, "the file")
    unknown = sorted(content.keys() - {"request", "response"})
    if unknown:
        raise _MalformedError(f"it has {listed(unknown)}; only request and response belong there")
    asked = _object(content.get("request"), "request")
    form = _form(asked)
    named = asked.get("signature_name", request.signature)
    if named != request.signature:
        raise _MalformedError(
            f"request.signature_name is {short(str(named))} and the field signature is "
            f"{short(request.signature)}; write the same into both"
        )
    body = {"signature_name": request.signature, **asked}
    return Golden(request, form, _encode(body), _expected(content, form))


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _MalformedError(f"{what} is no JSON object")
    return value


def _form(asked: Mapping[str, Any]) -> str:
    forms = [form for form in FORMS if form in asked]
    if len(forms) != 1:
        raise _MalformedError("request must have exactly one of instances, inputs and examples")
    return forms[0]


def _expected(content: Mapping[str, Any], form: str) -> Mapping[str, Any] | None:
    if "response" not in content:
        return None
    response = _object(content["response"], "response")
    if FORMS[form] not in response:
        raise _MalformedError(
            f"request has {form}, so response must have {FORMS[form]}; it has "
            f"{listed(sorted(response))}"
        )
    return response


def _from_npz(request: GoldenRequest, data: bytes) -> Golden:
    sides: dict[str, dict[str, Array]] = {"in": {}, "out": {}}
    for name, array in read_npz(data).items():
        side, colon, key = name.partition(":")
        if not colon or side not in sides or not key:
            raise _MalformedError(
                f"it has an array {short(name)}; name inputs in:NAME and expected outputs out:NAME"
            )
        sides[side][key] = array
    if not sides["in"]:
        raise _MalformedError("it has no array in:NAME, so there is nothing to send")
    for key, array in sides["in"].items():
        if array.dtype in UNSENDABLE:
            raise _MalformedError(
                f"in:{short(key)} is {array.dtype}, which TensorFlow Serving's REST API does not "
                f"take; store it as float32 or int32 if the signature takes that"
            )
    inputs = {key: _json_form(array.nested) for key, array in sides["in"].items()}
    body = _encode({"signature_name": request.signature, "inputs": inputs})
    outputs = {key: _json_form(array.nested) for key, array in sides["out"].items()}
    return Golden(request, "inputs", body, {"outputs": outputs} if outputs else None)


def _json_form(nested: Any) -> Any:
    """Strings as the REST API takes bytes of any kind."""
    if isinstance(nested, bytes):
        return {"b64": base64.b64encode(nested).decode()}
    return [_json_form(item) for item in nested] if isinstance(nested, list) else nested


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode("ascii")
