"""Our JSON against Serving's rules for it: what we write it reads, what it writes we read.

The other side is the stand-in's reader and writer, which are held against TensorFlow Serving's own
vectors (json_tensor_test.cc) in tests/unit/serving_compatible.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow_serving_compatible import json_result, json_tensor
from tensorflow_serving_compatible.protos import types_pb2
from tensorflow_serving_compatible.tensors import Tensor

from savedmodel_operator.client.arrays import numpy_dtype
from savedmodel_operator.client.bodies import read_answer, write_request
from savedmodel_operator.client.errors import ClientError, MisfitError, NoAnswerError
from savedmodel_operator.client.surface import CARRIED, Form
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

FORMS = ("row", "column")
WORD: dict[Form, Any] = {"row": "row", "column": "columnar"}


@st.composite
def tensors(draw: st.DrawFn, batch: int, names: tuple[str, ...]) -> dict[str, tuple[str, Any]]:
    """Some named tensors with the same first dimension; no dimension is 0."""
    chosen = draw(st.sets(st.sampled_from(names), min_size=1))
    found = {}
    for key in sorted(chosen):
        dtype = draw(st.sampled_from(sorted(CARRIED)))
        shape = (batch, *draw(st.lists(st.integers(1, 3), max_size=2)))
        if dtype == "DT_STRING":
            size = int(np.prod(shape))
            flat = draw(st.lists(st.binary(max_size=5), min_size=size, max_size=size))
            array = np.empty(size, dtype=object)
            array[:] = flat
            array = array.reshape(shape)
        else:
            array = draw(hnp.arrays(numpy_dtype(dtype), shape))
        found[key] = (dtype, array)
    return found


def signature(side: dict[str, tuple[str, Any]]) -> Signature:
    specs = {key: TensorSpec(dtype, None, f"{key}:0") for key, (dtype, _) in side.items()}
    return Signature("", specs, specs)


def same(one: Any, other: Any) -> bool:
    if one.dtype == object:
        return one.shape == other.shape and one.tolist() == other.tolist()
    return bool(
        one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data(), form=st.sampled_from(FORMS), batch=st.integers(1, 3))
def test_serving_reads_what_we_write(data, form, batch):
    side = data.draw(tensors(batch, ("a", "b_bytes", "é")))
    feeds = {key: array for key, (_, array) in side.items()}
    body = write_request("name", signature(side), feeds, form)
    infos = {key: types_pb2.DataType.Value(dtype) for key, (dtype, _) in side.items()}
    read = json_tensor.read_predict(body, lambda name: infos)
    assert (read.signature_name, read.format) == ("name", WORD[form])
    assert read.inputs.keys() == feeds.keys()
    for key, array in feeds.items():
        found = read.inputs[key]
        values = found.values if array.dtype == object else np.asarray(found.values)
        if array.dtype == object:
            assert (found.shape, list(values)) == (array.shape, array.ravel().tolist())
        else:
            assert same(values.reshape(found.shape), array)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), form=st.sampled_from(FORMS), batch=st.integers(1, 3))
def test_we_read_what_serving_writes(data, form, batch):
    side = data.draw(tensors(batch, ("a", "b_bytes", "é")))
    written = {
        key: Tensor(
            types_pb2.DataType.Value(dtype),
            array.shape,
            array.ravel().tolist() if dtype == "DT_STRING" else array.ravel(),
        )
        for key, (dtype, array) in side.items()
    }
    text = json_result.tensors_json(written, WORD[form])
    found = read_answer(text.encode("utf-8", "surrogateescape"), signature(side), form)
    assert found.keys() == side.keys()
    for key, (_, array) in side.items():
        assert same(found[key], array), key


ONE = Signature("", {}, {"y": TensorSpec("DT_INT32", (-1,), "y:0")})
TWO = Signature("", {}, {**ONE.outputs, "s_bytes": TensorSpec("DT_STRING", (-1,), "s:0")})
HOSTILE = {
    "no JSON": (ONE, b"<html>"),
    "another document": (ONE, b'{"results": []}'),
    "a list": (ONE, b"[]"),
    "null": (ONE, b'{"predictions": null}'),
    "ragged": (ONE, b'{"predictions": [[1], [2, 3]]}'),
    "text for a number": (ONE, b'{"predictions": ["a"]}'),
    "digits for a number": (ONE, b'{"predictions": ["1"]}'),
    "a fraction": (ONE, b'{"predictions": [1.5]}'),
    "a boolean": (ONE, b'{"predictions": [true]}'),
    "a number beyond the type": (ONE, b'{"predictions": [99999999999]}'),
    "bare rows of two outputs": (TWO, b'{"predictions": [1]}'),
    "an output missing": (TWO, b'{"predictions": [{"y": 1}]}'),
    "no base64": (TWO, b'{"predictions": [{"y": 1, "s_bytes": {"b64": "?"}}]}'),
    "a number for text": (TWO, b'{"predictions": [{"y": 1, "s_bytes": 5}]}'),
    "too deep": (ONE, b'{"predictions": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "ragged text": (
        Signature("", {}, {"s": TensorSpec("DT_STRING", (-1,), "s:0")}),
        b'{"predictions": [["a"], ["b", "c"]]}',
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_answer_that_is_none_is_said(case):
    signature_, body = HOSTILE[case]
    with pytest.raises(NoAnswerError, match="no predict answer for these outputs"):
        read_answer(body, signature_, "row")


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60) | st.sampled_from([b'{"predictions": ', b"[[", b"{"]))
def test_no_bytes_crash_the_reader(body):
    for form in FORMS:
        with contextlib.suppress(ClientError):
            read_answer(body, TWO, form)


def test_what_a_form_cannot_say():
    both = {"a": ("DT_FLOAT", np.zeros((2,), "f4")), "b": ("DT_FLOAT", np.zeros((3,), "f4"))}
    feeds = {key: array for key, (_, array) in both.items()}
    with pytest.raises(
        MisfitError, match=r"numbers of rows \(a \[2\], b \[3\]\); try --rest column"
    ):
        write_request("s", signature(both), feeds, "row")
    assert b'"inputs": {"a": [0.0, 0.0], "b"' in write_request(
        "s", signature(both), feeds, "column"
    )
    none = {"a": ("DT_FLOAT", np.zeros((0, 2), "f4"))}
    with pytest.raises(MisfitError, match="there are no rows"):
        write_request("s", signature(none), {"a": none["a"][1]}, "row")
