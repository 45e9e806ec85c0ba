"""The operator dies, ends, is doubled or replaced at the worst moment of a real rollout.

On a control plane of one's own whose pods `pod_world` answers for: what counts is what is written, and
that stands in the API server's audit log and in the objects. `test_b_crash_points` has every write.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from audit_log import entries
from campaign_case import Seen, case
from fleet import MODELS, Fleet
from fleet_fixtures import Start
from plane_children import call, child, children, has_weight, is_stable, model, uids, weight_of
from replica import until
from story_of_objects import Moment, Stories

from lab.injection import ApiProxy, Call, Hold, Match
from lab.objects import Step

PROMOTED = 300.0
TOGETHER = 60.0  # seconds of two operators
GRACE = 30.0  # seconds; Kubernetes' default
STEPS = (Step(25, 4), Step(50, 4))


def serve(
    fleet: Fleet, stories: Stories, name: str, steps: tuple[Step, ...] = STEPS, **given: Any
) -> None:
    """Version 1 serves; later ones go through the steps."""
    fleet.upload(1, name)
    fleet.apply(fleet.manifest(name, name, steps=steps, deadline="30m", **given))
    stories.wait(name, lambda m: m.phase == "Serving", "serving", PROMOTED)


def raises(name: str, number: int) -> Match:
    """The write that first gives a version requests."""
    return Match(
        {"patch"},
        "configmaps",
        name=f"{name}-router",
        where=lambda written: weight_of(written.body, number) > 0,
    )


def changes(moments: list[Moment], number: int) -> list[int]:
    """The weights of a candidate, each change once."""
    found: list[int] = []
    for moment in moments:
        if moment.candidate == number and moment.weight and found[-1:] != [moment.weight]:
            found.append(moment.weight)
    return found


def is_made(call: Call) -> bool:
    """A child that now exists. Events have names by chance."""
    return call.verb == "create" and call.code == 201 and call.resource not in ("events", "leases")


@case(
    "B3",
    injection="SIGKILL when the candidate's pods are ready and the write of its first weight is on "
    "its way; that write arrives only after the successor's",
    expected="no early request: weight 0 until the successor writes it; then every step once; the "
    "late write is refused (409)",
    where="control plane",
)
def test_b3_pods_ready_weight_not_set(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        first = start("b3-first", proxy.kubeconfig())
        first.wait_leading()
        serve(fleet, stories, "b3")
        began = time.time()
        with proxy.inject(Hold(), raises("b3", 2)) as hold:
            fleet.upload(2, "b3")
            hold.wait(1)
            first.kill()
            assert weight_of(child(fleet, "configmaps", "b3-router"), 2) == 0
            second = start("b3-second")
            second.wait_leading()
            stories.wait("b3", has_weight(2, 25), "the first weight", PROMOTED)
        stories.wait("b3", is_stable(2), "promotion", PROMOTED)
        steps = changes(stories.of("b3"), 2)
    writes = [e for e in entries(fleet.plane.audit_log, began) if e.name == "b3-router"]
    late = [e.code for e in writes if e.verb == "patch" and e.resource == "configmaps"]
    assert late.count(409) == 1
    assert steps == [25, 50]
    seen.say(f"weights {steps} by the successor; the dead operator's write came late: 409")


@case(
    "B4",
    injection="SIGKILL when the weight is written and the write of status is on its way",
    expected="the successor reads the route back and status follows it: the weight is not written "
    "again, the step is held and taken once",
    where="control plane",
)
def test_b4_weight_set_status_not(fleet: Fleet, start: Start, tmp_path: Path, seen: Seen) -> None:
    def tells(written: Call) -> bool:
        status = (written.body or {}).get("status") or {}
        return (status.get("candidate") or {}).get("weight") == 25

    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        first = start("b4-first", proxy.kubeconfig())
        first.wait_leading()
        serve(fleet, stories, "b4")
        match = Match(resource="savedmodeldeployments", subresource="status", where=tells)
        with proxy.inject(Hold(), match) as hold:
            fleet.upload(2, "b4")
            hold.wait(1)
            first.kill()
            route = child(fleet, "configmaps", "b4-router")
            assert weight_of(route, 2) == 25
            second = start("b4-second")
            second.wait_leading()
            stories.wait("b4", has_weight(2, 25), "status to follow", PROMOTED)
            told = child(fleet, "configmaps", "b4-router")
            assert told["metadata"]["resourceVersion"] == route["metadata"]["resourceVersion"]
        stories.wait("b4", is_stable(2), "promotion", PROMOTED)
        steps = changes(stories.of("b4"), 2)
    assert steps == [25, 50]
    seen.say(f"status followed the route, which was not written again; weights {steps}")


@case(
    "B6",
    injection="the object deleted in the middle of a rollout while no operator runs",
    expected="there is no finalizer: owner references collect every child; made again under its "
    "name, it serves",
    where="control plane",
)
def test_b6_deleted_while_the_operator_is_down(fleet: Fleet, start: Start, seen: Seen) -> None:
    with fleet.stories() as stories:
        first = start("b6-first")
        first.wait_leading()
        serve(fleet, stories, "b6", (Step(25, pause=True),))
        fleet.upload(2, "b6")
        stories.wait("b6", has_weight(2, 25), "the first weight", PROMOTED)
        assert "finalizers" not in model(fleet, "b6")["metadata"]
        first.kill()
        count = len(children(fleet, "b6", pods=True))
        code, _ = call(fleet, "DELETE", f"{MODELS}/b6")
        assert code == 200
        took = until(lambda: not children(fleet, "b6", pods=True), "the children to go")
        start("b6-second").wait_leading()
        fleet.apply(fleet.manifest("b6", "b6"))
        stories.wait("b6", is_stable(2), "serving again", PROMOTED)
    seen.say(f"{count} children gone {took:.1f} s after the deletion; made again, version 2 serves")


@case(
    "B7",
    injection=f"two operators for {TOGETHER:.0f} s and a whole rollout",
    expected="one acts, the other one writes nothing; every child is made once, every step taken once",
    where="control plane",
)
def test_b7_two_operators(fleet: Fleet, start: Start, tmp_path: Path, seen: Seen) -> None:
    with (
        ApiProxy(fleet.kubeconfig, tmp_path / "one") as one,
        ApiProxy(fleet.kubeconfig, tmp_path / "two") as two,
        fleet.stories() as stories,
    ):
        first = start("b7-first", one.kubeconfig())
        first.wait_leading()
        second = start("b7-second", two.kubeconfig())
        second.wait_ready()
        began = time.monotonic()
        serve(fleet, stories, "b7", (Step(25, 10), Step(50, 10)))
        fleet.upload(2, "b7")
        stories.wait("b7", is_stable(2), "promotion", PROMOTED)
        time.sleep(max(0.0, TOGETHER - (time.monotonic() - began)))
        steps = changes(stories.of("b7"), 2)
        assert first.leads()
        assert not second.leads()
        idle = [c for c in two.calls() if c.writes and c.resource != "leases"]
        made = [(c.resource, c.name) for c in one.calls() if is_made(c)]
    assert not idle
    assert steps == [25, 50]
    assert len(made) == len(set(made)), made
    seen.say(
        f"{time.monotonic() - began:.0f} s together: {len(made)} children made by one, 0 writes by "
        f"the other; weights {steps}"
    )


@case(
    "B8",
    injection="another operator release (other operator and router images) in the middle of a "
    "rollout: SIGTERM, then the new one",
    expected="no model pod is replaced and no step repeated; routers change after the rollout only",
    where="control plane",
)
def test_b8_the_operator_is_upgraded(fleet: Fleet, start: Start, seen: Seen) -> None:
    with fleet.stories() as stories:
        first = start("b8-first")
        first.wait_leading()
        serve(fleet, stories, "b8", (Step(25, 15), Step(50, 4)))
        fleet.upload(2, "b8")
        stories.wait("b8", has_weight(2, 25), "the first weight", PROMOTED)
        before = uids(children(fleet, "b8", pods=True))
        assert first.end() == 0
        images = {
            "OPERATOR_IMAGE": "localhost/nowhere/operator:next",
            "ROUTER_IMAGE": "localhost/nowhere/envoy:next",
        }
        second = start("b8-second", **images)
        second.wait_leading()
        stories.wait("b8", has_weight(2, 50), "the second weight", PROMOTED)
        during = uids(children(fleet, "b8", pods=True))
        gone = [key for key, value in before.items() if during.get(key) != value]
        assert not [key for key in gone if key[0] == "pods"], f"replaced in the rollout: {gone}"
        stories.wait("b8", is_stable(2), "promotion", PROMOTED)
        steps = changes(stories.of("b8"), 2)

        def has_new_router() -> bool:
            pod = child(fleet, "deployments", "b8-router")["spec"]["template"]["spec"]
            return any(c["image"] == images["ROUTER_IMAGE"] for c in pod["containers"])

        until(has_new_router, "the router's new image after the rollout")
    pods = [key for key in before if key[0] == "pods"]
    assert steps == [25, 50]
    seen.say(f"0 of {len(pods)} pods replaced in the rollout; weights {steps}; router after it")


@case(
    "B9",
    injection="SIGTERM while a write is unanswered, in the middle of making a new object's children",
    expected="that write ends, no other begins, the Lease is given back, exit code 0 within 30 s; the "
    "successor need not wait, and every child is made once",
    where="control plane",
)
def test_b9_sigterm_between_actions(fleet: Fleet, start: Start, tmp_path: Path, seen: Seen) -> None:
    with (
        ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy,
        fleet.stories() as stories,
        ThreadPoolExecutor(1) as pool,
    ):
        first = start("b9-first", proxy.kubeconfig())
        first.wait_leading()
        fleet.upload(1, "b9")
        began = time.time()
        with proxy.inject(Hold(), Match({"create"}, "deployments")) as hold:
            fleet.apply(fleet.manifest("b9", "b9"))
            hold.wait(1)
            ordered = time.time()
            ending = pool.submit(first.end)
            time.sleep(2)  # a replica that does not wait for its answer has ended by now
            assert not ending.done(), "it left its write alone"
        code, took = ending.result(), time.time() - ordered
        late = [
            c
            for c in proxy.calls(since=ordered + 0.5)
            if c.writes and c.resource not in ("leases", "events")
        ]
        second = start("b9-second")
        launched = time.monotonic()
        second.wait_leading()
        led = time.monotonic() - launched
        stories.wait("b9", is_stable(1), "serving", PROMOTED)
    creates = [
        (e.resource, e.name)
        for e in entries(fleet.plane.audit_log, began)
        if e.verb == "create" and e.code == 201 and e.name and e.resource != "events"
    ]
    assert code == 0
    assert took < GRACE
    assert not late, late
    assert len(creates) == len(set(creates)), creates
    seen.say(
        f"ended with 0 after {took:.1f} s, 2 s of them the answer's; {len(late)} writes after it; the "
        f"successor led {led:.1f} s after its start"
    )
