"""The API itself: what its schema refuses, what its rules keep, how long its names get.

Against a real API server, with an operator that must live through everything that is accepted.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from campaign_case import Seen, case
from fleet import MODELS, Fleet
from plane_children import (
    SLOW,
    call,
    children,
    condition,
    is_stable,
    model,
    patch,
    reason,
    serve,
)
from replica import Replica, until
from story_of_objects import Stories

from lab.kube import Object
from simulation.sim_specs import SCHEMA, change, fields, put

CRD = Path(__file__).resolve().parents[2] / "crds/savedmodeldeployments.yaml"
CRD_PATH = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/savedmodeldeployments.savedmodel.dev"
)
DRAWN = 150
SEED = 1
#: An object's field may hold anything; a wrong kind is then only a wrong field inside.
WRONG: dict[str, Any] = {
    "string": {"a": 1},
    "integer": "many",
    "boolean": "perhaps",
    "array": "none",
    "object": 7,
}
REFERENCES = {
    "source.secretRef": {"name": "x"},
    "source.caBundle": {"configMap": "x", "key": "y"},
}
LONGEST = "n" * 33
GREATEST = 2**63 - 1


@case(
    "F1",
    injection="every field of the schema with a value of a wrong kind, beyond its bounds, or of no "
    "known word",
    expected="the API server refuses each (4xx)",
    where="control plane",
)
def test_f1_every_field_is_guarded(fleet: Fleet, seen: Seen) -> None:
    fleet.upload(1, "f1")
    good = fleet.manifest("f1", "f1")
    fleet.apply(good)
    tried, accepted = 0, []
    for path, schema in fields():
        for value in wrong_values(schema):
            tried += 1
            code, _ = patch(fleet, "f1", put({}, path, value))
            if code < 400:
                accepted.append((path, value))
    assert not accepted, accepted[:5]
    assert tried > 150
    call(fleet, "DELETE", f"{MODELS}/f1")
    seen.say(f"{tried} wrong values in {len(list(fields()))} fields: all refused")


def wrong_values(schema: Any) -> Iterator[Any]:
    """Each breaks one word of the field's schema."""
    if schema.get("x-kubernetes-int-or-string"):
        yield ["neither"]
        return
    yield WRONG[schema["type"]]
    if "enum" in schema:
        yield "Nonsense"
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "maxItems" in schema and schema["items"].get("type") == "string":
        yield ["x"] * (schema["maxItems"] + 1)


