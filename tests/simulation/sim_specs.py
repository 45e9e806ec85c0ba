"""Acto's method: random chains of specs made from the CRD's schema, valid and not.

A value is drawn by what the schema says of its field (type, bounds, enum, the CEL patterns and
duration bounds); what is not valid breaks one of these. Whether a spec is valid is for
`api.parse` to say, as in the operator. Must not know any field by name, but for those that would
change what the world is about (model name, credentials) or only its size (replicas).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from savedmodel_operator.api.scalars import seconds
from savedmodel_operator.api.schema import build_root
from simulation.sim_api import OWNER, clone
from simulation.sim_invariants import (
    SpecUntouched,
    clients_answered,
    weights_sum,
    workloads_outlive_clusters,
)
from simulation.sim_scenarios import SPEC, Scenario, version
from simulation.sim_world import World

Schema = Mapping[str, Any]
SCHEMA: Schema = build_root()["properties"]["spec"]
LENGTH = 20
LARGEST = 4  # of numbers without a smaller bound, so that worlds stay small
LEFT_ALONE = ("modelName", "source.anonymous", "source.secretRef", "source.uri")
AT_LEAST_ONE = "serving.replicas"  # 0 is a user's wish that nobody is answered

TEXTS = (
    *("1s", "5s", "10s", "30s", "45s", "1m", "2m", "1ms"),
    *("1%", "5%", "0.5", "1.5", "2", "0.00001", "512Mi"),
    *("flowers", "model-a", "ca.pem", "https://store:9000", "us-east-1", "localhost/image:1"),
    *("Addons>GeluOp", "READY", "--rest_api_num_threads=3", "serve"),
)

KEYS = ("cpu", "p99")  # of maps


class NothingFits(Exception):
    """No text of ours obeys the rules of the field."""


def draw(schema: Schema, chance: random.Random, path: str = "") -> Any:
    """A value that the schema allows. Raises NothingFits."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            low = max(schema.get("minimum", 0), 1 if path == AT_LEAST_ONE else -1)
            return chance.randint(low, max(low, min(schema.get("maximum", LARGEST), LARGEST)))
        case "string":
            return chance.choice(_texts(schema))
        case "array":
            return _array(schema, chance, path)
        case "object":
            return _object(schema, chance, path)
    return "1"  # a quantity: int or string


def _texts(schema: Schema) -> list[str]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1024)
    rules = [r["rule"] for r in schema.get("x-kubernetes-validations", ())]
    found = [t for t in TEXTS if low <= len(t) <= high and all(_obeys(t, r) for r in rules)]
    if not found:
        raise NothingFits
    return found


def _obeys(text: str, rule: str) -> bool:
    """By the kinds of CEL rule that scalars have; others hold for all our texts."""
    if " && " in rule:
        return all(_obeys(text, part) for part in rule.split(" && "))
    unwanted = re.fullmatch(r"!self\.contains\('(.*)'\)", rule)
    if unwanted is not None:
        return unwanted[1] not in text
    pattern = re.fullmatch(r"self\.matches\(r?'(.*)'\)", rule)
    if pattern is not None:
        return re.search(pattern[1].replace("\\\\", "\\"), text) is not None
    bounds = re.findall(r"duration\(self\) (>=|<=) duration\('(\w+)'\)", rule)
    if bounds and not re.fullmatch(r"([0-9]{1,9}(ms|s|m|h))+", text):
        return False
    return all(
        seconds(text) >= seconds(b) if sign == ">=" else seconds(text) <= seconds(b)
        for sign, b in bounds
    )


def _of_each(rule: str) -> str:
    """A rule about every key of a map, as a rule about one."""
    return re.sub(r"self\.all\((\w), \1\.(.*)\)", r"self.\2", rule)


def _array(schema: Schema, chance: random.Random, path: str) -> list[Any]:
    least = schema.get("minItems", 0)
    length = chance.randint(least, max(least, min(3, schema.get("maxItems", 3))))
    found = [draw(schema["items"], chance, f"{path}[]") for _ in range(length)]
    if any("isSorted" in r["rule"] for r in schema.get("x-kubernetes-validations", ())):
        found = list({item["weight"]: item for item in found}.values())
        found.sort(key=lambda item: item["weight"])
    if schema.get("x-kubernetes-list-type") == "set":
        found = sorted(set(found))
    if keys := schema.get("x-kubernetes-list-map-keys"):
        found = list({item[keys[0]]: item for item in found}.values())
    return found


