"""An OpenAPI 3.1 document of one version's REST surface on TensorFlow Serving. Pure.

`surface` says what REST can carry, `schemas` describes tensors, `openapi_fixed` what is the same
for every model. A signature that REST cannot call is left out and named with the reason in
`x-savedmodel-unsupported`. Each request schema names the schema of its answer in `x-response`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from savedmodel_operator.client import openapi_fixed as fixed
from savedmodel_operator.client.samples import sample_body
from savedmodel_operator.client.schemas import Library, Schema, array, record
from savedmodel_operator.client.surface import (
    CLASSIFY,
    DEFAULT_SIGNATURE,
    NAMELESS,
    REGRESS,
    Choice,
    Form,
    batch_sizes,
    classify_problem,
    form_problem,
    regress_problem,
)
from savedmodel_operator.savedmodel.facts import Signature, TensorSpec

_FORMS: Mapping[Form, tuple[str, str]] = {
    "row": ("instances", "predictions"),
    "column": ("inputs", "outputs"),
}
"""Form → the key of its request and of its answer."""

_ODD = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Described:
    """What is to be described: a model's name in paths, its version if known, its signatures."""

    choice: Choice
    version: int | None
    signatures: Mapping[str, Signature]
    server: str


def build_document(model: Described) -> dict[str, Any]:
    """The whole document, as JSON-able data."""
    library = Library()
    base = model.choice.path
    paths: dict[str, Any] = {}
    unsupported: dict[str, dict[str, str]] = {}
    for verb, build in (("predict", _predict), ("classify", _classify), ("regress", _regress)):
        operation, problems = build(library, model.signatures)
        if operation:
            paths[f"{base}:{verb}"] = {"post": operation}
        if problems:
            unsupported[verb] = problems
    paths[base] = {"get": fixed.status_operation(model.choice.label)}
    paths[f"{base}/metadata"] = {"get": fixed.metadata_operation()}
    version = model.choice.version if model.choice.version is not None else model.version
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model.choice.name,
            "version": str(version) if version is not None else "unknown",
            "description": fixed.DESCRIPTION,
        },
        "servers": [{"url": model.server}],
        "paths": paths,
        "components": {
            "schemas": {**library.schemas, **fixed.SCHEMAS},
            "responses": fixed.RESPONSES,
        },
        **({"x-savedmodel-unsupported": unsupported} if unsupported else {}),
    }


def component_names(signatures: Mapping[str, Signature]) -> dict[str, str]:
    """Signature → a name that may stand in a reference, one each.

    >>> component_names({"a b": None, "a/b": None, "c": None})
    {'a b': 'a_b', 'a/b': 'a_b_2', 'c': 'c'}
    """
    names: dict[str, str] = {}
    for key in sorted(signatures):
        name = plain = _ODD.sub("_", key) or "_"
        count = 1
        while name in names.values():
            count += 1
            name = f"{plain}_{count}"
        names[key] = name
    return names


Built = tuple[dict[str, Any] | None, dict[str, str]]
"""An operation, None if no signature has it, and why the others have not."""


def _predict(library: Library, signatures: Mapping[str, Signature]) -> Built:
    names = component_names(signatures)
    signatures = {key: _with_batches(signature) for key, signature in signatures.items()}
    problems: dict[str, str] = {}
    requests: list[Schema] = []
    answers: list[Schema] = []
    examples: dict[str, Any] = {}
    for key, signature in sorted(signatures.items()):
        for form in _FORMS:
            problem = NAMELESS if not key else form_problem(signature, form)
            if problem:
                problems[key] = f"only columns: {problem}" if form == "row" else problem
                continue
            name = f"predict.{names[key]}.{form}"
            answers.append(library.add(f"{name}Response", _answer(library, signature, form)))
            request = _request(library, key, signature, form)
            request["x-response"] = answers[-1]["$ref"]
            requests.append(library.add(f"{name}Request", request))
            sample = sample_body(signature, form)
            if sample is not None:
                body = {"signature_name": key, _FORMS[form][0]: sample}
                examples[name.removeprefix("predict.")] = {"value": body}
    if not requests:
        return None, problems
    return fixed.inference("predict", requests, answers, examples), problems


