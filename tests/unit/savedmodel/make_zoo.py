"""Makes real SavedModels with TensorFlow and writes down what TensorFlow itself says of them.

Run as a program, `make_zoo.py FOLDER`, so that the test process never imports TensorFlow: one
folder per model and `truth.json`. Readers are TensorFlow's own protos, checkpoint reader and
`saved_model_utils`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2, tensor_bundle_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

v1 = tf.compat.v1
INTERNAL = ("__saved_model_init_op", "__saved_model_train_op")


class Plain(tf.Module):
    """y = x W, z = the sum of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.ones([4, 3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x @ self.weight, "z": tf.reduce_sum(x, axis=1)}


def keras3(path: str) -> None:
    inputs = {
        "features": keras.Input((4,), name="features"),
        "ids": keras.Input((2,), name="ids", dtype="int32"),
    }
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(inputs["ids"]))
    joined = keras.layers.Concatenate()([inputs["features"], embedded])
    outputs = {"score": keras.layers.Dense(1)(joined), "class": keras.layers.Dense(3)(joined)}
    keras.Model(inputs, outputs).export(path, verbose=False)


def keras2(path: str) -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(5,), name="out")])
    model.compile("sgd", "mse")
    tf_keras.models.save_model(model, path, save_format="tf")


def module(path: str) -> None:
    tf.saved_model.save(Plain(), path)


def two_signatures(path: str) -> None:
    plain = Plain()

    @tf.function
    def wide(ids, flag):
        return {"out": tf.cast(ids, tf.float64), "flag": flag}

    second = wide.get_concrete_function(
        tf.TensorSpec(None, tf.int64, name="ids"), tf.TensorSpec([], tf.bool, name="flag")
    )
    tf.saved_model.save(plain, path, signatures={"serving_default": plain.serve, "wide": second})


def no_signature(path: str) -> None:
    holder = tf.Module()
    holder.value = tf.Variable(1.0)
    tf.saved_model.save(holder, path)


def sharded(path: str) -> None:
    big = Plain()
    big.more = [tf.Variable(tf.fill([1000], float(i))) for i in range(5)]
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=6000)
    options = tf.saved_model.SaveOptions(experimental_sharding_callback=policy)
    tf.saved_model.save(big, path, options=options)


def vocabulary(path: str) -> None:
    class Lookup(tf.Module):
        def __init__(self, file: str) -> None:
            super().__init__()
            init = tf.lookup.TextFileInitializer(
                file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )  # fmt: skip
            self.table = tf.lookup.StaticHashTable(init, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="word")])
        def serve(self, word):
            return {"id": self.table.lookup(word)}

    file = Path(path).parent / "words.txt"
    file.write_text("a\nb\n")
    tf.saved_model.save(Lookup(str(file)), path)


def python_ops(path: str) -> None:
    class Calls(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x):
            twice = tf.py_function(lambda t: t * 2, [x], tf.float32)
            once = tf.numpy_function(lambda a: a, [x], tf.float32)
            return {"twice": tf.ensure_shape(twice, [None]), "once": tf.ensure_shape(once, [None])}

    tf.saved_model.save(Calls(), path)


def defaults(path: str) -> None:
    class Optional(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.float32, name="x"),
                tf.TensorSpec([], tf.float32, name="scale"),
            ]
        )
        def serve(self, x, scale=tf.constant(2.0)):  # noqa: B008  (that is the feature)
            return {"y": x * scale}

    optional = Optional()
    tf.saved_model.save(optional, path, signatures={"serving_default": optional.serve})


def control_flow(path: str) -> None:
    class Loop(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
        def serve(self, n):
            total = tf.zeros_like(n)
            for i in tf.range(3):
                total = total + (n if i > 1 else tf.abs(n))
            return {"total": total}

    tf.saved_model.save(Loop(), path)


def ragged_output(path: str) -> None:
    class Words(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
        def serve(self, s):
            return {"words": tf.strings.split(s), "same": s}

    tf.saved_model.save(Words(), path)


def tf1_builder(path: str) -> None:
    """Two MetaGraphs, classify and regress, a sparse input, a partitioned variable."""
    builder = v1.saved_model.Builder(path)
    with v1.Session(graph=tf.Graph()) as session:
        examples = v1.placeholder(tf.string, [None], "examples")
        sparse = v1.sparse_placeholder(tf.float32, [None, 7], "sparse")
        weight = v1.get_variable(
            "w", [10, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=False
        )
        scores = tf.zeros([tf.shape(examples)[0], 2]) + tf.reduce_sum(tf.convert_to_tensor(weight))
        classes = tf.as_string(scores)
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        make = v1.saved_model.signature_def_utils.build_signature_def
        signatures = {
            "classify": v1.saved_model.classification_signature_def(examples, classes, scores),
            "regress": v1.saved_model.regression_signature_def(examples, scores),
            "sparse": make(
                {"values": info(sparse)}, {"sum": info(tf.sparse.reduce_sum(sparse, 1))},
                "tensorflow/serving/predict",
            ),
        }  # fmt: skip
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.add_meta_graph(["serve", "tpu"], {"classify": signatures["classify"]})
    builder.save()


def frozen(path: str) -> None:
    builder = v1.saved_model.Builder(path)
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.float16, [2, None], "x")
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": x + 1})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
    builder.save()


def large_constant(path: str) -> None:
    """More than twelve windows of the reader: 32 MiB in one node."""

    class Constant(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="i")])
        def serve(self, i):
            table = tf.constant(np.arange(8 * 1024 * 1024, dtype=np.int32))
            return {"v": tf.gather(table, i)}

    tf.saved_model.save(Constant(), path)


