"""Request bodies are read as RapidJSON 1.1.0 reads them, with its words and offsets.

That is the release TensorFlow Serving pins (tensorflow_serving/workspace.bzl). Vectors: the
parse states and error texts of its include/rapidjson/reader.h and error/en.h.
"""

from __future__ import annotations

import json
import math
import random

import pytest
from tensorflow_serving_compatible.errors import StatusError
from tensorflow_serving_compatible.json_parse import _Reader, members, parse

COMMA_ARRAY = "Missing a comma or ']' after an array element."
COMMA_OBJECT = "Missing a comma or '}' after an object member."
NAME, VALUE = "Missing a name for object member.", "Invalid value."
ESCAPE = "Invalid escape character in string."


@pytest.mark.parametrize(
    ("body", "words", "offset"),
    [
        (b" ", "The document is empty.", 1),
        (b"]", "The document is empty.", 0),
        (b"\x00", "The document is empty.", 0),
        (b"instances", VALUE, 0),
        (b'{"a":[1,2}', COMMA_ARRAY, 9),
        (b"[1 2", COMMA_ARRAY, 3),
        (b"[1", COMMA_ARRAY, 2),
        (b"[1,]", VALUE, 3),
        (b"[", VALUE, 1),
        (b'{"a":', VALUE, 5),
        (b'{"a":1,}', NAME, 7),
        (b"{1:2}", NAME, 1),
        (b"{", NAME, 1),
        (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
        (b'{"a":1 "b"}', COMMA_OBJECT, 7),
        (b'{"a":01}', COMMA_OBJECT, 6),
        (b'{"a":tru}', VALUE, 8),
        (b'{"a":In}', VALUE, 7),
        (b'{"a":-}', VALUE, 6),
        (b'{"a":1.}', "Miss fraction part in number.", 7),
        (b'{"a":1e}', "Miss exponent in number.", 7),
        (b'{"a":1e400}', "Number too big to be stored in double.", 5),
        (b'{"a":' + b"9" * 400 + b"}", "Number too big to be stored in double.", 5),
        (b'{"a":"x', "Missing a closing quotation mark in string.", 7),
        (b'{"a":"\\q"}', ESCAPE, 6),
        (b'{"a":"\x01"}', ESCAPE, 6),
        (b'{"a":"\\u12g4"}', "Incorrect hex digit after \\u escape in string.", 6),
        (b'{"a":"\\ud800x"}', "The surrogate pair in string is invalid.", 6),
        (b'{"a":"\\ud800\\u0041"}', "The surrogate pair in string is invalid.", 6),
    ],
)
def test_errors(body, words, offset):
    with pytest.raises(StatusError) as caught:
        parse(body)
    assert caught.value.message == f"JSON Parse error: {words} at offset: {offset}"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1} and whatever follows', {"a": 1}),
        (b"[Inf, -Inf, Infinity, -Infinity]", [math.inf, -math.inf, math.inf, -math.inf]),
        (b'{"a": 18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a": 18446744073709551616}', {"a": 2.0**64}),
        (b'{"a": -9223372036854775809}', {"a": -(2.0**63)}),
        (b'{"a": 1e2}', {"a": 100.0}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "\xff"}', {"a": "\udcff"}),
        (b'{"\\u0061": {"b": []}}', {"a": {"b": []}}),
    ],
)
def test_values(body, value):
    found = parse(body)
    assert found == value
    assert json.dumps(found) == json.dumps(value)  # 100.0 is not 100


def test_a_repeated_name():
    found = parse(b'{"a": 1, "a": 2, "b": 3}')
    assert found["a"] == 1
    assert members(found) == [("a", 1), ("a", 2), ("b", 3)]


def _document(rng: random.Random, depth: int = 0):
    kind = rng.randrange(8 if depth < 4 else 6)
    if kind == 6:
        return [_document(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {f"k{n}\u00e9\n": _document(rng, depth + 1) for n in range(rng.randrange(4))}
    return [None, True, rng.randrange(-(2**62), 2**62), rng.uniform(-1e9, 1e9), 't\u20ac"x', ""][
        kind
    ]


@pytest.mark.parametrize("seed", range(50))
def test_the_exact_reader_agrees_with_the_quick_one(seed):
    rng = random.Random(seed)
    value = _document(rng)
    body = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1])).encode()
    assert _Reader(body).read() == parse(body) == value
