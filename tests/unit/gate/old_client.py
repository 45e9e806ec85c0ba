"""Clients written for one signature that meet another, played on the serving-compatible server.

A call is what a client of the old signature sends; the request is read, fed, fetched and written
by the development server's own code (whose words and order are TensorFlow Serving's), only the
session is played here: it refuses what TensorFlow's session refuses, and where `strict`, every
size that the file does not allow, as kernels may. The answer is then read as the old client does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from tensorflow_serving_compatible import classify, predict, protos, regress
from tensorflow_serving_compatible.errors import StatusError
from tensorflow_serving_compatible.json_result import tensors_json
from tensorflow_serving_compatible.json_tensor import read_predict
from tensorflow_serving_compatible.tensors import (
    DT_STRING,
    Tensor,
    dtype_name,
    new_proto,
    storage,
)

from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

DTYPES = protos.types_pb2.DataType
INTEGERS = {"DT_INT8", "DT_INT16", "DT_INT32", "DT_INT64",
            "DT_UINT8", "DT_UINT16", "DT_UINT32", "DT_UINT64"}  # fmt: skip
UNCARRIED = {"DT_HALF", "DT_BFLOAT16", "DT_UINT16"}

DEFAULTED = (1, 1, 1, 1)
"""The shape of every default, which no client here sends: what a default is always fits."""

Api = str  # predict, classify or regress
RULES: Mapping[Api, Any] = {"classify": classify, "regress": regress}


class RefusedError(Exception):
    """The server, the graph or the client itself could not go on; the words say why."""


@dataclass(frozen=True)
class Call:
    """One way in which a client of `old` calls. `edge` sends the type's extreme values."""

    client: str
    batch: int
    inner: int
    edge: bool
    api: Api = "predict"
    omits: bool = False  # gRPC: leaves out what has a default
    filters: bool = False  # gRPC: names the outputs that it wants
    keyed: bool = True  # REST: objects with keys, not plain values


def calls(old: Signature, client: str) -> Iterator[Call]:
    """Every way that this test knows to call the signature."""
    fixed = {t.shape[0] for t in old.inputs.values() if t.shape and t.shape[0] >= 0}
    sizes = [(batch, inner) for inner in (2, 3) for batch in sorted(fixed) or [inner]]
    grpc = client == "GRPC"
    omits = (False, True) if grpc and any(t.has_default for t in old.inputs.values()) else (False,)
    filters = (False, True) if grpc else (False,)
    keyed = (True, False) if not grpc and len(old.inputs) == 1 else (True,)
    for (batch, inner), edge, omit, chosen, key in product(
        sizes, (False, True), omits, filters, keyed
    ):
        yield Call(client, batch, inner, edge, "predict", omit, chosen, key)
    if old.method.rpartition("/")[2] in RULES:
        for batch, inner in sizes:
            yield Call(client, batch, inner, False, old.method.rpartition("/")[2])


def outcome(call: Call, old: Signature, new: Signature, *, strict: bool) -> str | None:
    """Why the call fails on `new`, None where all is as it was for the client."""
    try:
        if call.api != "predict":
            _examples(call, new, strict=strict)
        elif call.client == "GRPC":
            _grpc(call, old, new, strict=strict)
        else:
            _rest(call, old, new, strict=strict)
    except (StatusError, RefusedError) as error:
        return str(error)
    return None


# --- what the client sends -----------------------------------------------------------------


def _shape(spec: TensorSpec, call: Call) -> tuple[int, ...]:
    if spec.shape is None:
        return (call.batch,) if call.inner == 2 else (call.batch, call.inner)
    inner = [call.inner if size < 0 else size for size in spec.shape[1:]]
    first = [call.batch if spec.shape[0] < 0 else spec.shape[0]] if spec.shape else []
    return tuple(first + inner)


def _value(dtype: str, *, edge: bool, index: int) -> Any:
    if dtype == "DT_STRING":
        return "text"
    if dtype == "DT_BOOL":
        return True
    if dtype not in INTEGERS:
        return 1e300 if edge and dtype == "DT_DOUBLE" else 0.5
    bits = int(dtype.rpartition("INT")[2])
    low, high = (0, 2**bits - 1) if "UINT" in dtype else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return (low, high)[index % 2] if edge else 1


def _nested(spec: TensorSpec, shape: tuple[int, ...], call: Call, index: int = 0) -> Any:
    if not shape:
        return _value(spec.dtype, edge=call.edge, index=index)
    return [_nested(spec, shape[1:], call, at) for at in range(shape[0])]


