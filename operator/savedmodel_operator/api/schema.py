"""The CustomResourceDefinition, made from `types` and `status_types`. Pure.

`dev/generate` writes what `build_crd` returns to `crds/`, the chart and the reference page. The
result is a structural schema: no $ref, no null alternatives, everything inlined. Must not hold a
rule of its own: bounds, CEL and defaults stand in the types, sentences in `words`.
"""

from __future__ import annotations

import inspect as introspection
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from savedmodel_operator.api import types
from savedmodel_operator.api.scalars import INT64_MAX, Rule
from savedmodel_operator.api.status_types import Status
from savedmodel_operator.api.words import FIELD_WORDS, PATTERN_WORDS

Schema = dict[str, Any]

INT32_MAX = 2**31 - 1
CATEGORIES = ("all",)

LIST_TYPES: Mapping[str, tuple[str, ...]] = {
    "spec.serving.options.tags": ("set",),
    "spec.serving.pod.imagePullSecrets": ("map", "name"),
    "spec.gate.signatures": ("map", "name"),
    "spec.gate.compatibility.clients": ("set",),
    "spec.gate.ops.custom": ("set",),
    "spec.gate.requests": ("map", "name"),
    "spec.gate.agreement.requests": ("set",),
    "spec.rollout.analysis.queries": ("map", "name"),
    "status.conditions": ("map", "type"),
}
"""Lists that are merged by entry and refuse duplicates; all others are replaced as a whole."""

COLUMNS: tuple[tuple[str, str, str, int, str], ...] = (
    ("Phase", "string", ".status.phase", 0, "What is going on, as one word."),
    ("Stable", "integer", ".status.stable.number", 0, "The version that holds the traffic."),
    ("Candidate", "integer", ".status.candidate.number", 0, "The version being tried."),
    ("Weight", "integer", ".status.candidate.weight", 0, "The candidate's percent of requests."),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether it serves."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since creation."),
    ("Message", "string", ".status.message", 1, "What is going on, in one sentence."),
    ("URL", "string", ".status.url", 1, "Where clients reach it."),
)
"""(name, type, JSON path, priority, description); priority 1 shows with `-o wide`."""


class SchemaError(Exception):
    """The types hold something that a structural schema or a reader cannot do with."""


def build_crd() -> Schema:
    """The whole manifest, apiextensions.k8s.io/v1.

    Raises SchemaError: a pattern, field or bound that the types leave open.
    """
    plural, singular = types.PLURAL, types.KIND.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{types.GROUP}"},
        "spec": {
            "group": types.GROUP,
            "names": {
                "categories": list(CATEGORIES),
                "kind": types.KIND,
                "listKind": f"{types.KIND}List",
                "plural": plural,
                "shortNames": [types.SHORT_NAME],
                "singular": singular,
            },
            "scope": "Namespaced",
            "versions": [_build_version()],
        },
    }


def _build_version() -> Schema:
    return {
        "name": types.VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.serving.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
        "schema": {"openAPIV3Schema": build_root()},
    }


def _column(name: str, kind: str, path: str, priority: int, description: str) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def build_root() -> Schema:
    """The schema of the object; `status` gets its default here.

    With `observedGeneration: -1` from create on, kstatus (Argo CD, Flux, Helm's --wait) does not
    take an object that nobody has looked at yet for a finished one.
    """
    return {
        "description": "A TensorFlow model served from a bucket, with a safe way from one version "
        "to the next.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{types.GROUP}/{types.VERSION}"},
            "kind": {"type": "string", "description": types.KIND},
            "metadata": {"type": "object"},
            "spec": _convert(inspect.type_info(types.Spec), "spec"),
            "status": {**build_status(), "default": {"observedGeneration": -1}},
        },
        "x-kubernetes-validations": _rules(types.ROOT_RULES),
    }


def build_status() -> Schema:
    """The schema of the status alone, without its default."""
    return _convert(inspect.type_info(Status), "status")


def _rules(rules: Iterable[Rule]) -> list[Schema]:
    return [{"rule": rule, "message": message} for rule, message in rules]


def _convert(node: inspect.Type, path: str) -> Schema:
    """The structural schema of one type; `path` is where it stands in the object."""
    match node:
        case inspect.Metadata():
            return _merge(_convert(node.type, path), node.extra_json_schema or {})
        case inspect.UnionType():
            return _convert(_only(node, path), path)
        case inspect.StructType():
            return _struct(node, path)
        case inspect.DictType():
            return _mapping(node, path)
        case inspect.VarTupleType():
            return _sequence(node, path)
        case inspect.StrType():
            return _string(node, path)
        case inspect.IntType():
            return _integer(node)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.LiteralType():
            return {"type": "string", "enum": list(node.values)}
    raise SchemaError(f"{path}: no structural schema for {type(node).__name__}")


