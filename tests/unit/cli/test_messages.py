"""Our run-time messages and tensors beside the classes that TensorFlow and Serving generate."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from tensorflow_serving_compatible import protos

from savedmodel_operator.client.arrays import NARROW, numpy_dtype
from savedmodel_operator.client.errors import MisfitError, NoAnswerError
from savedmodel_operator.client.messages import FRAMEWORK, ONEOFS, SERVING, message
from savedmodel_operator.client.tensor_proto import from_proto, to_proto
from savedmodel_operator.savedmodel.dtypes import proto_name

NAMES = [proto_name(number) for number in range(1, 34)]
VALUELESS = ("DT_RESOURCE", "DT_VARIANT")
MODULES = (
    protos.tensor_pb2, protos.tensor_shape_pb2, protos.meta_graph_pb2, protos.feature_pb2,
    protos.example_pb2, protos.model_pb2, protos.predict_pb2, protos.get_model_metadata_pb2,
)  # fmt: skip


def theirs(name: str) -> Any:
    """The generated class of a message, nested ones by their dotted name."""
    outer, *inner = name.split(".")
    found: Any = next(getattr(module, outer) for module in MODULES if hasattr(module, outer))
    for part in inner:
        found = getattr(found, part)
    return found.DESCRIPTOR


@pytest.mark.parametrize("name", [*FRAMEWORK, *SERVING])
def test_every_field_is_that_of_the_generated_class(name):
    ours, real = message(name).DESCRIPTOR, theirs(name)
    assert ours.full_name == real.full_name
    for field in ours.fields:
        other = real.fields_by_name[field.name]
        kind = other.type
        if kind == FieldDescriptor.TYPE_ENUM:
            kind = FieldDescriptor.TYPE_INT32  # the same on the wire
        assert (field.number, field.type) == (other.number, kind), field.name
        assert field.is_repeated == other.is_repeated, field.name
        if field.message_type is not None:
            assert field.message_type.full_name == other.message_type.full_name
            options = (field.message_type.GetOptions(), other.message_type.GetOptions())
            assert options[0].map_entry == options[1].map_entry
    for oneof in real.oneofs:
        members = [f.name for f in oneof.fields if f.name in ours.fields_by_name]
        if members and not oneof.name.startswith("_"):
            assert ONEOFS[name] == (oneof.name, tuple(members))


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What TensorFlow writes for each type, and what it reads from our bytes."""
    folder = tmp_path_factory.mktemp("tensors")
    (folder / "ours.json").write_text(json.dumps({name: ours(name) for name in WRITABLE}))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make_tensor_protos.py")), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "tf.json").read_text())
    return found


UNTYPED = ("DT_FLOAT8_E4M3FNUZ", "DT_FLOAT8_E4M3B11FNUZ", "DT_FLOAT8_E5M2FNUZ")
"""Types that TensorFlow's Python writes as content only."""

WRITABLE = [name for name in NAMES if name not in VALUELESS]
SIX = {"DT_STRING": [b"a", b"", b"\xff\0", b"b", b"c", b"d"], "DT_BOOL": [1, 0, 1, 0, 0, 1],
       "DT_INT2": [0, 1, -2, -1, 0, 1]}  # fmt: skip


def array_of(name: str) -> np.ndarray:
    array = np.empty(6, dtype=numpy_dtype(name))
    array[:] = SIX.get(name, [0, 1, 2, 3, 2, 1])
    return array.reshape(2, 3)


def ours(name: str) -> str:
    made = message("TensorProto")()
    to_proto(array_of(name), name, made)
    return base64.b64encode(made.SerializeToString()).decode()


def plain(array: np.ndarray) -> list[Any]:
    """As `make_tensor_protos.plain`, from our arrays."""
    if array.dtype == object:
        return [base64.b64encode(value).decode() for value in array.ravel().tolist()]
    if array.dtype.kind == "c":
        return [[value.real, value.imag] for value in array.ravel().tolist()]
    return [float(value) for value in array.ravel()]


def read(text: str) -> tuple[str, np.ndarray]:
    return from_proto(message("TensorProto").FromString(base64.b64decode(text)))


def test_the_types_are_all_of_tensorflow(tensorflow):
    assert sorted(tensorflow["written"]) == sorted(WRITABLE)


@pytest.mark.parametrize("name", WRITABLE)
def test_tensorflow_reads_what_we_write(tensorflow, name):
    assert tensorflow["read"][name] == {
        "dtype": name, "shape": [2, 3], "values": plain(array_of(name)),
    }  # fmt: skip


@pytest.mark.parametrize("name", WRITABLE)
def test_we_read_what_tensorflow_writes(tensorflow, name):
    written = tensorflow["written"][name]
    dtype, array = read(written["content"])
    assert (dtype, array.shape, plain(array)) == (name, (3,), written["values"])
    assert bool(written["typed"]) == (name not in UNTYPED)
    for text, value in zip(written["typed"], written["values"], strict=False):
        assert not message("TensorProto").FromString(base64.b64decode(text)).tensor_content
        _, repeated = read(text)
        assert (repeated.shape, plain(repeated)) == ((2, 2), [value] * 4)


@pytest.mark.parametrize("name", [n for n in WRITABLE if n not in NARROW or n == "DT_BFLOAT16"])
def test_typed_fields_are_read_element_by_element(name):
    """The stand-in's writer uses typed fields, by TensorFlow's generated class; the other types
    have no typed writer of TensorFlow or Serving."""
    from tensorflow_serving_compatible.tensors import Tensor, new_proto, storage

    number = protos.types_pb2.DataType.Value(name)
    array = array_of(name)
    values: Any = array.ravel().tolist()
    if name != "DT_STRING":
        values = array.ravel().view(np.dtype(storage(number)))
    typed = new_proto(Tensor(number, (2, 3), values))
    assert not typed.tensor_content
    dtype, found = read(base64.b64encode(typed.SerializeToString()).decode())
    assert (dtype, plain(found)) == (name, plain(array))
    assert plain(from_proto(typed)[1]) == plain(array)  # their class works as well as ours


def broken(**fields: Any) -> Any:
    made = message("TensorProto")(dtype=1)
    for size in fields.pop("dims", (2,)):
        made.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (broken(tensor_content=b"123"), "2 elements in 3 bytes"),
        (broken(dims=(-1,)), "impossible shape"),
        (broken(dims=(2**62, 4)), "impossible shape"),
        (broken(dtype=7, tensor_content=b"\x05"), "breaks off"),
        (broken(dtype=7, tensor_content=b"\xff\xff\xff\xff\xff\xff"), "breaks off"),
        (broken(dtype=7, tensor_content=b"\x01\x01abc"), "wrong lengths"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(made, words):
    with pytest.raises(NoAnswerError, match=words):
        from_proto(made)


def test_types_without_values_are_named():
    with pytest.raises(MisfitError, match="variant has no values"):
        from_proto(broken(dtype=21))
