"""Reads an answer as a client does that was built from a signature.

Neighbours: `ask` has the requests. A complaint is one sentence, None means that the client can go
on. Typed (gRPC) clients want each output under its key, of its dtype, in a shape that the signature
allows. REST clients want the structure that the signature implies and JSON's types: number, string,
boolean, b64 object; JSON has one kind of number, so 1 and 1.0 are the same to them. Values are not
compared. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lab.matrix.ask import Request
from lab.matrix.protos import messages
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec


@dataclass(frozen=True)
class Answer:
    """`error` is the code and text of a refusal, "" where there is none."""

    error: str
    body: bytes = b""


def complaint(
    request: Request, signature: Signature, answer: Answer, per_row: Collection[str] = ()
) -> str | None:
    """Why the client cannot go on. `per_row` are the outputs of which it expects one row for each
    that it sent."""
    if answer.error:
        return answer.error
    found = _misfits(request, signature, answer)
    if found or request.batch is None:
        return found
    if not per_row:
        return None
    rows = counts(request, answer)
    for name in request.reads:
        if name in per_row and rows.get(name) != request.batch:
            return f"output {name} has {rows.get(name)} rows for {request.batch}"
    return None


def counts(request: Request, answer: Answer) -> dict[str, int]:
    """How many rows each output of a good answer to a predict request has; scalars have none."""
    if request.call != "predict":
        return {}
    if request.client == "GRPC":
        outputs = messages.predict_pb2.PredictResponse.FromString(answer.body).outputs
        shapes = {name: outputs[name].tensor_shape.dim for name in request.reads}
        return {name: int(shape[0].size) for name, shape in shapes.items() if shape}
    document = json.loads(answer.body)
    if "predictions" in document:
        return dict.fromkeys(request.reads, len(document["predictions"]))
    outputs = document["outputs"]
    named = outputs if len(request.reads) > 1 else dict.fromkeys(request.reads, outputs)
    return {name: len(named[name]) for name in request.reads if isinstance(named[name], list)}


def _misfits(request: Request, signature: Signature, answer: Answer) -> str | None:
    if request.client == "GRPC":
        reader = {"predict": _grpc_predict, "classify": _grpc_classify, "regress": _grpc_regress}
        return reader[request.call](request, signature, answer.body)
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        return f"no JSON: {error}"
    if request.call != "predict":
        return _rest_results(request.call, document)
    key = "predictions" if request.client == "RESTRow" else "outputs"
    if key not in document:
        return f"no {key} in the answer"
    given = {name: signature.outputs[name] for name in request.reads}
    return (_rest_rows if key == "predictions" else _rest_columns)(given, document[key])


def _grpc_predict(request: Request, signature: Signature, body: bytes) -> str | None:
    outputs = messages.predict_pb2.PredictResponse.FromString(body).outputs
    for name in request.reads:
        if name not in outputs:
            return f"output {name} is missing"
        wanted, found = signature.outputs[name], outputs[name]
        dtype = messages.types_pb2.DataType.Name(found.dtype)
        if wanted.kind == "Dense" and dtype != wanted.dtype:
            return f"output {name} is {dtype}, not {wanted.dtype}"
        shape = tuple(int(dim.size) for dim in found.tensor_shape.dim)
        if not _allows(wanted.shape, shape):
            return f"output {name} has the shape {list(shape)}"
    return None


def _allows(wanted: tuple[int, ...] | None, found: tuple[int, ...]) -> bool:
    if wanted is None:
        return True
    same = [w in (-1, f) for w, f in zip(wanted, found, strict=False)]
    return len(wanted) == len(found) and all(same)


def _grpc_classify(_: Request, signature: Signature, body: bytes) -> str | None:
    """A client that reads labels where there are some, and as many classes as promised."""
    result = messages.classification_pb2.ClassificationResponse.FromString(body).result
    for tensor in signature.outputs.values():
        count = tensor.shape[1] if tensor.shape and len(tensor.shape) == 2 else -1
        found = {len(row.classes) for row in result.classifications}
        if count >= 0 and found != {count}:
            return f"{found} classes, not {count}"
    labelled = all(entry.label for row in result.classifications for entry in row.classes)
    if "classes" in signature.outputs and not labelled:
        return "no labels"
    scored = all(entry.score for row in result.classifications for entry in row.classes)
    return None if scored or "scores" not in signature.outputs else "no scores"


def _grpc_regress(_: Request, __: Signature, body: bytes) -> str | None:
    result = messages.regression_pb2.RegressionResponse.FromString(body).result
    return None if result.regressions else "no values"


def _rest_results(call: str, document: Any) -> str | None:
    results = document.get("results")
    if not isinstance(results, list) or not results:
        return "no results in the answer"
    if call == "regress":
        numbers = all(_is_leaf(value, "number") for value in results)
        return None if numbers else "results are no numbers"
    pairs = all(len(pair) == 2 for row in results for pair in row)
    return None if pairs else "results are no pairs"


def _rest_rows(given: Mapping[str, TensorSpec], rows: Any) -> str | None:
    if not isinstance(rows, list):
        return "predictions are no list"
    for row in rows:
        for name, tensor in given.items():
            if len(given) > 1 and not (isinstance(row, dict) and name in row):
                return f"a row has no {name}"
            value = row[name] if len(given) > 1 else row
            inner = tensor.shape[1:] if tensor.shape else None
            found = _misfit(value, inner, _leaf(name, tensor))
            if found:
                return f"{name}: {found}"
    for tensor in given.values():
        if tensor.shape and tensor.shape[0] >= 0 and tensor.shape[0] != len(rows):
            return f"{len(rows)} rows, not {tensor.shape[0]}"
    return None


def _rest_columns(given: Mapping[str, TensorSpec], outputs: Any) -> str | None:
    for name, tensor in given.items():
        if len(given) > 1 and not (isinstance(outputs, dict) and name in outputs):
            return f"outputs have no {name}"
        value = outputs[name] if len(given) > 1 else outputs
        found = _misfit(value, tensor.shape, _leaf(name, tensor))
        if found:
            return f"{name}: {found}"
    return None


def _leaf(name: str, tensor: TensorSpec) -> str:
    """The JSON type of an element, as TensorFlow Serving writes it."""
    if tensor.dtype == "DT_STRING":
        return "b64" if name.endswith("_bytes") else "string"
    return "boolean" if tensor.dtype == "DT_BOOL" else "number"


def _misfit(value: Any, shape: tuple[int, ...] | None, leaf: str) -> str | None:
    """Where a value is not nested as the shape says, or an element is of another type."""
    if isinstance(value, list):
        if shape == ():
            return "a list where an element should be"
        if shape is not None and shape[0] not in (-1, len(value)):
            return f"{len(value)} elements, not {shape[0]}"
        inner = None if shape is None else shape[1:]
        return next(filter(None, (_misfit(v, inner, leaf) for v in value)), None)
    if shape:
        return "an element where a list should be"
    return None if _is_leaf(value, leaf) else f"{type(value).__name__}, not {leaf}"


def _is_leaf(value: Any, leaf: str) -> bool:
    if leaf == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if leaf == "b64":
        return isinstance(value, dict) and set(value) == {"b64"}
    return isinstance(value, str if leaf == "string" else bool)
