"""Predict requests and answers in Serving's JSON, rows (`instances`) and columns (`inputs`). Pure.

Rules of util/json_tensor.cc: one output stands bare, several stand as objects; strings that are no
UTF-8 travel as `{"b64": …}`; NaN and infinities are bare tokens that strict JSON does not know.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from savedmodel_operator.client.arrays import Array, flatten, numpy_dtype
from savedmodel_operator.client.errors import MisfitError, NoAnswerError
from savedmodel_operator.client.surface import Form, carry_problem, shape_words
from savedmodel_operator.savedmodel.facts import Signature


def write_request(name: str, signature: Signature, feeds: Mapping[str, Array], form: Form) -> bytes:
    """The body of `POST …:predict`. Raises MisfitError for what this form cannot say."""
    problem = carry_problem(signature)
    if problem:
        raise MisfitError(f"REST cannot call this signature: {problem}")
    for key in sorted(signature.inputs.keys() - feeds.keys()):
        raise MisfitError(
            f"input {key!r} is missing: it has a default, but only gRPC lets clients leave it out; "
            "a REST request names all inputs"
        )
    values = {key: _plain(key, array) for key, array in feeds.items()}
    if form == "column":
        body: dict[str, Any] = {"inputs": values}
    else:
        count = _row_count(feeds)
        rows = [{key: value[at] for key, value in values.items()} for at in range(count)]
        body = {"instances": rows}
    return json.dumps({"signature_name": name, **body}).encode()


def _row_count(feeds: Mapping[str, Array]) -> int:
    for key, array in sorted(feeds.items()):
        if not array.ndim:
            raise MisfitError(f"input {key!r} is a scalar, which has no rows; try --rest column")
    counts = {len(array) for array in feeds.values()}
    if len(counts) > 1:
        shapes = ", ".join(f"{key} {shape_words(a.shape)}" for key, a in sorted(feeds.items()))
        raise MisfitError(
            f"the inputs have different numbers of rows ({shapes}); try --rest column"
        )
    if counts == {0}:
        raise MisfitError("there are no rows; Serving refuses an empty list of instances")
    return counts.pop()


def _plain(key: str, array: Array) -> Any:
    if array.dtype != object:
        return array.tolist()
    texts = np.empty(array.shape, dtype=object)
    for index, value in np.ndenumerate(array):
        texts[index] = text_or_b64(key, value)
    return texts.tolist()


def text_or_b64(key: str, value: bytes) -> str | dict[str, str]:
    """Bytes as JSON: text where it is UTF-8 and the name does not say bytes, else base64.

    >>> text_or_b64("word", b"a"), text_or_b64("image_bytes", b"a")
    ('a', {'b64': 'YQ=='})
    """
    if not key.endswith("_bytes"):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode()}


def read_answer(body: bytes, signature: Signature, form: Form) -> dict[str, Array]:
    """The outputs of a 200 answer, by name. Raises NoAnswerError for any other text."""
    try:
        # Strings of a model need not be UTF-8; these bytes come back out of the escape below.
        data = json.loads(body.decode("utf-8", "surrogateescape"))
        return _outputs(data, signature, form)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise NoAnswerError(
            f"the answer is no predict answer for these outputs: {str(error)[:200]}"
        ) from None


def _outputs(data: Any, signature: Signature, form: Form) -> dict[str, Array]:
    value = data["predictions" if form == "row" else "outputs"]
    keys = sorted(signature.outputs)
    if len(keys) == 1:
        columns = {keys[0]: value}
    elif form == "column":
        columns = {key: value[key] for key in keys}
    else:
        columns = {key: [row[key] for row in value] for key in keys}
    return {key: _array(columns[key], signature.outputs[key].dtype) for key in keys}


_TYPES: Mapping[str, set[type]] = {"f": {int, float}, "b": {bool}, "i": {int}, "u": {int}}
"""What JSON values a kind of numbers is made of; numpy itself would read "1" and cut 1.5."""


def _array(value: Any, dtype: str) -> Array:
    flat, shape = flatten(value)
    array = np.empty(len(flat), dtype=numpy_dtype(dtype))
    if dtype == "DT_STRING":
        array[:] = [_bytes(element) for element in flat]
        return array.reshape(shape)
    odd = {type(element) for element in flat} - _TYPES[array.dtype.kind]
    if odd:
        raise TypeError(f"{odd.pop().__name__} where {array.dtype.name} belongs")
    with np.errstate(over="ignore"):  # a double beyond float's range is an infinity, as in C++
        array[:] = flat
    return array.reshape(shape)


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no string")
    return value.encode("utf-8", "surrogateescape")
