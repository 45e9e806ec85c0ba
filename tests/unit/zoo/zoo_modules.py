"""Models that `tf.saved_model.save` makes of a `tf.Module`: one for each peculiarity that a file can
have. Each function writes one model; `ORIGINS` says what wrote it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

DTYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
    "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "string",
)  # fmt: skip
CONSTANT_BYTES = 200 * 1024 * 1024


def _spec(shape, dtype=tf.float32, name="x"):
    return tf.TensorSpec(shape, dtype, name=name)


def _module(serve, *specs, **attributes):
    """A module with one traced function `serve`."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    module.serve = tf.function(serve, input_signature=list(specs))
    return module


def _plain():
    weight = tf.Variable(tf.ones([4, 3]))
    return _module(lambda x: {"y": x @ weight}, _spec([None, 4]), weight=weight)


def module(path: str) -> None:
    tf.saved_model.save(_plain(), path)


def no_input_signature(path: str) -> None:
    """Not servable: there is nothing to trace."""
    bare = tf.Module()
    bare.weight = tf.Variable(1.0)
    bare.call = tf.function(lambda x: x * bare.weight)
    tf.saved_model.save(bare, path)


def two_signatures(path: str) -> None:
    plain = _plain()
    wide = tf.function(lambda ids, flag: {"out": tf.cast(ids, tf.float64), "flag": flag})
    second = wide.get_concrete_function(_spec(None, tf.int64, "ids"), _spec([], tf.bool, "flag"))
    tf.saved_model.save(plain, path, {"serving_default": plain.serve, "wide": second})


def many_signatures(path: str) -> None:
    plain = _plain()
    found = {}
    for number in range(60):
        traced = tf.function(lambda x, n=number: {f"y{n}": x + float(n)})
        found[f"signature_{number}"] = traced.get_concrete_function(_spec([None, number]))
    tf.saved_model.save(plain, path, found)


def defaults(path: str) -> None:
    specs = [_spec([None]), _spec([], name="scale"), _spec([2], tf.int64, "pair")]

    @tf.function(input_signature=specs)
    def serve(x, scale=tf.constant(2.0), pair=tf.constant([1, 2], tf.int64)):  # noqa: B008
        return {"y": x * scale + tf.cast(tf.reduce_sum(pair), tf.float32)}

    optional = tf.Module()
    optional.serve = serve
    tf.saved_model.save(optional, path, {"serving_default": serve})


def sparse_input(path: str) -> None:
    spec = tf.SparseTensorSpec([None, 7], tf.float32)
    tf.saved_model.save(_module(lambda x: {"sum": tf.sparse.reduce_sum(x, 1)}, spec), path)


def ragged_input(path: str) -> None:
    spec = tf.RaggedTensorSpec([None, None], tf.int64)
    tf.saved_model.save(_module(lambda x: {"sum": tf.reduce_sum(x, 1)}, spec), path)


def ragged_output(path: str) -> None:
    def serve(s):
        return {"words": tf.strings.split(s), "same": s}

    tf.saved_model.save(_module(serve, _spec([None], tf.string, "s")), path)


def sparse_output(path: str) -> None:
    def serve(x):
        return {"sparse": tf.sparse.from_dense(x), "dense": x}

    tf.saved_model.save(_module(serve, _spec([None, 3])), path)


def strings(path: str) -> None:
    def serve(image_bytes, name):
        return {"image_bytes": image_bytes, "joined": tf.strings.join([name, image_bytes])}

    specs = (_spec([None], tf.string, "image_bytes"), _spec([None], tf.string, "name"))
    tf.saved_model.save(_module(serve, *specs), path)


def every_dtype(path: str) -> None:
    """As inputs, outputs and variables."""
    names = [f"in_{dtype}" for dtype in DTYPES]
    specs = [_spec([None, 2], tf.as_dtype(d), n) for d, n in zip(DTYPES, names, strict=True)]
    kept = {f"v_{d}": tf.Variable(tf.zeros([3], tf.as_dtype(d))) for d in DTYPES if d != "string"}
    kept["v_string"] = tf.Variable(["a", "", "ü" * 300])

    def serve(*tensors):
        return {f"out_{d}": tf.identity(t) for d, t in zip(DTYPES, tensors, strict=True)}

    tf.saved_model.save(_module(serve, *specs, **kept), path)


def unknown_rank(path: str) -> None:
    def serve(x):
        return {"y": x * 2.0, "rank": tf.rank(x)}

    tf.saved_model.save(_module(serve, _spec(None)), path)


def scalars(path: str) -> None:
    def serve(a, b):
        return {"sum": a + b}

    tf.saved_model.save(_module(serve, _spec([], name="a"), _spec([], name="b")), path)