def _with_batches(signature: Signature) -> Signature:
    """Serialized examples are a list, also where a placeholder of TF1 leaves their rank open.

    Classify and Regress feed nothing else (servables/tensorflow/util.cc), and the parser in the
    graph refuses matrices.
    """
    given = signature.inputs.get("inputs")
    if signature.method not in (CLASSIFY, REGRESS) or given is None or given.shape is not None:
        return signature
    if given.dtype != "DT_STRING" or len(signature.inputs) > 1:
        return signature
    return replace(signature, inputs={"inputs": replace(given, shape=(-1,))})


def _request(library: Library, key: str, signature: Signature, form: Form) -> Schema:
    values = {
        name: library.tensor(name, tensor, _inner(tensor, form), "request")
        for name, tensor in sorted(signature.inputs.items())
    }
    named = record(values, closed=form == "row")
    alone = next(iter(values.values())) if len(values) == 1 else None
    if form == "column":
        content: Schema = {"anyOf": [alone, named]} if alone else named
    else:
        size = next(iter(batch_sizes(signature)), -1)
        rows = array(named, size, least=1)
        content = {"anyOf": [array(alone, size, least=1), rows]} if alone else rows
    field, other = _FORMS[form][0], _FORMS["column" if form == "row" else "row"][0]
    required = [field] if key == DEFAULT_SIGNATURE else ["signature_name", field]
    return {
        "type": "object",
        "title": f"{key}, {form}s",
        "properties": {"signature_name": {"const": key}, field: content},
        "required": required,
        "not": {"required": [other]},
    }


def _answer(library: Library, signature: Signature, form: Form) -> Schema:
    values = {
        name: library.tensor(name, tensor, _inner(tensor, form), "response")
        for name, tensor in sorted(signature.outputs.items())
    }
    content = next(iter(values.values())) if len(values) == 1 else record(values)
    if form == "row":
        content = array(content, next(iter(batch_sizes(signature)), -1))
    return record({_FORMS[form][1]: content})


def _inner(tensor: TensorSpec, form: Form) -> tuple[int, ...] | None:
    """The shape below a row, or the whole one of a column."""
    if tensor.shape is None or form == "column":
        return tensor.shape
    return tensor.shape[1:]


def _classify(library: Library, signatures: Mapping[str, Signature]) -> Built:
    return _examples(library, signatures, CLASSIFY, classify_problem)


def _regress(library: Library, signatures: Mapping[str, Signature]) -> Built:
    return _examples(library, signatures, REGRESS, regress_problem)


def _examples(
    library: Library,
    signatures: Mapping[str, Signature],
    method: str,
    problem_of: Callable[[Signature], str | None],
) -> Built:
    """An operation on tf.Examples; their features are the model's matter, not the signature's.

    Signatures that were never meant for it are no problem worth naming.
    """
    verb = method.rpartition("/")[2]
    problems = {key: problem_of(signature) for key, signature in signatures.items()}
    good = sorted(key for key, problem in problems.items() if problem is None and key)
    bad = {
        key: problem
        for key, problem in sorted(problems.items())
        if problem is not None and signatures[key].method == method
    }
    if not good:
        return None, bad
    names = component_names(signatures)
    answer = {"$ref": f"#/components/schemas/{verb}Response"}
    requests = [
        library.add(
            f"{verb}.{names[key]}.request",
            {**fixed.examples_request(key, DEFAULT_SIGNATURE), "x-response": answer["$ref"]},
        )
        for key in good
    ]
    examples = dict(_examples_samples(good, names))
    return fixed.inference(verb, requests, [answer], examples), bad


def _examples_samples(keys: list[str], names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        yield names[key], {"value": {"signature_name": key, "examples": [{}]}}
