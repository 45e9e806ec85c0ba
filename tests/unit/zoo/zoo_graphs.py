"""Models of TensorFlow 1's builder, and models whose files were edited after a real save. Each
function writes one model; `ORIGINS` says what wrote it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf
import zoo_modules
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.ops import control_flow_util

v1 = tf.compat.v1
PREDICT = "tensorflow/serving/predict"


def _save(path, session, signatures, tags=("serve",), **options):
    builder = v1.saved_model.Builder(path)
    builder.add_meta_graph_and_variables(session, list(tags), signatures, **options)
    builder.save()


def _predict(inputs, outputs):
    return v1.saved_model.predict_signature_def(inputs, outputs)


def _linear(use_resource=True):
    x = v1.placeholder(tf.float32, [None, 4], "x")
    return x, x @ v1.get_variable("w", [4, 3], use_resource=use_resource)


def _example_heads():
    """The signatures of a classifier and a regressor over serialised examples."""
    examples = v1.placeholder(tf.string, [None], "input_example_tensor")
    parsed = tf.io.parse_example(examples, {"age": tf.io.FixedLenFeature([1], tf.float32)})
    scores = tf.concat([parsed["age"], parsed["age"] * 2], 1)
    make = v1.saved_model
    return {
        "serving_default": make.classification_signature_def(
            examples, tf.as_string(scores), scores
        ),
        "classification": make.classification_signature_def(examples, None, scores),
        "regression": make.regression_signature_def(examples, parsed["age"]),
        "predict": make.predict_signature_def({"examples": examples}, {"scores": scores}),
    }


def tf1_predict(path: str) -> None:
    with v1.Session(graph=tf.Graph()) as session:
        x, y = _linear()
        session.run(v1.global_variables_initializer())
        _save(path, session, {"serving_default": _predict({"x": x}, {"y": y})})


def tf1_reference_variables(path: str) -> None:
    """Variables as they were before resources, defaults stripped from the attributes."""
    with v1.Session(graph=tf.Graph()) as session:
        x, y = _linear(use_resource=False)
        session.run(v1.global_variables_initializer())
        signature = {"serving_default": _predict({"x": x}, {"y": y})}
        _save(path, session, signature, strip_default_attrs=True)


def tf1_classify_regress(path: str) -> None:
    with v1.Session(graph=tf.Graph()) as session:
        _save(path, session, _example_heads())


def estimator(path: str) -> None:
    """As tf.estimator exported: its signature keys, its placeholder and its global step."""
    with v1.Session(graph=tf.Graph()) as session:
        v1.train.create_global_step()
        heads = _example_heads()
        session.run(v1.global_variables_initializer())
        _save(path, session, heads, strip_default_attrs=True)


def tf1_tag_sets(path: str) -> None:
    builder = v1.saved_model.Builder(path)
    with v1.Session(graph=tf.Graph()) as session:
        x, y = _linear()
        session.run(v1.global_variables_initializer())
        signature = {"serving_default": _predict({"x": x}, {"y": y})}
        builder.add_meta_graph_and_variables(session, ["train"], signature)
    for tags in (["serve"], ["serve", "gpu"], ["eval", "tpu", "serve"], []):
        with v1.Session(graph=tf.Graph()):
            x, y = _linear()
            more = {"more": _predict({"x": x}, {"y": y, "z": y + 1.0})}
            builder.add_meta_graph(tags, {"serving_default": _predict({"x": x}, {"y": y}), **more})
    builder.save()


def tf1_partitioned(path: str) -> None:
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.float32, [None, 10], "x")
        parts = v1.fixed_size_partitioner(3)
        weight = v1.get_variable("w", [10, 2], partitioner=parts, use_resource=False)
        session.run(v1.global_variables_initializer())
        y = x @ tf.convert_to_tensor(weight)
        _save(path, session, {"serving_default": _predict({"x": x}, {"y": y})})


def tf1_frozen(path: str) -> None:
    """No variables folder at all; half precision, one fixed size."""
    with v1.Session(graph=tf.Graph()) as session:
        x = v1.placeholder(tf.float16, [2, None], "x")
        _save(path, session, {"serving_default": _predict({"x": x}, {"y": x + 1})})


def tf1_sparse(path: str) -> None:
    """CooSparse tensors in and out."""
    with v1.Session(graph=tf.Graph()) as session:
        sparse = v1.sparse_placeholder(tf.float32, [None, 7], "sparse")
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {"values": info(sparse)},
            {"sum": info(tf.sparse.reduce_sum(sparse, 1)), "same": info(sparse * 2.0)},
            PREDICT,
        )
        _save(path, session, {"serving_default": signature})


def tf1_loop(path: str) -> None:
    """Control flow as it was: Enter, Switch, Merge, NextIteration, Exit in the graph itself."""
    before = control_flow_util.ENABLE_CONTROL_FLOW_V2
    v1.disable_control_flow_v2()
    try:
        with v1.Session(graph=tf.Graph()) as session:
            n = v1.placeholder(tf.int32, [], "n")
            total = v1.while_loop(lambda i, _: i < n, lambda i, t: (i + 1, t + i), [0, 0])[1]
            y = v1.cond(n > 2, lambda: total + 1, lambda: total - 1)
            _save(path, session, {"serving_default": _predict({"n": n}, {"y": y})})
    finally:
        (v1.enable_control_flow_v2 if before else v1.disable_control_flow_v2)()


def tf1_table(path: str) -> None:
    """An asset by collection and a table initialiser as main op."""
    file = Path(path).parent / "tf1_words.txt"
    file.write_text("a\nb\n")
    with v1.Session(graph=tf.Graph()) as session:
        asset = tf.constant(str(file))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        index = tf.lookup.TextFileIndex
        init = tf.lookup.TextFileInitializer(
            asset, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
        )
        table = tf.lookup.StaticHashTable(init, -1)
        word = v1.placeholder(tf.string, [None], "word")
        signature = {"serving_default": _predict({"word": word}, {"id": table.lookup(word)})}
        session.run(v1.tables_initializer())
        _save(path, session, signature, main_op=v1.tables_initializer(),
              assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS))  # fmt: skip


def tf1_no_signatures(path: str) -> None:
    with v1.Session(graph=tf.Graph()) as session:
        _linear()
        session.run(v1.global_variables_initializer())
        _save(path, session, None)


def _read(path: str):
    return saved_model_pb2.SavedModel.FromString(Path(path, "saved_model.pb").read_bytes())


def _write(path: str, saved) -> None:
    Path(path, "saved_model.pb").write_bytes(saved.SerializeToString())


def edited_text(path: str) -> None:
    """saved_model.pbtxt alone, of a model with functions and escapes."""
    zoo_modules.control_flow(path)
    text = text_format.MessageToString(_read(path))
    Path(path, "saved_model.pb").unlink()
    Path(path, "saved_model.pbtxt").write_text(text)


def edited_text_of_tf1(path: str) -> None:
    """The same of a TF1 graph, on one line and with UTF-8 as it is."""
    tf1_tag_sets(path)
    text = text_format.MessageToString(_read(path), as_one_line=True, as_utf8=True)
    Path(path, "saved_model.pb").unlink()
    Path(path, "saved_model.pbtxt").write_text(text)


def edited_both(path: str) -> None:
    """A text file of another model beside the binary one, which wins."""
    zoo_modules.module(path)
    other = f"{path}.other"
    zoo_modules.scalars(other)
    Path(path, "saved_model.pbtxt").write_text(text_format.MessageToString(_read(other)))
    shutil.rmtree(other)


def edited_custom_op(path: str) -> None:
    """Ops that no TensorFlow has, in the graph and in a function; the op list knows one of them."""
    zoo_modules.control_flow(path)
    saved = _read(path)
    graph = saved.meta_graphs[0].graph_def
    graph.node.add(name="mine", op="MyCompany>FastTokenize")
    graph.library.function[0].node_def.add(name="inner", op="OurInnerOp")
    declared = saved.meta_graphs[0].meta_info_def.stripped_op_list.op.add(name="OurInnerOp")
    declared.attr.add(name="T", type="type")
    _write(path, saved)


def edited_versions(path: str) -> None:
    """A graph that asks for a newer consumer and refuses two, without an op list."""
    zoo_modules.module(path)
    saved = _read(path)
    meta = saved.meta_graphs[0]
    meta.graph_def.versions.producer = 99999
    meta.graph_def.versions.min_consumer = 5000
    meta.graph_def.versions.bad_consumers.extend([2129, 2288])
    meta.meta_info_def.ClearField("stripped_op_list")
    _write(path, saved)


def edited_names(path: str) -> None:
    """Keys that are text but not ASCII, empty keys, and a tensor that the graph has not got."""
    zoo_modules.module(path)
    saved = _read(path)
    signatures = saved.meta_graphs[0].signature_def
    signatures["größe/日本"].CopyFrom(signatures["serving_default"])
    signatures["größe/日本"].inputs["ein gabe\n"].CopyFrom(
        signatures["serving_default"].inputs["x"]
    )
    signatures[""].CopyFrom(signatures["serving_default"])
    signatures[""].outputs["gone"].CopyFrom(signatures[""].outputs["y"])
    signatures[""].outputs["gone"].name = "absent/tensor:0"
    _write(path, saved)


def edited_contradictions(path: str) -> None:
    """Signatures that say other dtypes and shapes than the graph has: requests would fail."""
    zoo_modules.two_signatures(path)
    saved = _read(path)
    signatures = saved.meta_graphs[0].signature_def
    signatures["serving_default"].inputs["x"].dtype = tf.int64.as_datatype_enum
    signatures["serving_default"].outputs["y"].dtype = tf.float16.as_datatype_enum
    flag = signatures["wide"].inputs["flag"].tensor_shape
    flag.dim.add(size=3)
    _write(path, saved)


def beside(path: str) -> None:
    """Files that belong to no SavedModel, and one without a byte."""
    zoo_modules.module(path)
    for name, content in (("model.tflite", b"TFL3"), ("README.md", b"hello"), ("_SUCCESS", b"")):
        Path(path, name).write_bytes(content)
    Path(path, "assets.extra").mkdir()
    Path(path, "assets.extra", "saved_model_config.pb").write_bytes(b"")


TF1 = (
    tf1_predict, tf1_reference_variables, tf1_classify_regress, tf1_tag_sets, tf1_partitioned,
    tf1_frozen, tf1_sparse, tf1_loop, tf1_table, tf1_no_signatures, edited_text_of_tf1,
)  # fmt: skip
EDITED = (
    edited_text, edited_both, edited_custom_op, edited_versions, edited_names,
    edited_contradictions, beside,
)  # fmt: skip
ORIGINS = (
    dict.fromkeys(TF1, "TF1 builder")
    | {estimator: "Estimator export"}
    | dict.fromkeys(EDITED, "tf.Module save")
)