def _object(schema: Schema, chance: random.Random, path: str) -> dict[str, Any]:
    if "additionalProperties" in schema:
        rules = [r["rule"] for r in schema.get("x-kubernetes-validations", ())]
        key = next(k for k in KEYS if all(_obeys(k, _of_each(r)) for r in rules))
        return {key: draw(schema["additionalProperties"], chance, f"{path}.*")}
    found: dict[str, Any] = {}
    for name, below in schema.get("properties", {}).items():
        if name in schema.get("required", ()) or chance.random() < 0.3:
            found[name] = draw(below, chance, f"{path}.{name}".lstrip("."))
    for rule in schema.get("x-kubernetes-validations", ()):
        either = re.fullmatch(r"has\(self\.(\w+)\) \|\| has\(self\.(\w+)\)", rule["rule"])
        if either is not None:  # just one of both: a second one may have to fit the first
            below = schema["properties"][either[1]]
            found[either[1]] = draw(below, chance, f"{path}.{either[1]}")
            found.pop(either[2], None)
    return found or ({"name": "N"} if "[]" in path else {})


def fields(schema: Schema = SCHEMA, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field of the spec below objects, with its path; lists and maps are fields."""
    for name, below in schema.get("properties", {}).items():
        where = f"{path}.{name}".lstrip(".")
        if where in LEFT_ALONE:
            continue
        yield where, below
        yield from fields(below, where)


def put(spec: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with another value at the path."""
    changed: dict[str, Any] = clone(dict(spec))
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return changed


def change(spec: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    """The spec with one field drawn anew."""
    while True:
        path, schema = _whole(spec, chance.choice(list(fields()))[0])
        try:
            value = draw(schema, chance, path)
        except NothingFits:
            continue
        if schema.get("type") == "object" and schema.get("properties"):
            value = {**_at(spec, path), **value}
        return put(spec, path, value)


def _whole(spec: Mapping[str, Any], path: str) -> tuple[str, Schema]:
    """The field, or the object around it that is not there yet and needs more than this field."""
    known, parts = dict(fields()), path.split(".")
    for end in range(1, len(parts)):
        above = ".".join(parts[:end])
        if known[above].get("required") and not _at(spec, above):
            return above, known[above]
    return path, known[path]


def _at(spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    place: Any = spec
    for name in path.split("."):
        place = place.get(name, {})
    return dict(place)


def spoil(spec: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    """The spec with one field that its schema does not allow."""
    path, schema = chance.choice(list(fields()))
    if "enum" in schema:
        return put(spec, path, "Nonsense")
    if "minimum" in schema and chance.random() < 0.5:
        return put(spec, path, schema["minimum"] - 1)
    return put(spec, path, [["of", "the"], {"wrong": "kind"}])


def spec_chain(world: World) -> None:
    """Twenty specs, a quarter of them invalid, at any moment of each other's rollouts, ending in a
    good one: invalid ones change nothing, and in the end the good one serves."""
    world.duties.clear()
    world.invariants[:] = [
        weights_sum,
        clients_answered,
        workloads_outlive_clusters,
        SpecUntouched(world),
    ]
    world.floor = 0
    chance = random.Random(world.random.random())
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    good: dict[str, Any] = clone(dict(SPEC))
    for turn in range(LENGTH):
        if turn == LENGTH // 2:
            world.publish(version(2), version(1))
        if chance.random() < 0.25:
            _refused(world, spoil(good, chance))
        good = change(good, chance)
        _set(world, good)
        world.settle(chance.choice((0.1, 2, 10, 30)))
    _set(world, put(SPEC, "serving.args", ["--rest_api_num_threads=5"]))
    world.run(lambda: _healthy(world))


def _set(world: World, spec: Mapping[str, Any]) -> None:
    def edit(body: dict[str, Any]) -> None:
        body.clear()
        body.update(clone(dict(spec)))

    world.edit_spec(edit)


def _refused(world: World, spec: Mapping[str, Any]) -> None:
    """An invalid spec: the object says so and nothing else is written."""
    _set(world, spec)
    world.run(
        lambda: _is_seen(world) and _condition(world, "Stalled") == ("True", "InvalidSpec"),
        limit=30,
    )
    before = len(world.operator_writes)
    world.settle(10)
    assert not world.operator_writes[before:], f"it acts on {spec}\n{world.tail()}"


def _condition(world: World, kind: str) -> tuple[str, str]:
    found = {c["type"]: (c["status"], c["reason"]) for c in world.status.get("conditions", ())}
    return found.get(kind, ("", ""))


def _is_seen(world: World) -> bool:
    generation: int = world.api.objects[OWNER]["metadata"]["generation"]
    return bool(world.status.get("observedGeneration") == generation)


def _healthy(world: World) -> bool:
    return (
        _is_seen(world)
        and _condition(world, "Ready")[0] == "True"
        and _condition(world, "Stalled")[0] == "False"
        and _condition(world, "UpToDate")[0] == "True"
        and world.stable_number() == 2
        and "candidate" not in world.status
    )


SPECS: dict[str, Scenario] = {"spec_chain": spec_chain}
