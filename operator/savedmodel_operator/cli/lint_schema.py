"""What an API server with our CRD would say of an object, without an API server. Pure.

Walks the schema of `api.schema`: nulls are dropped and defaults filled in first, then types, bounds
and CEL rules are applied, each with the API server's own words, so that people find the same
sentence here, in `kubectl apply` and in a pipeline. Beyond the server: unknown fields get the
nearest known one, and rules are applied wherever the value itself is sound, also beside other
errors. Neighbours: `lint` shows the problems, `lint_cel` reads the rules.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from savedmodel_operator.cli.lint_cel import UnknownCelError, compile_rule
from savedmodel_operator.cli.lint_cel_functions import CelError
from savedmodel_operator.cli.manifest import Path

Schema = Mapping[str, Any]

RULES = "x-kubernetes-validations"
OPEN = "x-kubernetes-preserve-unknown-fields"
EITHER = "x-kubernetes-int-or-string"


@dataclass(frozen=True)
class Problem:
    """`path` leads to the value, `message` has the dotted path in it as the API server writes it."""

    path: Path
    message: str


@dataclass
class Inspection:
    """`skipped` are the messages of rules that cannot be applied to a file alone."""

    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class MapKey(str):
    """A key that the user chose; the API server writes it in brackets where a rule is broken."""

    __slots__ = ()


def inspect_object(data: Mapping[str, Any], schema: Schema) -> Inspection:
    """Every problem of one object that `fill` went over, in the order of its fields."""
    walk = _Walk(Inspection())
    walk.check(data, schema, ())
    return walk.found


def dotted(path: Path, *, of_rule: bool = False) -> str:
    """A path as the API server writes it; in the refusals of rules it writes keys in brackets.

    >>> dotted(("spec", "rollout", "steps", 0, "weight"))
    'spec.rollout.steps[0].weight'
    >>> dotted(("inputs", MapKey("x"))), dotted(("inputs", MapKey("x")), of_rule=True)
    ('inputs.x', 'inputs[x]')
    """
    text = ""
    for part in path:
        bracket = isinstance(part, int) or (of_rule and isinstance(part, MapKey))
        text += f"[{part}]" if bracket else f".{part}" if text else str(part)
    return text


def fill(value: Any, schema: Schema) -> Any:
    """Without nulls, with defaults, as the API server stores it."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        inner = schema.get("additionalProperties")
        kept = {key: v for key, v in value.items() if v is not None or schema.get(OPEN)}
        for key, below in properties.items():
            if key not in kept and "default" in below:
                kept[key] = below["default"]
        return {key: fill(v, properties.get(key, inner or {})) for key, v in kept.items()}
    if isinstance(value, list):
        return [fill(item, schema.get("items", {})) for item in value]
    return value


def type_of(value: Any) -> str:
    """The JSON type, in the API server's words."""
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


