"""A client built from a signature: the requests that it sends.

Neighbours: `values` has what is in them, `read` reads the answers. Knows the signature of one
version and nothing of the version that will answer. Requests are without the model's name, so that
the same bytes asked of the same version need be sent only once. Pure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.matrix import values
from lab.matrix.protos import messages
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

SIZES = ((1, 2), (3, 5), (2, 1))
"""(batch, any other open size): one row, several, and other sizes elsewhere."""

JSON_DTYPES = frozenset({
    "DT_FLOAT", "DT_DOUBLE", "DT_INT8", "DT_INT16", "DT_INT32", "DT_INT64", "DT_UINT8", "DT_UINT16",
    "DT_UINT32", "DT_UINT64", "DT_BOOL", "DT_STRING", "DT_HALF", "DT_BFLOAT16",
})  # fmt: skip
"""What a client can write as JSON; what the server cannot read shows when the client meets the
version that it was built for."""


@dataclass(frozen=True)
class Request:
    """`call` is predict, classify or regress; `reads` are the outputs that the client looks at,
    `batch` the rows that it sent, None where its inputs have no common number of them."""

    client: str
    call: str
    signature: str
    body: bytes
    reads: tuple[str, ...]
    batch: int | None = None


def requests(signatures: Mapping[str, Signature]) -> tuple[Request, ...]:
    """Everything that clients of these signatures send, each request once."""
    found: dict[Request, None] = {}
    for key, signature in sorted(signatures.items()):
        if any(t.kind != "Dense" for t in signature.inputs.values()):
            continue  # a client can neither write nor send it
        for tensors in _tensors(signature):
            found |= dict.fromkeys(_grpc(key, signature, tensors))
            found |= dict.fromkeys(_rows(key, signature, tensors))
            found |= dict.fromkeys(_columns(key, signature, tensors))
        found |= dict.fromkeys(_examples(key, signature))
    return tuple(found)


Tensors = dict[str, Any]
"""Input → nested lists of values."""


def _tensors(signature: Signature) -> Iterator[Tensors]:
    """All inputs filled: every pool of values, with sizes in turn, and every rank where it is
    open."""
    pools = {k: values.pools(values.python_dtype(t.dtype)) for k, t in signature.inputs.items()}
    rounds = max(len(SIZES), *map(len, pools.values())) if pools else 1
    ranks = (1, 2, 0) if any(t.shape is None for t in signature.inputs.values()) else (1,)
    for number, rank in itertools.product(range(rounds), ranks):
        sizes = SIZES[number % len(SIZES)]
        yield {
            key: values.fill(_shape(tensor, sizes, rank), pools[key][number % len(pools[key])])
            for key, tensor in signature.inputs.items()
        }


def _shape(tensor: TensorSpec, sizes: tuple[int, int], rank: int) -> tuple[int, ...]:
    if tensor.shape is None:
        return sizes[:rank]
    return tuple(
        size if size >= 0 else sizes[0 if axis == 0 else 1]
        for axis, size in enumerate(tensor.shape)
    )


def _optional(signature: Signature) -> Iterator[frozenset[str]]:
    """Every choice of inputs to leave out."""
    names = [key for key, tensor in signature.inputs.items() if tensor.has_default]
    for count in range(len(names) + 1):
        yield from map(frozenset, itertools.combinations(names, count))


def _grpc(key: str, signature: Signature, tensors: Tensors) -> Iterator[Request]:
    """With and without what has a default; all outputs, and each one alone by output_filter."""
    outputs = tuple(sorted(signature.outputs))
    for omitted in _optional(signature):
        message = messages.predict_pb2.PredictRequest()
        message.model_spec.signature_name = key
        for name, nested in tensors.items():
            if name not in omitted:
                _write(message.inputs[name], nested, signature.inputs[name].dtype)
        batch = _batch([v for name, v in tensors.items() if name not in omitted])
        for reads in (outputs, *((output,) for output in outputs)):
            message.output_filter[:] = [] if reads is outputs else reads
            body = message.SerializeToString(deterministic=True)
            yield Request("GRPC", "predict", key, body, reads, batch)


def _batch(tensors: Collection[Any]) -> int | None:
    sizes = {len(nested) if isinstance(nested, list) else None for nested in tensors}
    return sizes.pop() if len(sizes) == 1 else None


def _write(target: Any, nested: Any, dtype: str) -> None:
    array = values.as_array(nested, values.python_dtype(dtype))
    target.dtype = messages.types_pb2.DataType.Value(dtype)
    target.tensor_shape.SetInParent()
    for size in array.shape:
        target.tensor_shape.dim.add(size=size)
    if dtype == "DT_STRING":
        target.string_val.extend(array.ravel().tolist())
    else:
        target.tensor_content = array.tobytes()


def _rows(key: str, signature: Signature, tensors: Tensors) -> Iterator[Request]:
    """Rows as objects, and as plain values where there is one input."""
    count = _batch(tensors.values())
    if not _writable(signature) or count is None:
        return  # rows need one number of them
    columns = {name: values.as_json(nested) for name, nested in tensors.items()}
    objects = [{name: column[i] for name, column in columns.items()} for i in range(count)]
    bodies: list[Any] = [objects, *([next(iter(columns.values()))] if len(columns) == 1 else [])]
    for instances in bodies:
        yield _json("RESTRow", key, {"instances": instances}, signature, count)


def _columns(key: str, signature: Signature, tensors: Tensors) -> Iterator[Request]:
    """Named columns, and the bare tensor where there is one input."""
    if not _writable(signature):
        return
    columns = {name: values.as_json(nested) for name, nested in tensors.items()}
    bodies: list[Any] = [columns, *([next(iter(columns.values()))] if len(columns) == 1 else [])]
    for inputs in bodies:
        yield _json("RESTColumn", key, {"inputs": inputs}, signature, _batch(tensors.values()))


def _writable(signature: Signature) -> bool:
    return bool(signature.inputs) and all(
        tensor.dtype in JSON_DTYPES for tensor in signature.inputs.values()
    )


def _json(
    client: str, key: str, body: dict[str, Any], signature: Signature, batch: int | None
) -> Request:
    named = body if key == "serving_default" else {"signature_name": key, **body}
    text = json.dumps(named, ensure_ascii=False).encode()
    return Request(client, "predict", key, text, tuple(sorted(signature.outputs)), batch)


def _examples(key: str, signature: Signature) -> Iterator[Request]:
    """Classify and Regress, for signatures of that method."""
    call = signature.method.rpartition("/")[2]
    if call not in ("classify", "regress"):
        return
    apis = messages.classification_pb2 if call == "classify" else messages.regression_pb2
    kind = apis.ClassificationRequest if call == "classify" else apis.RegressionRequest
    for count in (1, 3):
        message = kind()
        message.model_spec.signature_name = key
        for index in range(count):
            example = message.input.example_list.examples.add()
            example.features.feature["age"].float_list.value.append(float(index))
        yield Request("GRPC", call, key, message.SerializeToString(deterministic=True), ())
        body = {"signature_name": key, "examples": [{"age": float(i)} for i in range(count)]}
        for client in ("RESTRow", "RESTColumn"):
            yield Request(client, call, key, json.dumps(body).encode(), ())
