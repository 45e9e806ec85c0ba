"""Everything that belongs to one object on a control plane, and what users do to it.

For cases whose oracle is which objects there are, whose they are and what they say. Neighbours:
`fleet` has the control plane. Nothing of the product is used here.
"""

from __future__ import annotations

import json
from typing import Any

from fleet import MODELS, NAMESPACE, Fleet
from many_requests import MERGE, Body
from story_of_objects import Moment, Stories

from lab.objects import Step

Key = tuple[str, str]
SLOW = 300.0
"""Seconds for a rollout on a machine that has much else to do."""

_KINDS = {
    "services": "api/v1",
    "configmaps": "api/v1",
    "pods": "api/v1",
    "deployments": "apis/apps/v1",
    "controllerrevisions": "apis/apps/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
}


def path_of(resource: str, name: str = "") -> str:
    """Of an object, or of all of its kind."""
    found = f"/{_KINDS[resource]}/namespaces/{NAMESPACE}/{resource}"
    return f"{found}/{name}" if name else found


def call(
    fleet: Fleet, method: str, path: str, body: Any = None, content_type: str = MERGE
) -> tuple[int, Body]:
    """(code, body) of one request of the administrator's; a POST is plain JSON."""
    kind = "application/json" if method in ("POST", "PUT", "DELETE") else content_type
    return fleet.run(lambda api: api.call(method, path, body, kind))


def children(fleet: Fleet, owner: str, *, pods: bool = False) -> dict[Key, Body]:
    """What carries the owner's label, by (resource, name)."""
    found = {}
    for resource in _KINDS:
        if resource == "pods" and not pods:
            continue
        selector = f"?labelSelector=savedmodel.dev/deployment%3D{owner}"
        code, listed = call(fleet, "GET", path_of(resource) + selector)
        assert code == 200, listed
        found |= {(resource, item["metadata"]["name"]): item for item in listed["items"]}
    return found


def child(fleet: Fleet, resource: str, name: str) -> Body:
    """One of them; {} where it is not there."""
    code, body = call(fleet, "GET", path_of(resource, name))
    return body if code == 200 else {}


def uid(body: Body) -> str:
    return str(body["metadata"]["uid"])


def uids(found: dict[Key, Body]) -> dict[Key, str]:
    return {key: uid(body) for key, body in found.items()}


def model(fleet: Fleet, name: str) -> Body:
    """The SavedModelDeployment."""
    code, body = call(fleet, "GET", f"{MODELS}/{name}")
    assert code == 200, body
    return body


def patch(fleet: Fleet, name: str, spec: Body) -> tuple[int, Body]:
    """A user's change of the spec."""
    return call(fleet, "PATCH", f"{MODELS}/{name}", {"spec": spec})


def act(fleet: Fleet, name: str, text: str) -> None:
    """A verb, as a person sets it."""
    notes = {"metadata": {"annotations": {"savedmodel.dev/action": text}}}
    code, body = call(fleet, "PATCH", f"{MODELS}/{name}", notes)
    assert code == 200, body


def condition(body: Body, kind: str) -> Body:
    """A condition of an object; {} where there is none."""
    listed = (body.get("status") or {}).get("conditions") or ()
    return next((c for c in listed if c["type"] == kind), {})


def reason(body: Body, kind: str) -> tuple[str, str]:
    """(status, reason) of a condition."""
    found = condition(body, kind)
    return str(found.get("status", "")), str(found.get("reason", ""))


def weights(body: Any) -> dict[str, int]:
    """The weights that a router's ConfigMap, or the write of one, is for."""
    notes = ((body or {}).get("metadata") or {}).get("annotations") or {}
    found: dict[str, int] = json.loads(notes.get("savedmodel.dev/route", "{}")).get("weights", {})
    return found


def weight_of(body: Any, number: int) -> int:
    """What a version gets by it."""
    return sum(weight for name, weight in weights(body).items() if f"-v{number}-" in name)


def is_stable(number: int) -> Any:
    """For `Stories.wait`: the version has all the traffic, and nothing else is tried."""

    def done(moment: Moment) -> bool:
        return moment.stable == number and moment.candidate is None and moment.phase == "Serving"

    return done


def has_weight(number: int, weight: int) -> Any:
    """For `Stories.wait`: the candidate carries this weight, verified."""
    return lambda moment: moment.candidate == number and moment.weight == weight


def serve(fleet: Fleet, stories: Stories, name: str, steps: tuple[Step, ...] = ()) -> None:
    """Version 1 serves; later ones go through the steps."""
    fleet.upload(1, name)
    fleet.apply(fleet.manifest(name, name, steps=steps, deadline="30m"))
    stories.wait(name, is_stable(1), "serving", SLOW)