class _Walk:
    def __init__(self, found: Inspection) -> None:
        self.found = found

    def _say(self, path: Path, message: str, *, of_rule: bool = False) -> None:
        at = dotted(path, of_rule=of_rule)
        self.found.problems.append(Problem(path, f"{at}: {message}" if at else message))

    def _bound(self, path: Path, value: Any, words: str) -> None:
        shown = json.dumps(value, ensure_ascii=False)
        self._say(path, f"Invalid value: {shown}: {dotted(path)} in body {words}")

    def check(self, value: Any, schema: Schema, path: Path) -> None:
        before = len(self.found.problems)
        if not self._type(value, schema, path):
            return
        match value:
            case Mapping():
                self._object(value, schema, path)
            case list():
                self._array(value, schema, path)
            case str():
                self._string(value, schema, path)
            case int() | float():
                self._number(value, schema, path)
        if len(self.found.problems) == before:
            self._rules(value, schema, path)

    def _type(self, value: Any, schema: Schema, path: Path) -> bool:
        wanted, have = schema.get("type"), type_of(value)
        if schema.get(EITHER):
            wanted = have if have in ("integer", "string") else "integer,string"
        if wanted == "integer" and have == "number" and float(value).is_integer():
            return True
        if wanted in (None, have) or (wanted == "number" and have == "integer"):
            return True
        article = f"{dotted(path)} in body must be of type {wanted}"
        self._say(path, f'Invalid value: "{have}": {article}: "{have}"')
        return False

    def _object(self, value: Mapping[str, Any], schema: Schema, path: Path) -> None:
        properties, inner = schema.get("properties"), schema.get("additionalProperties")
        for key in schema.get("required", ()):
            if key not in value:
                self._say((*path, key), "Required value")
        most = schema.get("maxProperties")
        if most is not None and len(value) > most:
            self._say(path, f"Too many: {len(value)}: must have at most {most} items")
        for key, below in value.items():
            known = (properties or {}).get(key, inner)
            if known is not None:
                self.check(below, known, (*path, key if properties else MapKey(key)))
            elif properties is not None and not schema.get(OPEN):
                self._unknown(key, properties, path)

    def _unknown(self, key: str, properties: Schema, path: Path) -> None:
        text = f'unknown field "{dotted((*path, key))}"'
        near = nearest(key, properties)
        advice = f"; did you mean {near}?" if near else f"; known are {', '.join(properties)}"
        self.found.problems.append(Problem((*path, key), text + advice))

    def _array(self, value: list[Any], schema: Schema, path: Path) -> None:
        low, high = schema.get("minItems"), schema.get("maxItems")
        if low is not None and len(value) < low:
            self._bound(path, len(value), f"should have at least {low} items")
        if high is not None and len(value) > high:
            self._say(path, f"Too many: {len(value)}: must have at most {high} items")
        for at, item in enumerate(value):
            self.check(item, schema.get("items", {}), (*path, at))
        self._duplicates(value, schema, path)

    def _duplicates(self, value: list[Any], schema: Schema, path: Path) -> None:
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
        if kind not in ("set", "map"):
            return
        seen: list[Any] = []
        for at, item in enumerate(value):
            mark = item if kind == "set" else _keys(item, keys or [])
            if mark in seen:
                shown = json.dumps(mark, ensure_ascii=False, separators=(",", ":"))
                self._say((*path, at), f"Duplicate value: {shown}")
            seen.append(mark)

    def _string(self, value: str, schema: Schema, path: Path) -> None:
        low, high, allowed = (schema.get(k) for k in ("minLength", "maxLength", "enum"))
        if allowed and value not in allowed:
            values = ", ".join(json.dumps(v) for v in sorted(allowed))
            shown = json.dumps(value, ensure_ascii=False)
            self._say(path, f"Unsupported value: {shown}: supported values: {values}")
        if low is not None and len(value) < low:
            self._bound(path, value, f"should be at least {low} chars long")
        if high is not None and len(value) > high:
            self._say(path, f"Too long: may not be more than {high} bytes")

    def _number(self, value: float, schema: Schema, path: Path) -> None:
        low, high = schema.get("minimum"), schema.get("maximum")
        if schema.get("format") in ("int32", "int64") and high is None:
            high = 2 ** (31 if schema["format"] == "int32" else 63) - 1
        if low is not None and value < low:
            self._bound(path, value, f"should be greater than or equal to {low}")
        if high is not None and value > high:
            self._bound(path, value, f"should be less than or equal to {high}")

    def _rules(self, value: Any, schema: Schema, path: Path) -> None:
        for rule in schema.get(RULES, ()):
            if "oldSelf" in rule["rule"]:
                self.found.skipped.append(rule["message"])
                continue
            kind = "object" if isinstance(value, Mapping) else type_of(value)
            try:
                holds = compile_rule(rule["rule"])({"self": value})
            except UnknownCelError:
                self.found.skipped.append(rule["message"])
                continue
            except CelError as error:
                holds, kind = False, f"{kind}: {error}"
            if not holds:
                self._say(path, f'Invalid value: "{kind}": {rule["message"]}', of_rule=True)


def _keys(item: Any, keys: list[str]) -> dict[str, Any]:
    """What tells the entries of a list apart that is merged by entry."""
    return {key: item.get(key) for key in keys} if isinstance(item, Mapping) else {}


def nearest(key: str, known: Mapping[str, Any]) -> str:
    """The field that was meant, "" where none is near.

    >>> nearest("load_deadline", {"loadDeadline": 0, "drain": 0}), nearest("zzz", {"drain": 0})
    ('loadDeadline', '')
    """
    by_form = {name.lower(): name for name in known}
    found = difflib.get_close_matches(key.replace("_", "").replace("-", "").lower(), by_form, 1)
    return by_form[found[0]] if found else ""
