"""Writes graph files that are wrong in what they say: `make_damaged.py SAVED_MODEL_PB FOLDER`.

One file per case of `test_corruption_matrix`, edited by TensorFlow's own protos.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

DEFAULT = "serving_default"


def wrong_tensor_name(meta) -> None:
    meta.signature_def[DEFAULT].outputs["y"].name = "nowhere:0"


def no_serving_default(meta) -> None:
    meta.signature_def["other"].CopyFrom(meta.signature_def[DEFAULT])
    del meta.signature_def[DEFAULT]


def no_signatures(meta) -> None:
    del meta.signature_def[DEFAULT]


def other_tags(meta) -> None:
    meta.meta_info_def.tags[:] = ["serve", "tpu"]


def wrong_dtype(meta) -> None:
    meta.signature_def[DEFAULT].inputs["x"].dtype = tf.string.as_datatype_enum


def wrong_shape(meta) -> None:
    meta.signature_def[DEFAULT].inputs["x"].tensor_shape.dim[1].size = 5


def wrong_output_dtype(meta) -> None:
    meta.signature_def[DEFAULT].outputs["y"].dtype = tf.int64.as_datatype_enum


def python_function(meta) -> None:
    meta.graph_def.node.add(name="callback", op="EagerPyFunc")


CASES: tuple[Callable[..., None], ...] = (
    wrong_tensor_name, no_serving_default, no_signatures, other_tags, wrong_dtype, wrong_shape,
    wrong_output_dtype, python_function,
)  # fmt: skip


def write_warmup(file: Path) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "flowers"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0, 3.0, 4.0]]))
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())


def main(source: Path, folder: Path) -> None:
    for case in CASES:
        saved = saved_model_pb2.SavedModel.FromString(source.read_bytes())
        case(saved.meta_graphs[0])
        (folder / case.__name__).write_bytes(saved.SerializeToString())
    write_warmup(folder / "warmup")


main(Path(sys.argv[1]), Path(sys.argv[2]))
