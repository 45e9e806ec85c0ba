"""The reference page of the API as Markdown, from the CRD.

Neighbour: `generate` writes it to docs/reference.md. Must not say anything that the schema does
not: meanings come from the API types.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

INTRODUCTION = """# Reference: SavedModelDeployment

<!-- Generated from operator/savedmodel_operator/api by {command}; do not edit. -->

`apiVersion: {group}/{version}`, `kind: {kind}`, short name `{short}`. Examples are in
[docs/examples](examples/).

`[]` stands for the entries of a list, `*` for the values of a map. A field in bold is required
where its parent is given. A dash as default means that nothing is filled in. References to Secrets
and ConfigMaps never carry a namespace: they are in the object's own.

A misspelt field is refused by `kubectl apply --validate=strict` (the default of kubectl) and by
server-side apply. A plain POST of another client prunes it and answers with a warning.
"""

SPEC = """
## spec

What you want. The operator never writes here.
"""

STATUS = """
## status

What the operator found and did. Nobody else writes here.
"""

OBJECT_RULES = """
## Rules for the object as a whole
"""

TABLE = "\n| Field | Type | Default | Bounds | Meaning |\n|---|---|---|---|---|\n"

BOUNDS = (
    ("minimum", "≥ {}"),
    ("maximum", "≤ {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} entries"),
    ("maxItems", "at most {} entries"),
    ("maxProperties", "at most {} entries"),
)


@dataclass(frozen=True)
class Row:
    """One field of the object."""

    path: str
    required: bool
    schema: Schema


def render(crd: Schema, command: str) -> str:
    """The whole page; `command` is what regenerates it."""
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    parts = [
        INTRODUCTION.format(
            command=command,
            group=crd["spec"]["group"],
            version=version["name"],
            kind=names["kind"],
            short=names["shortNames"][0],
        )
    ]
    for name, introduction in (("spec", SPEC), ("status", STATUS)):
        rows = fields(root["properties"][name], name)
        parts += [introduction, TABLE, *(_line(row) for row in rows)]
    rules = root["x-kubernetes-validations"]
    parts += [OBJECT_RULES, "\n", *(f"- {_cell(rule['message'])}.\n" for rule in rules)]
    return "".join(parts)


def fields(schema: Schema, path: str) -> Iterator[Row]:
    """Every field below `schema`, parents first, in the order of the types."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield Row(f"{path}.{name}", name in required, inner)
        yield from fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")
    if "properties" in schema.get("additionalProperties", {}):
        yield from fields(schema["additionalProperties"], f"{path}.*")


def _line(row: Row) -> str:
    name = f"**`{row.path}`**" if row.required else f"`{row.path}`"
    cells = (
        name,
        type_name(row.schema),
        _default(row.schema),
        bounds(row.schema),
        row.schema["description"],
    )
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def type_name(schema: Schema) -> str:
    """The type in words."""
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "object, as in the Pod API"
    if "items" in schema:
        return f"list of {type_name(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map to {type_name(schema['additionalProperties'])}"
    return str(schema["type"])


def _default(schema: Schema) -> str:
    if "default" not in schema or schema["default"] == {}:
        return "–"
    value = schema["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`"


def bounds(schema: Schema) -> str:
    """Bounds and rules in words, the rules in those of their own messages."""
    words = [_bound(text, schema[key]) for key, text in BOUNDS if key in schema]
    if "enum" in schema:
        words.append(", ".join(f"`{value}`" for value in schema["enum"]))
    words += [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    inner = bounds(schema["items"]) if schema.get("items", {}).get("type") == "string" else ""
    if inner:
        words.append(f"each: {inner}")
    return "; ".join(words)


def _bound(text: str, value: int) -> str:
    return "not empty" if value == 1 and text.startswith("at least") else text.format(value)


def _cell(text: str) -> str:
    """Text inside a table; `<` would start HTML and `|` the next cell."""
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")