MODELS = (
    keras3, keras2, module, two_signatures, no_signature, sharded, vocabulary, python_ops, defaults,
    control_flow, ragged_output, tf1_builder, frozen, large_constant,
)  # fmt: skip


def tensor_truth(info: Any) -> dict[str, Any]:
    kind = info.WhichOneof("encoding") or "name"
    shape = tf.TensorShape(info.tensor_shape)
    coo, parts = info.coo_sparse, info.composite_tensor.components
    names = {
        "name": [],
        "coo_sparse": [
            coo.values_tensor_name, coo.indices_tensor_name, coo.dense_shape_tensor_name
        ],
        "composite_tensor": [part.name for part in parts],
    }[kind]  # fmt: skip
    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "shape": None if shape.rank is None else [-1 if d is None else d for d in shape.as_list()],
        "name": info.name,
        "kind": {"name": "Dense", "coo_sparse": "Sparse", "composite_tensor": "Composite"}[kind],
        "parts": names,
    }


def metadata(meta: Any) -> dict[str, Any]:
    """The signatures as proto JSON, the way TensorFlow Serving's REST answer has them."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in meta.signature_def.items():
        signatures.signature_def[key].CopyFrom(signature)
    return json_format.MessageToDict(
        signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def graph_truth(meta: Any) -> dict[str, Any]:
    library = meta.graph_def.library.function
    functions = {f.signature.name for f in library}
    ops = Counter(n.op for n in meta.graph_def.node)
    ops.update(n.op for f in library for n in f.node_def)
    return {
        "tags": sorted(meta.meta_info_def.tags),
        "tensorflow": meta.meta_info_def.tensorflow_version,
        "producer": meta.graph_def.versions.producer,
        "min_consumer": meta.graph_def.versions.min_consumer,
        "nodes": len(meta.graph_def.node),
        "functions": len(functions),
        "ops": {op: n for op, n in sorted(ops.items()) if op not in functions},
        "assets": [a.filename for a in meta.asset_file_def],
        "init_op": INTERNAL[0] in meta.signature_def,
        "object_graph": meta.HasField("object_graph_def"),
        "signatures": {
            key: {
                "method": s.method_name,
                "inputs": {k: tensor_truth(t) for k, t in s.inputs.items()},
                "outputs": {k: tensor_truth(t) for k, t in s.outputs.items()},
                "defaults": sorted(s.defaults),
            }
            for key, s in meta.signature_def.items()
            if key not in INTERNAL
        },
    }


def variables_truth(folder: Path) -> dict[str, Any] | None:
    index = folder / "variables" / "variables.index"
    if not index.exists():
        return None
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return {
        name: {"dtype": types_pb2.DataType.Name(dtypes[name].as_datatype_enum), "shape": shape}
        for name, shape in shapes.items()
    }


def truth(folder: Path) -> dict[str, Any]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return {
        "schema": saved.saved_model_schema_version,
        "graphs": [graph_truth(meta) for meta in saved.meta_graphs],
        "variables": variables_truth(folder),
        "metadata": [metadata(meta) for meta in saved.meta_graphs],
    }


def main(folder: Path) -> None:
    assert tensor_bundle_pb2.BundleHeaderProto.LITTLE == 0
    found = {}
    for make in MODELS:
        keras.backend.clear_session()
        make(str(folder / make.__name__))
        found[make.__name__] = truth(folder / make.__name__)
    found["data_types"] = {n: v for n, v in types_pb2.DataType.items() if v < 100}
    found["python_names"] = {
        n: tf.as_dtype(v).name for n, v in found["data_types"].items() if v > 0
    }
    (folder / "truth.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
