"""Makes what the readers of text, warm-up files and origins are compared with.

Run as a program, `make_readings.py FOLDER ZOO`: models by every exporter whose name `origin` knows,
in FOLDER/origin/NAME/; the text form of each of them and of the zoo's models, by protobuf's own
printer, in FOLDER/text/NAME/; a warm-up file by TensorFlow's own writer; `truth.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from google.protobuf import text_format
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow_serving.apis import classification_pb2, prediction_log_pb2

v1 = tf.compat.v1
logs = prediction_log_pb2
ROW = [tf.TensorSpec([None, 4], tf.float32, name="x")]


def keras3():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def keras2():
    return tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(4,))])


class Subclassed3(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return self.dense(x)


class Subclassed2(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf_keras.layers.Dense(2)

    def call(self, x):
        return self.dense(x)


class Module(tf.Module):
    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner or (lambda x: x * 2.0)

    @tf.function(input_signature=ROW)
    def serve(self, x):
        return {"y": self.inner(x)}


def archive3(path):
    model, archive = keras3(), keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("call", model.call, ROW)
    archive.write_out(path, verbose=False)


def called(model):
    model(np.zeros((1, 4), "float32"))
    return model


def tf1(path, build, **options):
    builder = v1.saved_model.Builder(path)
    with v1.Session(graph=tf.Graph()) as session:
        signatures = build(session)
        builder.add_meta_graph_and_variables(session, ["serve"], signatures, **options)
    builder.save()


def predict(session):
    x = v1.placeholder(tf.float32, [None, 4], "x")
    y = tf.matmul(x, v1.get_variable("w", [4, 2]))
    v1.train.create_global_step()  # many TF1 models have one; it makes no Estimator
    session.run(v1.global_variables_initializer())
    return {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})}


def estimator(session):
    """What a canned classifier's `export_saved_model` put into the graph, by the same builder."""
    v1.train.create_global_step()
    examples = v1.placeholder(tf.string, [None], "input_example_tensor")
    features = v1.parse_example(examples, {"x": v1.FixedLenFeature([4], tf.float32)})
    scores = tf.nn.softmax(tf.matmul(features["x"], v1.get_variable("linear/w", [4, 2])))
    session.run(v1.global_variables_initializer())
    classes = tf.as_string(tf.zeros_like(scores))
    head = v1.saved_model.classification_signature_def(examples, classes, scores)
    by_dict = v1.saved_model.predict_signature_def({"examples": examples}, {"scores": scores})
    return {"serving_default": head, "classification": head, "predict": by_dict}


def save2(model, path):
    model.save(path, save_format="tf")


ORIGINS = {
    "keras3_export": lambda p: keras3().export(p, verbose=False),
    "keras3_export_subclassed": lambda p: called(Subclassed3()).export(p, verbose=False),
    "keras3_export_no_weights": lambda p: keras.Sequential(
        [keras.Input((4,)), keras.layers.Flatten()]
    ).export(p, verbose=False),
    "keras3_archive": archive3,
    "keras3_tf_save": lambda p: tf.saved_model.save(keras3(), p),
    "keras3_tf_save_subclassed": lambda p: tf.saved_model.save(called(Subclassed3()), p),
    "keras2_save": lambda p: save2(keras2(), p),
    "keras2_save_subclassed": lambda p: save2(called(Subclassed2()), p),
    "keras2_tf_save": lambda p: tf.saved_model.save(keras2(), p),
    "keras2_export": lambda p: keras2().export(p),
    "module": lambda p: tf.saved_model.save(Module(), p),
    "module_around_keras3": lambda p: tf.saved_model.save(Module(keras3()), p),
    "module_around_keras2": lambda p: tf.saved_model.save(Module(keras2()), p),
    "checkpoint": lambda p: tf.saved_model.save(tf.train.Checkpoint(w=tf.Variable(1.0)), p),
    "tf1_builder": lambda p: tf1(p, predict),
    "estimator": lambda p: tf1(p, estimator, strip_default_attrs=True),
}


def default_values(path):
    """Every way in which protobuf writes the values of a tensor."""
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    signature = meta.signature_def["serving_default"]
    dtypes = (tf.float32, tf.float64, tf.int32, tf.int64, tf.uint64, tf.uint32, tf.bool, tf.half)
    for dtype in (*dtypes, tf.complex64, tf.complex128, tf.bfloat16, tf.int8):
        values = np.array([0, 1, 3]).astype(dtype.as_numpy_dtype)
        signature.defaults[dtype.name].CopyFrom(tf.make_tensor_proto(values))
        one = signature.defaults[f"one {dtype.name}"]  # by typed fields, not by content
        one.CopyFrom(tf.make_tensor_proto(values[1], dtype))
    odd = signature.defaults["odd"]
    odd.float_val.extend([float("nan"), float("inf"), float("-inf"), -0.0, 1e-45, 3.4e38])
    odd.double_val.extend([5e-324, -1.7e308, 0.1])
    odd.int64_val.extend([-(1 << 63), (1 << 63) - 1])
    words = np.array([b"\0\x01\xff'\"\\ \n", "Größe 😀".encode()], object)
    signature.defaults["words"].CopyFrom(tf.make_tensor_proto(words, tf.string))
    for key in signature.defaults:
        signature.inputs[key].name = "x:0"
    meta.graph_def.node.add(name="x", op="Placeholder")
    Path(path).mkdir()
    Path(path, "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))


def warm_up(path):
    predict_log, classify, multi = (logs.PredictionLog() for _ in "123")
    request = predict_log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "flowers", "wide"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros([500, 500], np.float32)))
    classify.classify_log.request.CopyFrom(classification_pb2.ClassificationRequest())
    classify.classify_log.request.model_spec.name = "flowers"
    for name in "ab":
        task = multi.multi_inference_log.request.tasks.add()
        task.model_spec.name, task.model_spec.signature_name = "flowers", name
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in (predict_log, predict_log, predict_log, classify, multi):
            writer.write(log.SerializeToString())


def main(folder: Path, zoo: Path) -> None:
    models = {path.parent.name: path for path in zoo.glob("*/saved_model.pb")}
    for name, make in ORIGINS.items():
        keras.backend.clear_session()
        make(str(folder / "origin" / name))
        models[f"origin_{name}"] = folder / "origin" / name / "saved_model.pb"
    default_values(str(folder / "default_values"))
    models["default_values"] = folder / "default_values" / "saved_model.pb"
    for name, file in models.items():
        if file.stat().st_size < 4_000_000:
            target = folder / "text" / name
            target.mkdir(parents=True)
            saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
            (target / "saved_model.pbtxt").write_text(text_format.MessageToString(saved))
            shutil.copy(file, target)
    warm_up(folder / "tf_serving_warmup_requests")
    printed = fingerprint_pb2.FingerprintDef.FromString(
        (folder / "origin" / "module" / "fingerprint.pb").read_bytes()
    )
    names = [f.name for f in printed.DESCRIPTOR.fields if f.name != "version"]
    truth = {name: getattr(printed, name) for name in names} | {"version": printed.version.producer}
    (folder / "truth.json").write_text(json.dumps({"fingerprint": truth}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