def _only(node: inspect.UnionType, path: str) -> inspect.Type:
    """The one alternative that is not null: absence says "none", and nulls are dropped on entry."""
    alternatives = [t for t in node.types if not isinstance(t, inspect.NoneType)]
    if len(alternatives) != 1:
        raise SchemaError(f"{path}: a structural schema has one type, not {len(alternatives)}")
    return alternatives[0]


def _merge(schema: Schema, extra: Mapping[str, Any]) -> Schema:
    """`schema` with the raw keywords of the types laid over it."""
    if extra.get("x-kubernetes-int-or-string"):
        schema = {key: value for key, value in schema.items() if key != "type"}
    if extra.get("x-kubernetes-preserve-unknown-fields"):
        schema = {key: value for key, value in schema.items() if key != "additionalProperties"}
    merged = {**schema, **extra}
    own, added = (s.get("x-kubernetes-validations", []) for s in (schema, extra))
    if own:
        guard = own[0]["rule"]
        # Without the guard, `duration(self)` of a text that is none would add its own failure.
        added = [{**rule, "rule": f"!{guard} || ({rule['rule']})"} for rule in added]
        merged["x-kubernetes-validations"] = [*own, *added]
    return merged


def _struct(node: inspect.StructType, path: str) -> Schema:
    cls: Any = node.cls
    properties = {f.encode_name: _property(f, f"{path}.{f.encode_name}") for f in node.fields}
    schema: Schema = {
        "description": " ".join(introspection.cleandoc(cls.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
    }
    required = [f.encode_name for f in node.fields if f.required]
    if required:
        schema["required"] = required
    if cls.RULES:
        schema["x-kubernetes-validations"] = _rules(cls.RULES)
    return schema


def _property(node: inspect.Field, path: str) -> Schema:
    schema = _convert(node.type, path)
    if path in FIELD_WORDS:
        schema["description"] = FIELD_WORDS[path]
    if not schema.get("description"):
        raise SchemaError(f"{path}: say what it means, in Meta(description=…) or in words.py")
    default = _default(node, schema)
    return schema if default is None else {**schema, "default": default}


def _default(node: inspect.Field, schema: Schema) -> Any:
    """What the API server fills in; None: nothing.

    A part with defaults inside gets {}, which the server then fills. Empty lists and maps are not
    filled in: they mean the same as their absence and would only be noise in every object.
    """
    if node.default in (msgspec.NODEFAULT, None, ()):
        return None
    if isinstance(node.default, msgspec.Struct):
        return {} if _has_defaults(schema) else None
    return list(node.default) if isinstance(node.default, tuple) else node.default


def _has_defaults(schema: Schema) -> bool:
    return any("default" in inner for inner in schema.get("properties", {}).values())


def _mapping(node: inspect.DictType, path: str) -> Schema:
    schema: Schema = {"type": "object"}
    if not isinstance(node.value_type, inspect.AnyType):
        schema["additionalProperties"] = _convert(node.value_type, f"{path}.*")
        if node.max_length is None:
            raise SchemaError(f"{path}: a map needs max_length, CEL's cost is computed from it")
    return _bounded(schema, node.min_length, node.max_length, "Properties")


def _sequence(node: inspect.VarTupleType, path: str) -> Schema:
    if node.max_length is None:
        raise SchemaError(f"{path}: a list needs max_length, CEL's cost is computed from it")
    kind, *keys = LIST_TYPES.get(path, ("atomic",))
    schema: Schema = {
        "type": "array",
        "items": _convert(node.item_type, f"{path}[]"),
        "x-kubernetes-list-type": kind,
    }
    if keys:
        schema["x-kubernetes-list-map-keys"] = keys
    return _bounded(schema, node.min_length, node.max_length, "Items")


def _string(node: inspect.StrType, path: str) -> Schema:
    if node.max_length is None:
        raise SchemaError(f"{path}: a string needs max_length, CEL's cost is computed from it")
    schema = _bounded({"type": "string"}, node.min_length, node.max_length, "Length")
    if node.pattern is not None:
        if node.pattern not in PATTERN_WORDS:
            raise SchemaError(f"{path}: words.py does not say what {node.pattern} wants")
        rule = f"self.matches({_cel_text(node.pattern)})"
        schema["x-kubernetes-validations"] = _rules([(rule, PATTERN_WORDS[node.pattern])])
    return schema


def _cel_text(text: str) -> str:
    return f"r'{text}'" if "\\" in text else f"'{text}'"


def _integer(node: inspect.IntType) -> Schema:
    wide = node.le is None or node.le > INT32_MAX
    schema: Schema = {"type": "integer", "format": "int64" if wide else "int32"}
    if node.ge is not None:
        schema["minimum"] = node.ge
    if node.le is not None and node.le < INT64_MAX:  # int64 itself says the rest
        schema["maximum"] = node.le
    return schema


def _bounded(schema: Schema, low: int | None, high: int | None, what: str) -> Schema:
    if low:
        schema[f"min{what}"] = low
    if high is not None:
        schema[f"max{what}"] = high
    return schema
