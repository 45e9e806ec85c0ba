"""The live gate: does the candidate's own server serve exactly what was read from the bucket?

Judges the answers of `GET /v1/models/NAME/versions/N` and `…/metadata` (TensorFlow Serving's
REST form: sizes are strings, `signature_def` stands twice). `observe` asks, this room only
compares. No whole answer, or one that may still change, is Errored and asked again; another
version or another signature is a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.gate.verdict import Verdict, errored, listed, passed, rejected, short
from savedmodel_operator.savedmodel.dtypes import proto_name
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts, Signature, TensorSpec
from savedmodel_operator.savedmodel.saved_model import INTERNAL_SIGNATURES

Response = tuple[int, bytes]
"""HTTP status and body; (0, what went wrong) where there was no answer."""


class _UnreadableError(Exception):
    """The answer is not of the form that TensorFlow Serving gives."""


def check_live(
    expected: ModelFacts,
    model_name: str,
    number: int,
    status: Response,
    metadata: Response,
    tags: Sequence[str] | None = None,
) -> Verdict:
    """AVAILABLE, the exact version, and metadata equal to the facts that the gate judged.

    `tags` choose the MetaGraph; without them the server may serve any that the file has.
    """
    graphs = [g for g in expected.graphs if tags is None or set(g.tags) == set(tags)]
    try:
        return _check_status(_body(status), number) or _check_metadata(
            graphs, model_name, number, _body(metadata)
        )
    except _UnreadableError as error:
        return errored("live", f"version {number} could not be asked: {error}")


def _body(response: Response) -> Mapping[str, Any]:
    """The JSON object of an answer. Its text goes into no message: the model may have written it."""
    code, text = response
    if code == 0:
        raise _UnreadableError(short(text.decode(errors="replace")))
    if code != 200:
        raise _UnreadableError(f"the server answered with HTTP {code}")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise _UnreadableError("the answer is no JSON") from None
    return _object(body, "the answer")


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _UnreadableError(f"{what} is no JSON object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _UnreadableError(f"{what} is no JSON list")
    return value


def _check_status(body: Mapping[str, Any], number: int) -> Verdict | None:
    """None if the version is AVAILABLE."""
    entries = _list(body.get("model_version_status"), "model_version_status")
    for entry in entries:
        if str(_object(entry, "a version's status").get("version")) != str(number):
            continue
        state = str(entry.get("state"))
        if state == "AVAILABLE":
            return None
        why = _object(entry.get("status", {}), "status")
        code, text = str(why.get("error_code", "OK")), str(why.get("error_message", ""))
        if state == "END" and code != "OK":
            return rejected(
                "available",
                Reason.NotAvailable,
                f"the server could not load version {number}: {short(code)} {text[:400]!r}",
            )
        return errored("available", f"version {number} is {short(state)}, not AVAILABLE yet")
    others = [str(_object(e, "a version's status").get("version")) for e in entries]
    return errored("available", f"the server has version {listed(others)}, not {number}")


def _check_metadata(
    graphs: Sequence[GraphFacts], model_name: str, number: int, body: Mapping[str, Any]
) -> Verdict:
    spec = _object(body.get("model_spec"), "model_spec")
    answered = (str(spec.get("name")), str(spec.get("version")))
    if answered != (model_name, str(number)):
        return _mismatch(
            f"the server answered for {short(answered[0])} version {short(answered[1])}, "
            f"asked was {model_name} version {number}"
        )
    outer = _object(_object(body.get("metadata"), "metadata").get("signature_def"), "signature_def")
    served = _object(outer.get("signature_def", {}), "signature_def")
    differences = [_first_difference(graph.signatures, served) for graph in graphs]
    if not differences:
        return errored("metadata", f"no MetaGraph of version {number} has the tags that are served")
    if all(differences):
        return _mismatch(f"{differences[0]}; the served model is not the one in the bucket")
    count = len(served.keys() - INTERNAL_SIGNATURES)
    return passed("live", f"version {number} is AVAILABLE and serves the {count} signatures read")


def _mismatch(message: str) -> Verdict:
    return rejected("metadata", Reason.MetadataMismatch, message)


def _first_difference(read: Mapping[str, Signature], served: Mapping[str, Any]) -> str | None:
    keys = served.keys() - INTERNAL_SIGNATURES
    if keys != read.keys():
        return f"the server has the signatures {listed(sorted(keys))}, read were {listed(sorted(read))}"
    for key in sorted(keys):
        name, old = short(key), read[key]
        new = _object(served[key], "a signature")
        if str(new.get("method_name", "")) != old.method:
            return f"{name}.method is {short(str(new.get('method_name')))}, read was {old.method}"
        found = _tensors_differ(f"{name}.inputs", old.inputs, new.get("inputs", {}))
        found = found or _tensors_differ(f"{name}.outputs", old.outputs, new.get("outputs", {}))
        if found:
            return found
        defaults = _object(new.get("defaults", {}), "defaults").keys()
        if defaults != {k for k, tensor in old.inputs.items() if tensor.has_default}:
            return f"{name} has defaults for {listed(sorted(defaults))}, others than were read"
    return None


def _tensors_differ(path: str, read: Mapping[str, TensorSpec], served: object) -> str | None:
    infos = _object(served, path)
    if infos.keys() != read.keys():
        return f"{path} are {listed(sorted(infos))}, read were {listed(sorted(read))}"
    for key, tensor in read.items():
        seen = _tensor(_object(infos[key], "a tensor"))
        known = (tensor.dtype, tensor.shape, tensor.name)
        if seen != known:
            return f"{path}.{short(key)} is {_shown(*seen)}, read was {_shown(*known)}"
    return None


def _tensor(info: Mapping[str, Any]) -> tuple[str, tuple[int, ...] | None, str]:
    """Type, shape and tensor name. Fields at their default may be left out of proto JSON."""
    dtype = info.get("dtype", "DT_INVALID")
    shape = _object(info.get("tensor_shape", {}), "tensor_shape")
    dims = _list(shape.get("dim", []), "dim")
    try:
        sizes = tuple(int(_object(dim, "a dimension").get("size", 0)) for dim in dims)
    except (TypeError, ValueError):
        raise _UnreadableError("the size of a dimension is no number") from None
    name = proto_name(dtype) if isinstance(dtype, int) else str(dtype)
    return name, None if shape.get("unknown_rank") else sizes, str(info.get("name", ""))


def _shown(dtype: str, shape: tuple[int, ...] | None, name: str) -> str:
    sizes = "of unknown rank" if shape is None else "[" + ",".join(map(str, shape)) + "]"
    return f"{short(dtype)} {sizes} ({short(name) or 'no name'})"
