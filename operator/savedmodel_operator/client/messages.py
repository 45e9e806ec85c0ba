"""The protocol messages of TensorFlow Serving that a client needs, built at run time.

Only field numbers and types are written down here (facts of the protocol, from the .proto files
named beside each table); a test compares every one with the descriptors that TensorFlow and
tensorflow-serving-api ship. They live in a pool of their own, so that TensorFlow may be imported
beside them. Enums are plain int32: the wire is the same, and unknown numbers survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from savedmodel_operator.client.errors import load

_TF, _SERVING = "tensorflow", "tensorflow.serving"
_TYPES = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9,
    "message": 11, "bytes": 12, "uint32": 13,
}  # fmt: skip
"""Numbers of FieldDescriptorProto.Type."""

_TENSOR = ".tensorflow.TensorProto"
_INFO = ".tensorflow.TensorInfo"
_SPEC = ".tensorflow.serving.ModelSpec"

Fields = Mapping[str, tuple[int, str]]
"""Name of a field → (number, type); a leading dot is a message, `map` has string keys."""

FRAMEWORK: Mapping[str, Fields] = {
    # tensorflow/core/framework/tensor_shape.proto, tensor.proto
    "TensorShapeProto": {
        "dim": (2, "repeated .tensorflow.TensorShapeProto.Dim"),
        "unknown_rank": (3, "bool"),
    },
    "TensorShapeProto.Dim": {"size": (1, "int64"), "name": (2, "string")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, ".tensorflow.TensorShapeProto"),
        "version_number": (3, "int32"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "repeated float"),
        "double_val": (6, "repeated double"),
        "int_val": (7, "repeated int32"),
        "string_val": (8, "repeated bytes"),
        "scomplex_val": (9, "repeated float"),
        "int64_val": (10, "repeated int64"),
        "bool_val": (11, "repeated bool"),
        "dcomplex_val": (12, "repeated double"),
        "half_val": (13, "repeated int32"),
        "uint32_val": (16, "repeated uint32"),
        "uint64_val": (17, "repeated uint64"),
        "float8_val": (18, "bytes"),
    },
    # tensorflow/core/protobuf/meta_graph.proto
    "TensorInfo": {
        "name": (1, "string"),
        "coo_sparse": (4, ".tensorflow.TensorInfo.CooSparse"),
        "composite_tensor": (5, ".tensorflow.TensorInfo.CompositeTensor"),
        "dtype": (2, "int32"),
        "tensor_shape": (3, ".tensorflow.TensorShapeProto"),
    },
    "TensorInfo.CooSparse": {
        "values_tensor_name": (1, "string"),
        "indices_tensor_name": (2, "string"),
        "dense_shape_tensor_name": (3, "string"),
    },
    "TensorInfo.CompositeTensor": {"components": (2, f"repeated {_INFO}")},
    "SignatureDef": {
        "inputs": (1, f"map {_INFO}"),
        "outputs": (2, f"map {_INFO}"),
        "method_name": (3, "string"),
        "defaults": (4, f"map {_TENSOR}"),
    },
    # tensorflow/core/example/feature.proto, example.proto
    "BytesList": {"value": (1, "repeated bytes")},
    "FloatList": {"value": (1, "repeated float")},
    "Int64List": {"value": (1, "repeated int64")},
    "Feature": {
        "bytes_list": (1, ".tensorflow.BytesList"),
        "float_list": (2, ".tensorflow.FloatList"),
        "int64_list": (3, ".tensorflow.Int64List"),
    },
    "Features": {"feature": (1, "map .tensorflow.Feature")},
    "Example": {"features": (1, ".tensorflow.Features")},
}

SERVING: Mapping[str, Fields] = {
    # tensorflow_serving/apis/model.proto
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, ".google.protobuf.Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    # predict.proto
    "PredictRequest": {
        "model_spec": (1, _SPEC),
        "inputs": (2, f"map {_TENSOR}"),
        "output_filter": (3, "repeated string"),
    },
    "PredictResponse": {"outputs": (1, f"map {_TENSOR}"), "model_spec": (2, _SPEC)},
    # get_model_metadata.proto
    "SignatureDefMap": {"signature_def": (1, "map .tensorflow.SignatureDef")},
    "GetModelMetadataRequest": {
        "model_spec": (1, _SPEC),
        "metadata_field": (2, "repeated string"),
    },
    "GetModelMetadataResponse": {
        "model_spec": (1, _SPEC),
        "metadata": (2, "map .google.protobuf.Any"),
    },
}

ONEOFS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "TensorInfo": ("encoding", ("name", "coo_sparse", "composite_tensor")),
    "Feature": ("kind", ("bytes_list", "float_list", "int64_list")),
    "ModelSpec": ("version_choice", ("version", "version_label")),
}
"""Message → (name of its oneof, its members)."""


@cache
def message(name: str) -> Any:
    """The class of a message, such as `TensorProto` or `PredictRequest`.

    Raises MissingExtraError where protobuf is not installed.
    """
    factory = load("google.protobuf.message_factory", "run", "the protocol of TensorFlow")
    package = _TF if name in FRAMEWORK else _SERVING
    return factory.GetMessageClass(_pool().FindMessageTypeByName(f"{package}.{name}"))


@cache
def _pool() -> Any:
    protobuf = "google.protobuf."
    purpose = "the protocol of TensorFlow"
    descriptors = load(protobuf + "descriptor_pb2", "run", purpose)
    pool = load(protobuf + "descriptor_pool", "run", purpose).DescriptorPool()
    for module in ("wrappers_pb2", "any_pb2"):
        pool.AddSerializedFile(load(protobuf + module, "run", purpose).DESCRIPTOR.serialized_pb)
    for package, tables, needs in (
        (_TF, FRAMEWORK, ()),
        (
            _SERVING,
            SERVING,
            ("google/protobuf/wrappers.proto", "google/protobuf/any.proto", f"{_TF}.proto"),
        ),
    ):
        file = descriptors.FileDescriptorProto(
            name=f"{package}.proto", package=package, syntax="proto3", dependency=needs
        )
        made: dict[str, Any] = {}
        for name, fields in tables.items():
            outer, _, inner = name.rpartition(".")
            parent = made[outer].nested_type if outer else file.message_type
            made[name] = parent.add(name=inner)
            _add_fields(made[name], f".{package}.{name}", fields)
            _add_oneof(made[name], name)
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_fields(target: Any, full_name: str, fields: Fields) -> None:
    for field, (number, given) in fields.items():
        word, _, kind = given.rpartition(" ")
        if word == "map":
            entry = "".join(part.capitalize() for part in field.split("_")) + "Entry"
            nested = target.nested_type.add(name=entry)
            nested.options.map_entry = True
            _add_fields(nested, "", {"key": (1, "string"), "value": (2, kind)})
            kind = f"{full_name}.{entry}"
        added = target.field.add(
            name=field,
            number=number,
            label=3 if word else 1,
            type=_TYPES.get(kind, _TYPES["message"]),
        )
        if kind.startswith("."):
            added.type_name = kind


def _add_oneof(target: Any, name: str) -> None:
    if name not in ONEOFS:
        return
    oneof, members = ONEOFS[name]
    target.oneof_decl.add(name=oneof)
    for field in target.field:
        if field.name in members:
            field.oneof_index = 0