@case(
    "F1",
    injection=f"{DRAWN} specs drawn from the schema, one changed field after the other (seed {SEED}); "
    "then one that the schema would refuse, with the schema taken away",
    expected="the operator lives and observes the last; the bypass is Stalled=True/InvalidSpec and "
    "heals when it is put right",
    where="control plane",
)
def test_f1_what_is_accepted_is_survived(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f1-drawn")
    good = model(fleet, "f1-drawn")["spec"]
    chance, spec, accepted = random.Random(SEED), copy.deepcopy(good), 0
    for _ in range(DRAWN):
        drawn = change(spec, chance)
        code = replace_spec(fleet, "f1-drawn", drawn)
        if code == 200:  # a rule over several fields may refuse what each field allows
            spec, accepted = drawn, accepted + 1
    assert accepted > DRAWN / 2
    stories.wait("f1-drawn", lambda m: m.observed == m.generation, "the last to be seen", SLOW)
    assert replace_spec(fleet, "f1-drawn", good) == 200
    stories.wait("f1-drawn", lambda m: m.observed == m.generation, "the good one to be seen", SLOW)
    with schema_away(fleet):
        patch(fleet, "f1-drawn", {"rollout": {"deadline": 7}})
        until(
            lambda: reason(model(fleet, "f1-drawn"), "Stalled") == ("True", "InvalidSpec"),
            "it",
            SLOW,
        )
        told = condition(model(fleet, "f1-drawn"), "Stalled")["message"]
        patch(fleet, "f1-drawn", {"rollout": {"deadline": "7m"}})
        until(lambda: reason(model(fleet, "f1-drawn"), "Stalled")[0] == "False", "healing", SLOW)
    assert "rollout.deadline" in told
    assert leader.metrics(), "it does not live any more"
    seen.say(
        f"{accepted} of {DRAWN} accepted and survived; bypass: InvalidSpec, “{told[:80]}”, healed"
    )


def replace_spec(fleet: Fleet, name: str, spec: Object) -> int:
    """PUT of the object with this spec; tried again where the operator's status came between."""
    while True:
        body = model(fleet, name)
        body["spec"] = spec
        code, _ = call(fleet, "PUT", f"{MODELS}/{name}", body)
        if code != 409:
            return code


@contextmanager
def schema_away(fleet: Fleet) -> Iterator[None]:
    """The API server takes any spec; afterwards it is as in the tree again."""
    crd = yaml.safe_load(CRD.read_text())
    loose = copy.deepcopy(crd)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = loose["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"spec": anything, "status": anything},
    }
    force = f"{CRD_PATH}?fieldManager=tests&force=true"
    apply = "application/apply-patch+yaml"
    try:
        code, body = call(fleet, "PATCH", force, loose, apply)
        assert code == 200, body
        until(
            lambda: (
                patch(fleet, "f1-drawn", {"probe": "loose"})[0] == 200
                and model(fleet, "f1-drawn")["spec"].get("probe")
            ),
            "the loose schema to hold",
        )
        patch(fleet, "f1-drawn", {"probe": None})
        yield
    finally:
        code, body = call(fleet, "PATCH", force, crd, apply)
        assert code == 200, body
        until(
            lambda: patch(fleet, "f1-drawn", {"rollout": {"deadline": 7}})[0] == 422,
            "the strict schema to hold again",
        )


@case(
    "F7",
    injection="modelName changed, set where it was not, taken away where it was",
    expected="each refused by CEL with what to do instead",
    where="control plane",
)
def test_f7_an_immutable_field(fleet: Fleet, seen: Seen) -> None:
    named = fleet.manifest("f7-named", "f7")
    named["spec"]["modelName"] = "calc"
    fleet.apply(named)
    fleet.apply(fleet.manifest("f7", "f7"))
    answers = [
        patch(fleet, "f7-named", {"modelName": "other"}),
        patch(fleet, "f7-named", {"modelName": None}),
        patch(fleet, "f7", {"modelName": "other"}),
    ]
    assert [code for code, _ in answers] == [422, 422, 422]
    words = answers[0][1]["message"].rpartition(": ")[2]
    for name in ("f7", "f7-named"):
        call(fleet, "DELETE", f"{MODELS}/{name}")
    seen.say(f"3 of 3 refused: “{words}”")


@case(
    "F11",
    injection="a namespace in every reference of the spec",
    expected="unrepresentable: no reference has such a field; strict validation refuses it",
    where="control plane",
)
def test_f11_a_reference_into_another_namespace(fleet: Fleet, seen: Seen) -> None:
    places = list(properties(SCHEMA, "spec"))
    assert not [path for path in places if path.rpartition(".")[2] == "namespace"]
    fleet.upload(1, "f11")
    fleet.apply(fleet.manifest("f11", "f11"))
    for path, reference in REFERENCES.items():
        assert f"spec.{path}" in places, path
        body = {"spec": put({}, path, {**reference, "namespace": "kube-system"})}
        code, answer = call(fleet, "PATCH", f"{MODELS}/f11?fieldValidation=Strict", body)
        assert code in (400, 422), answer
        assert f'unknown field "spec.{path}.namespace"' in answer["message"], answer
    call(fleet, "DELETE", f"{MODELS}/f11")
    seen.say(
        f"{len(places)} fields, none a namespace; {len(REFERENCES)} references with one: all refused"
    )


def properties(schema: Any, path: str) -> Iterator[str]:
    """Every property below, in lists and maps, too."""
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from properties(below, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from properties(schema[word], f"{path}[]")


@case(
    "F14",
    injection="the longest name (33), the longest model name, the greatest version (2⁶³ − 1)",
    expected="it serves; every child's name is a DNS label of at most 63 characters",
    where="control plane",
)
def test_f14_everything_as_long_as_can_be(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    fleet.upload(GREATEST, "f14")
    body = fleet.manifest(LONGEST, "f14")
    body["spec"]["modelName"] = "m" * SCHEMA["properties"]["modelName"]["maxLength"]
    fleet.apply(body)
    stories.wait(LONGEST, is_stable(GREATEST), "serving", SLOW)
    names = {name for resource, name in children(fleet, LONGEST, pods=True) if resource != "pods"}
    longest = max(map(len, names))
    revision = model(fleet, LONGEST)["status"]["stable"]["revision"]
    assert len(revision) == 63
    assert all(len(name) <= 63 for name in names if not name.endswith("-lock"))
    call(fleet, "DELETE", f"{MODELS}/{LONGEST}")
    seen.say(
        f"served; {len(names)} names, the longest {longest} characters; the revision's {len(revision)}"
    )