def control_flow(path: str) -> None:
    @tf.function(input_signature=[_spec([None], tf.int32, "n")])
    def serve(n):
        total = tf.zeros_like(n)
        for i in tf.range(3):
            total = total + (n if i > 1 else tf.abs(n))
        return {"total": total}

    looping = tf.Module()
    looping.serve = serve
    tf.saved_model.save(looping, path)


def cases(path: str) -> None:
    """switch_case, map_fn and a TensorArray: Case, TensorList ops and variants."""

    def serve(i):
        chosen = tf.switch_case(i[0], [lambda: i + 1, lambda: i * 2])
        return {"y": tf.map_fn(lambda v: v * v, chosen)}

    tf.saved_model.save(_module(serve, _spec([None], tf.int32, "i")), path)


def py_function(path: str) -> None:
    def serve(x):
        twice = tf.py_function(lambda t: t * 2, [x], tf.float32)
        return {"y": tf.ensure_shape(twice, [None])}

    tf.saved_model.save(_module(serve, _spec([None])), path)


def numpy_function(path: str) -> None:
    def serve(x):
        once = tf.numpy_function(lambda a: a, [x], tf.float32, stateful=False)
        again = tf.numpy_function(lambda a: a, [x], tf.float32)
        return {"y": tf.ensure_shape(once, [None]) + again}

    tf.saved_model.save(_module(serve, _spec([None])), path)


def sharded(path: str) -> None:
    big = _plain()
    big.more = [tf.Variable(tf.fill([1000], float(i))) for i in range(5)]
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=6000)
    options = tf.saved_model.SaveOptions(experimental_sharding_callback=policy)
    tf.saved_model.save(big, path, options=options)


def no_variables(path: str) -> None:
    tf.saved_model.save(_module(lambda x: {"y": x + 1.0}, _spec([None])), path)


def vocabulary(path: str) -> None:
    """An asset and an initialiser."""
    file = Path(path).parent / "words.txt"
    file.write_text("a\nb\n")
    index = tf.lookup.TextFileIndex
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(file), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
        ),
        -1,
    )
    word = _spec([None], tf.string, "word")
    tf.saved_model.save(_module(lambda word: {"id": table.lookup(word)}, word, table=table), path)


def assets(path: str) -> None:
    """Two assets of one name, which the exporter tells apart."""
    holder = _plain()
    for number in (1, 2):
        folder = Path(path).parent / f"asset{number}"
        folder.mkdir(exist_ok=True)
        (folder / "words.txt").write_text("a\n" * number)
        setattr(holder, f"asset{number}", tf.saved_model.Asset(str(folder / "words.txt")))
    tf.saved_model.save(holder, path)


def mutable_table(path: str) -> None:
    """A table whose content is in the checkpoint."""
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a", "b"], tf.constant([1, 2], tf.int64))
    word = _spec([None], tf.string, "word")
    tf.saved_model.save(_module(lambda word: {"id": table.lookup(word)}, word, table=table), path)


def nested(path: str) -> None:
    """Functions that call functions, one of them traced twice."""
    inner = tf.function(lambda x: x * x)

    def serve(x):
        return {"y": inner(x) + tf.cast(inner(tf.cast(x, tf.float64)), tf.float32)}

    tf.saved_model.save(_module(serve, _spec([None]), inner=inner), path)


def gradient(path: str) -> None:
    """A custom gradient in the library."""

    @tf.custom_gradient
    def clipped(x):
        return x, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    holder = _module(lambda x: {"y": clipped(x)}, _spec([None]))
    tf.saved_model.save(holder, path, options=options)


def checkpoint(path: str) -> None:
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable([1.0, 2.0])), path)


def warm(path: str) -> None:
    """Warm-up records of two kinds, and an asset that is nobody's."""
    module(path)
    file = Path(path) / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    (file.parent / "notes.txt").write_text("ours")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "warm"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones([1, 4], np.float32)))
    with tf.io.TFRecordWriter(str(file)) as writer:
        for name in ("", "", "wide"):
            request.model_spec.signature_name = name
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
        regress = prediction_log_pb2.PredictionLog()
        regress.regress_log.request.model_spec.name = "warm"
        writer.write(regress.SerializeToString())


def constant_200mb(path: str) -> None:
    """One node of 200 MiB: the whole file is 210 MB."""
    table = np.arange(CONSTANT_BYTES // 4, dtype=np.int32)
    i = _spec([None], tf.int32, "i")
    tf.saved_model.save(_module(lambda i: {"v": tf.gather(tf.constant(table), i)}, i), path)


MAKERS = (
    module, no_input_signature, two_signatures, many_signatures, defaults, sparse_input,
    ragged_input, ragged_output, sparse_output, strings, every_dtype, unknown_rank, scalars,
    control_flow, cases, py_function, numpy_function, sharded, no_variables, vocabulary, assets,
    mutable_table, nested, gradient, warm, constant_200mb,
)  # fmt: skip
ORIGINS = dict.fromkeys(MAKERS, "tf.Module save") | {checkpoint: "tf.train.Checkpoint save"}
