"""Somebody else owns the route, or goes on changing it.

On a control plane of one's own whose pods `pod_world` answers for. `test_e_traffic` has what clients
feel of other faults of the route.
"""

from __future__ import annotations

import time

from audit_log import READS, entries
from campaign_case import Seen, case
from fleet import NAMESPACE, Fleet
from many_requests import Body
from plane_children import SLOW, call, child, condition, model, path_of, reason, serve
from replica import Replica, until
from story_of_objects import Stories

QUIET = 15.0  # seconds in which a fighting operator would have written again
APPLY = "application/apply-patch+yaml"


def is_stalled(fleet: Fleet, name: str, why: str) -> bool:
    return reason(model(fleet, name), "Stalled") == ("True", why)


@case(
    "E8",
    injection="the router's ConfigMap exists already and belongs to another controller",
    expected="Stalled=True/NameTaken with whose it is and the remedy; it is left as it is; once it is "
    "gone, the object serves",
    where="control plane",
)
def test_e8_the_route_is_anothers(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    metadata = {"name": "e8-taken-router", "namespace": NAMESPACE}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mine": "yes"}}
    code, made = call(fleet, "POST", path_of("configmaps"), body)
    assert code == 201, made
    fleet.upload(1, "e8-taken")
    fleet.apply(fleet.manifest("e8-taken", "e8-taken"))
    until(lambda: is_stalled(fleet, "e8-taken", "NameTaken"), "NameTaken", SLOW)
    told = condition(model(fleet, "e8-taken"), "Stalled")["message"]
    assert "ConfigMap e8-taken-router" in told
    assert "kubectl" in told
    assert child(fleet, "configmaps", "e8-taken-router") == made
    call(fleet, "DELETE", path_of("configmaps", "e8-taken-router"))
    stories.wait("e8-taken", lambda m: m.phase == "Serving", "serving", SLOW)
    seen.say(
        "NameTaken with the command that frees the name; left as it was; served once it was gone"
    )


@case(
    "E8",
    injection="another controller applies its own selector to the Service, each time that it is put "
    "back",
    expected="after three times Stalled=True/ConflictingWriter names the field and the other manager, "
    "and the operator writes it no more",
    where="control plane",
)
def test_e8_another_goes_on_writing(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "e8")
    fights = 0
    until_stalled = time.monotonic() + SLOW
    while not is_stalled(fleet, "e8", "ConflictingWriter"):
        assert time.monotonic() < until_stalled, f"it fights on after {fights} times"
        if child(fleet, "services", "e8")["spec"]["selector"] != OTHER["spec"]["selector"]:
            fights += 1
            take(fleet)
        time.sleep(0.2)
    began = time.time()
    time.sleep(QUIET)  # an absence can only be watched
    since = entries(fleet.plane.audit_log, began)
    fought = [
        e for e in since if e.verb not in READS and (e.resource, e.name) == ("services", "e8")
    ]
    told = condition(model(fleet, "e8"), "Stalled")["message"]
    assert not fought
    assert "spec.selector" in told
    assert "another-controller" in told
    seen.say(f"stopped after {fights} times: “{told}”; 0 writes of it in the next {QUIET:.0f} s")


OTHER: Body = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "e8"},
    "spec": {"selector": {"savedmodel.dev/component": "elsewhere"}},
}


def take(fleet: Fleet) -> None:
    """As the other controller does: server-side apply by force."""
    path = f"{path_of('services', 'e8')}?fieldManager=another-controller&force=true"
    code, body = call(fleet, "PATCH", path, OTHER, APPLY)
    assert code == 200, body
