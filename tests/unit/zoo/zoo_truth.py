"""What TensorFlow's own readers say of a SavedModel, in the words of `savedmodel inspect -o json`.

Readers: TensorFlow's protos and text format, its checkpoint reader, its fingerprint reader, its
TFRecord reader, `saved_model_utils` and `saved_model_cli`. Nothing of ours is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import re
from collections import Counter
from pathlib import Path

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.tools import saved_model_cli, saved_model_utils
from tensorflow_serving.apis import prediction_log_pb2

INTERNAL = ("__saved_model_init_op", "__saved_model_train_op")
PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
KINDS = {"name": "Dense", "coo_sparse": "Sparse", "composite_tensor": "Composite"}


def parse(folder: Path):
    """(file name, SavedModel): the binary file wins."""
    pb = folder / "saved_model.pb"
    if pb.exists():
        return pb.name, saved_model_pb2.SavedModel.FromString(pb.read_bytes())
    text = folder / "saved_model.pbtxt"
    return text.name, text_format.Parse(text.read_text(), saved_model_pb2.SavedModel())


def parts(info) -> list[str]:
    """Tensor names of a composite tensor's components, those inside components included."""
    coo = info.coo_sparse
    kind = info.WhichOneof("encoding") or "name"
    if kind == "name":
        return [info.name]
    if kind == "coo_sparse":
        return [coo.values_tensor_name, coo.indices_tensor_name, coo.dense_shape_tensor_name]
    return [name for part in info.composite_tensor.components for name in parts(part)]


def tensor(info, default) -> dict:
    shape = tf.TensorShape(info.tensor_shape)
    found = {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "shape": None if shape.rank is None else [-1 if d is None else d for d in shape.as_list()],
        "name": info.name,
    }
    kind = KINDS[info.WhichOneof("encoding") or "name"]
    if kind != "Dense":
        found |= {"kind": kind, "parts": parts(info)}
    if default is not None:
        found["default"] = hashlib.sha256(default.SerializeToString()).hexdigest()[:16]
    return found


def signature(found) -> dict:
    defaults = found.defaults
    return {
        "method": found.method_name,
        "inputs": {k: tensor(t, defaults.get(k)) for k, t in found.inputs.items()},
        "outputs": {k: tensor(t, None) for k, t in found.outputs.items()},
    }


def absent(meta) -> list[str]:
    """Tensors of the signatures for which `get_tensor_by_name` would raise, by node name."""
    nodes = {node.name for node in meta.graph_def.node}
    infos = [
        info
        for key, found in meta.signature_def.items()
        if key not in INTERNAL
        for side in (found.inputs, found.outputs)
        for info in side.values()
    ]
    names = {name for info in infos for name in parts(info) if name}
    return sorted(name for name in names if name.split(":")[0] not in nodes)


def contradicted(meta) -> list[str]:
    """Tensors of the signatures to which the imported graph gives another dtype or a shape that
    cannot be the same one."""
    nodes = {node.name for node in meta.graph_def.node}
    found = []
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(meta.graph_def, name="")
        for key, signature in meta.signature_def.items():
            for side in ("inputs", "outputs"):
                for name, info in getattr(signature, side).items():
                    if key in INTERNAL or info.name.split(":")[0] not in nodes:
                        continue
                    made = graph.get_tensor_by_name(info.name)
                    same = made.dtype.base_dtype.as_datatype_enum == info.dtype
                    if not (same and made.shape.is_compatible_with(info.tensor_shape)):
                        found.append(f"{key}.{side}.{name}")
    return sorted(found)


def ops(meta) -> dict[str, int]:
    library = meta.graph_def.library.function
    functions = {f.signature.name for f in library}
    found = Counter(node.op for node in meta.graph_def.node)
    found.update(node.op for f in library for node in f.node_def)
    return {op: n for op, n in found.items() if op not in functions or op in PYTHON_OPS}


