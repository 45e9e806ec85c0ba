"""Writes the families' SavedModels. Run as a program, since it needs TensorFlow:

    python -m lab.matrix.make FOLDER < families.json

Neighbours: `variants` has what is written here, `make_exports` the models of real exporters. Graphs
are made of TensorFlow's own ops; the signatures are written as the variant promises them. Each
version is FOLDER/FAMILY/VERSION/1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.saved_model import nested_structure_coder

v1 = tf.compat.v1


def default_proto(dtype: Any, value: float) -> Any:
    """The tensor [value] of that dtype, as SignatureDef.defaults holds it."""
    if dtype == tf.string:
        return tf.make_tensor_proto([str(value)])
    return tf.make_tensor_proto(np.array([value]).astype(dtype.as_numpy_dtype))


def open_sizes(shape: list[int] | None) -> list[int | None] | None:
    """The shape as TensorFlow's Python writes it."""
    return None if shape is None else [None if n < 0 else n for n in shape]


def tensor_info(tensor: Any, shape: Any, kind: str) -> Any:
    """The TensorInfo that the file gets; sparse and composite ones are made of the same tensor."""
    info = meta_graph_pb2.TensorInfo(dtype=tensor.dtype.as_datatype_enum)
    info.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    if kind == "Dense":
        info.name = tensor.name
    elif kind == "Sparse":
        coo = info.coo_sparse
        coo.values_tensor_name = coo.indices_tensor_name = tensor.name
        coo.dense_shape_tensor_name = tensor.name
    else:
        spec = tf.RaggedTensorSpec([None, None], tensor.dtype)
        encoded = nested_structure_coder.encode_structure(spec)
        info.composite_tensor.type_spec.CopyFrom(encoded.type_spec_value)
        part = info.composite_tensor.components.add(name=tensor.name)
        part.dtype = info.dtype
        part.tensor_shape.CopyFrom(info.tensor_shape)
    return info


def add_input(name: str, given: dict[str, Any]) -> tuple[Any, Any]:
    """(tensor to feed, tensor that the kernels use)."""
    dtype = tf.as_dtype(given["dtype"])
    shape = open_sizes(given["shape"])
    fed = v1.placeholder(dtype, shape, name)
    return fed, tf.ensure_shape(fed, shape) if given["strict"] else fed


def batch_of(used: list[Any]) -> Any:
    """The size of dimension 0, as broadcasting would have it: the greatest of all inputs'."""
    sizes = [tf.concat([tf.shape(tensor), [1]], 0)[0] for tensor in used]
    return tf.reduce_max(tf.stack([*sizes, 1]))


def add_output(name: str, given: dict[str, Any], batch: Any, used: list[Any]) -> Any:
    """A tensor of the shape that the variant's kernels give, computed after all inputs."""
    shape = given["real"]
    if shape is None:
        shape = [-1] if given["shape"] is None else given["shape"]
    sizes = [batch if (i == 0 and n < 0) else 2 if n < 0 else n for i, n in enumerate(shape)]
    dtype = tf.as_dtype(given["dtype"])
    value = tf.constant("text" if dtype == tf.string else np.ones((), dtype.as_numpy_dtype), dtype)
    with tf.control_dependencies(used):
        return tf.fill(tf.stack(sizes) if sizes else tf.zeros([0], tf.int32), value, name=name)


def call_python(tensor: Any) -> Any:
    """The same values, by way of the Python process that built the graph.

    Inside a function, as TensorFlow 2 exports it: such a model loads and fails its requests, where
    the same op in the graph itself fails the load.
    """

    def call(given: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(lambda a: a, [given], given.dtype), given.shape)

    return tf.function(call, autograph=False)(tensor)


def add_signature(key: str, given: dict[str, Any], python: bool) -> Any:
    """Builds one signature's graph and its SignatureDef."""
    made = meta_graph_pb2.SignatureDef(method_name=given["method"])
    used = []
    for name, spec in given["inputs"].items():
        fed, checked = add_input(f"{key}_in_{name}", spec)
        used.append(call_python(checked) if python else checked)
        made.inputs[name].CopyFrom(tensor_info(fed, fed.shape, spec["kind"]))
        if spec["default"] is not None:
            made.defaults[name].CopyFrom(default_proto(fed.dtype, spec["default"]))
    batch = batch_of(used)
    for name, spec in given["outputs"].items():
        tensor = add_output(f"{key}_out_{name}", spec, batch, used)
        info = tensor_info(tensor, open_sizes(spec["shape"]), spec["kind"])
        made.outputs[name].CopyFrom(info)
    return made


def make_variant(folder: Path, given: dict[str, Any]) -> None:
    """One SavedModel without variables."""
    with tf.Graph().as_default() as graph:
        signatures = {
            key: add_signature(key, sig, given["python"])
            for key, sig in given["signatures"].items()
        }
        meta = v1.train.export_meta_graph(graph=graph)
    meta.meta_info_def.tags.append("serve")
    for key, made in signatures.items():
        meta.signature_def[key].CopyFrom(made)
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[meta])
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))


def main(root: Path) -> None:
    """Every family of the description on standard input."""
    for family, described in json.load(sys.stdin).items():
        for given in described["variants"]:
            make_variant(root / family / given["name"] / "1", given)
        if described["exports"]:
            from lab.matrix import make_exports

            for name in described["exports"]:
                make_exports.EXPORTS[name](str(root / family / name / "1"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