def _tensor(spec: TensorSpec, shape: tuple[int, ...], values: Any) -> Tensor:
    dtype = DTYPES.Value(spec.dtype)
    if dtype == DT_STRING:
        count = int(np.prod(shape, dtype=int))
        return Tensor(dtype, shape, [b"text"] * count)
    kept = storage(dtype)
    plain = np.zeros(shape, kept) if spec.dtype in UNCARRIED else np.array(values).astype(kept)
    return Tensor(dtype, shape, plain.reshape(-1))


def _sent(call: Call, old: Signature) -> dict[str, Tensor]:
    made = {}
    for key, spec in old.inputs.items():
        if not (call.omits and spec.has_default):
            shape = _shape(spec, call)
            made[key] = _tensor(spec, shape, _nested(spec, shape, call))
    return made


# --- the server ----------------------------------------------------------------------------


def definition(signature: Signature) -> Any:
    """The SignatureDef that a file with these facts has; tensors are named by side and key."""
    made = protos.meta_graph_pb2.SignatureDef(method_name=signature.method)
    for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for key, spec in tensors.items():
            info = getattr(made, side)[key]
            info.dtype = DTYPES.Value(spec.dtype)
            if spec.kind == "Dense":
                info.name = f"{side}/{key}:0"
            elif spec.kind == "Sparse":
                info.coo_sparse.values_tensor_name = f"{side}/{key}/values:0"
            else:
                info.composite_tensor.components.add().name = f"{side}/{key}/0:0"
            if side == "inputs" and spec.has_default:
                made.defaults[key].CopyFrom(new_proto(_tensor(spec, DEFAULTED, [1])))
    return made


def _run(
    new: Signature, feeds: predict.Feeds, fetches: list[str], call: Call, *, strict: bool
) -> list[Tensor]:
    """The session: dtypes as tensorflow::DirectSession checks them; sizes where strict."""
    specs = {f"inputs/{key}:0": spec for key, spec in new.inputs.items()}
    for name, tensor in feeds:
        spec = specs.get(name)
        if spec is None or spec.kind != "Dense":
            raise RefusedError(f"Tensor {name!r} specified in either feed_devices or fetch_devices")
        wanted = DTYPES.Value(spec.dtype)
        if tensor.dtype != wanted:
            given = dtype_name(tensor.dtype)
            raise RefusedError(f"Expects arg[0] to be {dtype_name(wanted)} but {given} is provided")
        if strict and tensor.shape != DEFAULTED and not fits(spec.shape, tensor.shape):
            raise RefusedError(f"Matrix size-incompatible: {tensor.shape} into {spec.shape}")
    results = {f"outputs/{key}:0": spec for key, spec in new.outputs.items()}
    if not fetches:
        raise RefusedError("Must specify at least one target to fetch or execute.")
    if any(name not in results for name in fetches):
        raise RefusedError("FetchOutputs node : not found")
    return [_made(results[name], call) for name in fetches]


def _made(spec: TensorSpec, call: Call) -> Tensor:
    """An output: as many rows as were sent, where the file does not say how many."""
    shape = (call.batch,) if spec.shape is None else _shape(spec, call)
    return _tensor(spec, shape, np.ones(shape))