def meta_graph(meta, importable: bool) -> dict:
    used = ops(meta)
    declared = {op.name: [a.name for a in op.attr] for op in meta.meta_info_def.stripped_op_list.op}
    versions = meta.graph_def.versions
    signatures = {k: s for k, s in meta.signature_def.items() if k not in INTERNAL}
    return {
        "tags": sorted(meta.meta_info_def.tags),
        "tensorflow": meta.meta_info_def.tensorflow_version,
        "producer": versions.producer,
        "minConsumer": versions.min_consumer,
        "badConsumers": list(versions.bad_consumers),
        "nodes": len(meta.graph_def.node),
        "functions": len({f.signature.name for f in meta.graph_def.library.function}),
        "ops": used,
        "declared": {op: sorted(attributes) for op, attributes in declared.items()},
        "undeclared": sorted(set(used) - set(declared)) if declared else [],
        "strippedDefaults": meta.meta_info_def.stripped_default_attrs,
        "assets": [a.filename for a in meta.asset_file_def],
        "absent": absent(meta),
        "contradicted": contradicted(meta) if importable else [],
        "initOp": INTERNAL[0] in meta.signature_def,
        "objectGraph": meta.HasField("object_graph_def"),
        "signatures": {key: signature(found) for key, found in signatures.items()},
    }


def variables(folder: Path) -> dict | None:
    """The checkpoint reader's words; bytes where the dtype has a size."""
    index = folder / "variables" / "variables.index"
    if not index.exists():
        return None
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return {
        name: {
            "dtype": types_pb2.DataType.Name(dtypes[name].as_datatype_enum),
            "shape": shape,
            "bytes": None if dtypes[name] == tf.string else math.prod(shape) * dtypes[name].size,
        }
        for name, shape in shapes.items()
    }


def fingerprint(folder: Path) -> dict | None:
    if not (folder / "fingerprint.pb").exists():
        return None
    found = tf.saved_model.experimental.read_fingerprint(str(folder))
    return {
        "savedModelChecksum": str(found.saved_model_checksum),
        "graphDefProgramHash": str(found.graph_def_program_hash),
        "signatureDefHash": str(found.signature_def_hash),
        "savedObjectGraphHash": str(found.saved_object_graph_hash),
        "checkpointHash": str(found.checkpoint_hash),
    }


def warmup(folder: Path) -> dict | None:
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    if not file.exists():
        return None
    count, found = 0, Counter()
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        kind = log.WhichOneof("log_type")
        spec = getattr(log, kind).request.model_spec
        name = {"predict_log": "Predict", "regress_log": "Regress"}[kind]
        found[name, spec.name, spec.signature_name or "serving_default"] += 1
        count += 1
    rows = [
        {"kind": kind, "model": model, "signature": key, "count": n}
        for (kind, model, key), n in sorted(found.items())
    ]
    return {"count": count, "requests": rows, "problem": None}


def command_line(folder: Path) -> dict:
    """What `saved_model_cli show --all` prints, whose code is called here; functions are those of
    the loaded object, None where it could not list them."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        saved_model_cli._show_all(str(folder))
    text = out.getvalue()
    head, found, functions = text.partition("Concrete Functions:")
    listed = found and "N/A" not in functions
    names = re.findall(r"Function Name: '(.*)'", functions)
    return {
        "signatures": sorted(set(re.findall(r"signature_def\['(.*)'\]:", head)) - set(INTERNAL)),
        "functions": sorted(set(names)) if listed else None,
        "tagSets": [sorted(t) for t in saved_model_utils.get_saved_model_tag_sets(str(folder))],
        "ops": [
            sorted(saved_model_cli._get_ops_in_metagraph(m)) for m in parse(folder)[1].meta_graphs
        ],
    }


def truth(folder: Path, origin: str, importable: bool) -> dict:
    """Everything, of one version directory. `importable`: this TensorFlow knows all its ops and
    accepts its graph version."""
    file, saved = parse(folder)
    files = {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
    return {
        "origin": origin,
        "files": files,
        "graphFile": file,
        "schemaVersion": saved.saved_model_schema_version,
        "metaGraphs": [meta_graph(meta, importable) for meta in saved.meta_graphs],
        "variables": variables(folder),
        "fingerprint": fingerprint(folder),
        "warmup": warmup(folder),
    }
