"""What users do to the children of an object: edits, names taken, owners lost, deletion.

On a control plane of one's own whose pods `pod_world` answers for: what counts is which objects there
are, whose they are, and what the object says.
"""

from __future__ import annotations

from campaign_case import Seen, case
from fleet import MODELS, NAMESPACE, Fleet
from plane_children import (
    SLOW,
    act,
    call,
    child,
    children,
    condition,
    has_weight,
    is_stable,
    model,
    patch,
    path_of,
    reason,
    serve,
    uids,
)
from replica import Replica, until
from story_of_objects import Stories

from lab.injection.store_faults import Partition
from lab.injection.store_proxy import StoreProxy
from lab.kube import Object
from lab.objects import Step

EDITS: tuple[tuple[str, str, Object], ...] = (
    ("services", "f10", {"spec": {"selector": {"savedmodel.dev/component": "elsewhere"}}}),
    ("deployments", "f10-router", {"spec": {"replicas": 3}}),
)


@case(
    "F4",
    injection="the object deleted at 25 % while no byte comes from the store",
    expected="all children are collected; the operator goes on with other objects",
    where="control plane",
)
def test_f4_deleted_mid_rollout_without_a_store(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f4-other")
    with StoreProxy(fleet.store.endpoint) as proxy:
        fleet.upload(1, "f4")
        body = fleet.manifest("f4", "f4", steps=(Step(25, pause=True),), deadline="30m")
        body["spec"]["source"]["endpoint"] = proxy.endpoint
        fleet.apply(body)
        stories.wait("f4", is_stable(1), "serving", SLOW)
        fleet.upload(2, "f4")
        stories.wait("f4", has_weight(2, 25), "version 2 at 25 %", SLOW)
        with proxy.inject(Partition()) as cut:
            until(lambda: cut.hits, "the store to be silent", SLOW)
            count = len(children(fleet, "f4", pods=True))
            call(fleet, "DELETE", f"{MODELS}/f4")
            took = until(lambda: not children(fleet, "f4", pods=True), "the children to go", SLOW)
            fleet.upload(2, "f4-other")
            stories.wait("f4-other", is_stable(2), "the other object's version 2", SLOW)
    seen.say(f"{count} children gone {took:.1f} s after the deletion; another object went on")


@case(
    "F5",
    injection="deleted without its children (orphaned), then made again under its name",
    expected="Stalled=True/NameTaken with the remedy: the former one's children are not adopted; once "
    "they are deleted it serves",
    where="control plane",
)
def test_f5_made_again_beside_its_former_children(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f5")
    options = {"propagationPolicy": "Orphan"}
    former = model(fleet, "f5")
    code, _ = call(fleet, "DELETE", f"{MODELS}/f5", options)
    assert code == 200
    until(lambda: call(fleet, "GET", f"{MODELS}/f5")[0] == 404, "the former object to go", SLOW)
    left = children(fleet, "f5")
    assert left
    assert all(not item["metadata"].get("ownerReferences") for item in left.values())
    fleet.apply(fleet.manifest("f5", "f5"))
    until(lambda: reason(model(fleet, "f5"), "Stalled") == ("True", "NameTaken"), "NameTaken", SLOW)
    told = condition(model(fleet, "f5"), "Stalled")["message"]
    assert "kubectl" in told
    assert uids(children(fleet, "f5")) | uids(left) == uids(children(fleet, "f5"))
    mine = model(fleet, "f5")["metadata"]["uid"]
    assert mine != former["metadata"]["uid"]
    for resource, name in left:
        now = child(fleet, resource, name)
        assert not now["metadata"].get("ownerReferences"), f"{resource}/{name} was adopted"
        call(fleet, "DELETE", path_of(resource, name))
    took = until(lambda: is_served(fleet, "f5"), "serving after the remedy", SLOW)
    seen.say(f"{len(left)} orphans left alone; after the remedy it served within {took:.1f} s")


def is_served(fleet: Fleet, name: str) -> bool:
    body = model(fleet, name)
    return bool((body.get("status") or {}).get("phase") == "Serving")


@case(
    "F6",
    injection="a second object whose Service has the name of a Service of the first one",
    expected="the first one keeps it; the second is Stalled=True/NameTaken and names whose it is",
    where="control plane",
)
def test_f6_a_second_object_claims_a_name(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f6")
    revision = model(fleet, "f6")["status"]["stable"]["revision"]
    before = child(fleet, "services", revision)
    fleet.upload(1, "f6-second")
    fleet.apply(fleet.manifest(revision, "f6-second"))
    until(
        lambda: reason(model(fleet, revision), "Stalled") == ("True", "NameTaken"),
        "NameTaken",
        SLOW,
    )
    told = condition(model(fleet, revision), "Stalled")["message"]
    assert f"Service {revision}" in told
    assert "another SavedModelDeployment named f6" in told
    assert child(fleet, "services", revision) == before
    assert reason(model(fleet, "f6"), "Ready")[0] == "True"
    seen.say(f"second: NameTaken, “… {told.split(' but ')[1].split(';')[0]}”; the first untouched")


@case(
    "F10",
    injection="hands in the children: the Service's selector, the routers' replicas; also while "
    "suspended",
    expected="put back, with an Event DriftCorrected that names the field; spec.suspend stops "
    "rollouts and not healing (that is what is promised)",
    where="control plane",
)
def test_f10_children_are_edited(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f10")
    told = []
    for suspended in (False, True):
        patch(fleet, "f10", {"suspend": suspended})
        stories.wait("f10", lambda m: m.observed == m.generation, "the spec to be seen", SLOW)
        for resource, name, change in EDITS:
            wanted = child(fleet, resource, name)["spec"]
            call(fleet, "PATCH", path_of(resource, name), change)
            took = until(
                lambda r=resource, n=name, w=wanted: child(fleet, r, n)["spec"] == w,
                f"{name} to be put back",
                SLOW,
            )
            told.append(f"{took:.1f} s")
    notes = drift_events(fleet, "f10")
    assert any("Service f10: spec.selector" in note for note in notes), notes
    assert any("Deployment f10-router: spec.replicas is 3, wanted 1" in n for n in notes), notes
    seen.say(f"put back after {', '.join(told)} (the last two suspended); “{notes[0]}”")


def drift_events(fleet: Fleet, name: str) -> list[str]:
    path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
    _, listed = call(fleet, "GET", path)
    return [
        item["note"]
        for item in listed["items"]
        if item["reason"] == "DriftCorrected" and item["regarding"]["name"] == name
    ]


@case(
    "F12",
    injection="the owner references of every child deleted at 25 %",
    expected="every child is owned again, also in a rollout that waits for a person, and none is made "
    "anew; the rollout goes on",
    where="control plane",
)
def test_f12_owner_references_deleted(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    serve(fleet, stories, "f12", (Step(25, pause=True),))
    fleet.upload(2, "f12")
    stories.wait("f12", has_weight(2, 25), "version 2 at 25 %", SLOW)
    before = children(fleet, "f12")
    for resource, name in before:
        code, _ = call(
            fleet, "PATCH", path_of(resource, name), {"metadata": {"ownerReferences": None}}
        )
        assert code == 200

    def owned() -> bool:
        now = children(fleet, "f12")
        return all(now[key]["metadata"].get("ownerReferences") for key in before)

    took = until(owned, "the children to be owned again", SLOW)
    assert uids(before).items() <= uids(children(fleet, "f12")).items()
    act(fleet, "f12", "promote v2")
    stories.wait("f12", is_stable(2), "version 2", SLOW)
    seen.say(
        f"{len(before)} children owned again within {took:.1f} s, none replaced; then promoted"
    )