def fits(wanted: tuple[int, ...] | None, given: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape may be fed where the file says that one."""
    if wanted is None:
        return True
    return len(wanted) == len(given) and all(
        w < 0 or w == g for w, g in zip(wanted, given, strict=True)
    )


def keeps(old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> bool:
    """Whether a file promises all the sizes of an output that the old one did.

    One row for each that was sent is a promise too, even where the old file gave no rank.
    """
    if old is None:
        return new is None or (new != () and new[0] < 0)
    if new is None or len(old) != len(new):
        return False
    return all(n == o or (o < 0 and at > 0) for at, (o, n) in enumerate(zip(old, new, strict=True)))


# --- the three ways of calling, and what the client makes of the answer ----------------------


def _grpc(call: Call, old: Signature, new: Signature, *, strict: bool) -> None:
    wanted = [key for key, spec in old.outputs.items() if spec.kind == "Dense"]
    feeds = predict.feeds(
        definition(new),
        {key: new_proto(tensor) for key, tensor in _sent(call, old).items()},
        check_method=False,
    )
    aliases, names = predict.fetches(definition(new), wanted if call.filters else ())
    answer = dict(zip(aliases, _run(new, feeds, names, call, strict=strict), strict=True))
    for key in wanted:
        if key not in answer:
            raise RefusedError(f"the client misses {key}")
        if answer[key].dtype != DTYPES.Value(old.outputs[key].dtype):
            raise RefusedError(f"the client cannot read the type of {key}")
        if strict and not keeps(old.outputs[key].shape, new.outputs[key].shape):
            raise RefusedError(f"the client did not expect the size of {key}")


def _rest(call: Call, old: Signature, new: Signature, *, strict: bool) -> None:
    dtypes = {key: DTYPES.Value(spec.dtype) for key, spec in new.inputs.items()}
    request = read_predict(json.dumps(_body(call, old)).encode(), lambda _: dtypes)
    feeds = predict.feeds(definition(new), request.inputs, check_method=False)
    _check_values(call, request.inputs, old)
    aliases, names = predict.fetches(definition(new), ())
    outputs = dict(zip(aliases, _run(new, feeds, names, call, strict=strict), strict=True))
    answer = json.loads(tensors_json(outputs, request.format))
    _read(call, old, new, answer, strict=strict)


def _body(call: Call, old: Signature) -> dict[str, Any]:
    values = {}
    for key, spec in old.inputs.items():
        if spec.dtype in UNCARRIED or spec.kind != "Dense":
            raise RefusedError(f"the client cannot write {key}")
        values[key] = _nested(spec, _shape(spec, call), call)
    if call.client == "RESTColumn":
        return {"inputs": values if call.keyed else next(iter(values.values()))}
    if any(not isinstance(value, list) or len(value) != call.batch for value in values.values()):
        raise RefusedError("the client has no rows")
    rows: list[Any] = [{key: values[key][at] for key in values} for at in range(call.batch)]
    return {"instances": rows if call.keyed else next(iter(values.values()))}


def _check_values(call: Call, inputs: Mapping[str, Tensor], old: Signature) -> None:
    """Whole numbers must arrive as they were sent where they stay whole numbers."""
    for key, tensor in inputs.items():
        sent = old.inputs.get(key) or next(iter(old.inputs.values()))
        if sent.dtype in INTEGERS and np.issubdtype(np.asarray(tensor.values).dtype, np.integer):
            given = np.array(_nested(sent, tensor.shape, call), dtype=object).reshape(-1)
            if given.tolist() != np.asarray(tensor.values).tolist():
                raise RefusedError(f"the values of {key} wrapped around")


def _read(call: Call, old: Signature, new: Signature, answer: Any, *, strict: bool) -> None:
    rows = call.client == "RESTRow"
    content = answer["predictions" if rows else "outputs"]
    for key, spec in old.outputs.items():
        where = key if key in new.outputs else next(iter(new.outputs))
        if len(old.outputs) == 1:
            found = content
        elif rows:
            found = [row[key] if isinstance(row, dict) and key in row else None for row in content]
        else:
            found = content.get(key) if isinstance(content, dict) else None
        if _leaf(found) != _kind(key, spec):
            raise RefusedError(f"the client cannot read {key}: {_leaf(found)}")
        if strict and not keeps(spec.shape, new.outputs[where].shape):
            raise RefusedError(f"the client did not expect the size of {key}")


def _leaf(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        return "b64" if list(value) == ["b64"] else "object"
    kinds = {bool: "bool", int: "number", float: "number", str: "string"}
    return kinds.get(type(value), "nothing")


def _kind(key: str, spec: TensorSpec) -> str:
    if spec.dtype == "DT_STRING":
        return "b64" if key.endswith("_bytes") else "string"
    return "bool" if spec.dtype == "DT_BOOL" else "number"


def _examples(call: Call, new: Signature, *, strict: bool) -> None:
    """Classify and Regress: the input is one serialized tf.Example per row."""
    rules, made = RULES[call.api], definition(new)
    input_name, names = rules.tensor_names(made, check_method=False)
    texts = Tensor(DT_STRING, (call.batch,), [b"example"] * call.batch)
    outputs = _run(new, [(input_name, texts)], names, call, strict=strict)
    kind = "Classification" if call.api == "classify" else "Regression"
    module = protos.classification_pb2 if call.api == "classify" else protos.regression_pb2
    result = getattr(module, f"{kind}Result")()
    rules.fill_result(made, call.batch, dict(zip(names, outputs, strict=True)), result)
