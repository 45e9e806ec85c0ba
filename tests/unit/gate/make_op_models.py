"""Makes SavedModels whose ops or versions a server may refuse: `make_op_models.py FOLDER`.

Run as a program, so that the test process never imports TensorFlow. One model is exported, the
others are it with one thing changed in the file, as a newer TensorFlow would have written it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2, versions_pb2
from tensorflow.core.protobuf import saved_model_pb2

THIS = tf.version.GRAPH_DEF_VERSION


class Plain(tf.Module):
    """`serve` is called through the signature, `other` by nobody."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(self, x):
        return {"y": tf.nn.relu(x) + tf.gather_nd(x, [[0]])}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def other(self, x):
        return tf.nn.softplus(x)


class Jxl(tf.Module):
    """An op that came with TensorFlow 2.21."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
    def serve(self, x):
        return {"y": tf.raw_ops.DecodeJxl(contents=x)}


Model = saved_model_pb2.SavedModel


def _nodes(model: Model) -> Iterator[node_def_pb2.NodeDef]:
    graph = model.meta_graphs[0].graph_def
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _versions(model: Model) -> versions_pb2.VersionDef:
    return model.meta_graphs[0].graph_def.versions


def _renamed(old: str, new: str) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        [node] = [node for node in _nodes(model) if node.op == old]
        node.op = new

    return change


def _added(op: str) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        node = model.meta_graphs[0].graph_def.node.add(name="added", op=op)
        if op == "PlaceholderV2":
            node.attr["dtype"].type = 1
            node.attr["shape"].shape.dim.add(size=1)

    return change


def new_attribute(model: Model) -> None:
    [node] = [node for node in _nodes(model) if node.op == "GatherNd"]
    node.attr["of_tomorrow"].i = 7
    for op in model.meta_graphs[0].meta_info_def.stripped_op_list.op:
        if op.name == "GatherNd":
            attribute = op.attr.add(name="of_tomorrow", type="int")
            attribute.default_value.i = 0


CHANGES: dict[str, Callable[[Model], object]] = {
    "as_it_is": lambda _: None,
    "unknown_in_signature": _renamed("Relu", "OfTomorrow"),
    "unknown_in_graph": _added("OfTomorrow"),
    "unknown_uncalled": _renamed("Softplus", "OfTomorrow"),
    "ended_in_graph": _added("PlaceholderV2"),
    "new_attribute": new_attribute,
    "min_consumer_above": lambda m: setattr(_versions(m), "min_consumer", THIS + 1),
    "min_consumer_equal": lambda m: setattr(_versions(m), "min_consumer", THIS),
    "bad_consumer": lambda m: _versions(m).bad_consumers.append(THIS),
    "producer_of_tomorrow": lambda m: setattr(_versions(m), "producer", THIS + 1000),
}


def main(folder: Path) -> None:
    first = folder / "as_it_is"
    for path, module in ((first, Plain()), (folder / "jxl", Jxl())):
        tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    data = (first / "saved_model.pb").read_bytes()
    for name, change in CHANGES.items():
        model = Model.FromString(data)
        change(model)
        if name != "as_it_is":
            shutil.copytree(first, folder / name)
        (folder / name / "saved_model.pb").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
