"""What users and their GitOps tools write into the spec: wrong, twice, at once, too late.

On a control plane of one's own whose pods `pod_world` answers for. `test_f_children` is about what
they do to the children, `test_f_schema` about the API itself.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from audit_log import READS, entries
from campaign_case import Seen, case
from fleet import MODELS, Fleet, address_of
from fleet_fixtures import Start
from plane_children import (
    SLOW,
    act,
    call,
    children,
    has_weight,
    is_stable,
    model,
    patch,
    reason,
    serve,
    uid,
    uids,
    weight_of,
)
from replica import Replica, until
from story_of_objects import Stories

from lab.injection import ApiProxy, Match
from lab.kube import Object
from lab.objects import BUCKET, Step

QUIET = 10.0  # seconds without a write: several polls of the bucket


def quiet_writes(fleet: Fleet, seconds: float = QUIET) -> list[Any]:
    """What the operator writes from now on for some seconds."""
    began = time.time()
    time.sleep(seconds)  # an absence can only be watched
    return [e for e in entries(fleet.plane.audit_log, began) if e.verb not in READS]


BAD_SPECS: tuple[tuple[str, Object, str], ...] = (
    ("a bucket that is not there", {"source": {"uri": "s3://nowhere/f2"}}, "NoSuchBucket"),
    ("tags that no version has", {"serving": {"options": {"tags": ["x"]}}}, "TagsMissing"),
    (
        "a pinned version that is not there",
        {"versions": {"policy": "Pinned", "pinned": {"number": 99}}},
        "PinnedMissing",
    ),
)
GOOD: Object = {
    "source": {"uri": f"s3://{BUCKET}/f2"},
    "serving": {"options": None},
    "versions": None,
}


@case(
    "F2",
    injection="good → bad → good: " + ", ".join(what for what, _, _ in BAD_SPECS),
    expected="told with NoSuchBucket, TagsMissing, PinnedMissing; Ready stays True and what "
    "serves is untouched; put right, it heals unaided and takes up the next version",
    where="control plane",
)
def test_f2_good_bad_good(fleet: Fleet, leader: Replica, stories: Stories, seen: Seen) -> None:
    serve(fleet, stories, "f2")
    before = uids(children(fleet, "f2", pods=True))
    told = []
    for what, bad, wanted in BAD_SPECS:
        code, body = patch(fleet, "f2", bad)
        assert code == 200, body
        until(lambda w=wanted: w in reasons(model(fleet, "f2")), what, SLOW)
        assert reason(model(fleet, "f2"), "Ready")[0] == "True"
        patch(fleet, "f2", GOOD)
        took = until(lambda: is_well(model(fleet, "f2")), f"healing of {what}", SLOW)
        told.append(f"{wanted} healed in {took:.1f} s")
    assert before.items() <= uids(children(fleet, "f2", pods=True)).items()
    fleet.upload(2, "f2")
    stories.wait("f2", is_stable(2), "version 2", SLOW)
    seen.say(f"{', '.join(told)}; no child replaced; version 2 promoted afterwards")


def reasons(body: Object) -> set[str]:
    """Of all conditions and refusals."""
    status = body.get("status") or {}
    return {c["reason"] for part in ("conditions", "rejected") for c in status.get(part) or ()}


def is_well(body: Object) -> bool:
    """All that a spec can spoil is as it should be, and told of this generation."""
    wanted = {"Ready": "True", "SourceReady": "True", "UpToDate": "True", "Stalled": "False"}
    return body["status"]["observedGeneration"] == body["metadata"]["generation"] and all(
        reason(body, kind)[0] == value for kind, value in wanted.items()
    )


@case(
    "F3",
    injection="version 3 arrives while version 2 holds at 25 %",
    expected="version 2 to weight 0 before anything of it is deleted; version 3 begins at the first "
    "step against the same stable; version 1 keeps its pods until 3 serves",
    where="control plane",
)
def test_f3_a_newer_version_mid_rollout(
    fleet: Fleet, start: Start, stories: Stories, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy:
        start("f3", proxy.kubeconfig()).wait_leading()
        serve(fleet, stories, "f3", (Step(25, 20), Step(50, 2)))
        fleet.upload(2, "f3")
        stories.wait("f3", has_weight(2, 25), "version 2 at 25 %", SLOW)
        stable = uids(children(fleet, "f3", pods=True))
        began = time.time()
        fleet.upload(3, "f3")
        stories.wait("f3", has_weight(3, 25), "version 3 at 25 %", SLOW)
        kept = children(fleet, "f3", pods=True)
        stories.wait("f3", is_stable(3), "version 3", SLOW)
        routes = proxy.calls(Match({"patch"}, "configmaps", name="f3-router"), since=began)
        deletes = proxy.calls(Match({"delete"}, name="*-v2-*"), since=began)
    zero = next(c.at for c in routes if weight_of(c.body, 2) == 0)
    assert deletes
    assert all(zero < c.at for c in deletes), "something of version 2 went before its weight"
    for key, value in stable.items():
        if "-v1-" in key[1]:
            assert key in kept, f"{key} went in the rollout"
            assert uid(kept[key]) == value, f"{key} was replaced in the rollout"
    weights = [weight_of(c.body, 3) for c in routes if weight_of(c.body, 3)]
    assert list(dict.fromkeys(weights)) == [25, 50, 100]
    assert not [c for c in routes if c.at > zero and weight_of(c.body, 2)]
    seen.say(
        f"weight 0 {min(c.at for c in deletes) - zero:.1f} s before the first deletion of version 2; "
        f"version 3 went {list(dict.fromkeys(weights))}; stable's pods untouched"
    )


@case(
    "F8",
    injection="two users change the spec from the same resourceVersion, in the middle of a rollout",
    expected="the later one gets 409; the operator wrote neither spec nor metadata: managedFields give "
    "it status alone and the generation counts the users' changes",
    where="control plane",
)
def test_f8_concurrent_edits(fleet: Fleet, leader: Replica, stories: Stories, seen: Seen) -> None:
    serve(fleet, stories, "f8", (Step(25, pause=True),))
    fleet.upload(2, "f8")
    stories.wait("f8", has_weight(2, 25), "version 2 at 25 %", SLOW)
    one, two = model(fleet, "f8"), model(fleet, "f8")
    one["spec"]["rollout"]["deadline"], two["spec"]["rollout"]["deadline"] = "31m", "32m"
    codes = [call(fleet, "PUT", f"{MODELS}/f8", body)[0] for body in (one, two)]
    act(fleet, "f8", "promote v2")
    stories.wait("f8", is_stable(2), "version 2", SLOW)
    found = model(fleet, "f8")
    assert codes == [200, 409]
    assert found["spec"]["rollout"]["deadline"] == "31m"
    assert found["metadata"]["generation"] == 2
    for entry in found["metadata"]["managedFields"]:
        if entry["manager"].startswith("savedmodel-operator"):
            assert entry.get("subresource") == "status", entry
            assert set(entry["fieldsV1"]) <= {"f:status"}, entry
    seen.say(
        "codes 200 and 409; generation 2 after a whole rollout; the operator owns f:status alone"
    )


@case(
    "F9",
    injection="GitOps applies the same manifest ten times after a rollback; then new bytes come under "
    "the same number",
    expected="the rolled-back version stays out and nothing is written; other bytes are another "
    "identity and are tried",
    where="control plane",
)
def test_f9_gitops_applies_a_rejected_version_again(
    fleet: Fleet, leader: Replica, stories: Stories, seen: Seen
) -> None:
    steps = (Step(25, pause=True),)
    serve(fleet, stories, "f9", steps)
    manifest = fleet.manifest("f9", "f9", steps=steps, deadline="30m")
    fleet.upload(2, "f9")
    stories.wait("f9", has_weight(2, 25), "version 2 at 25 %", SLOW)
    act(fleet, "f9", "abort")
    stories.wait("f9", is_stable(1), "the rollback", SLOW)
    until(lambda: not runs(fleet, "f9", 2), "version 2's pods to go", SLOW)
    apply = f"{MODELS}/f9?fieldManager=gitops&force=true"
    began = time.time()
    for _ in range(10):
        code, body = call(fleet, "PATCH", apply, manifest, "application/apply-patch+yaml")
        assert code == 200, body
    late = quiet_writes(fleet)
    status = model(fleet, "f9")["status"]
    assert [(r["number"], r["kind"]) for r in status["rejected"]] == [(2, "RolledBack")]
    assert status["stable"]["number"] == 1
    assert "candidate" not in status
    tried = [e for e in entries(fleet.plane.audit_log, began) if e.verb == "create"]
    assert not [e for e in tried if e.resource == "deployments"]
    client = address_of(fleet.store).client()
    client.put_object(Bucket=BUCKET, Key="f9/2/assets.extra/note", Body=b"other bytes")
    stories.wait("f9", has_weight(2, 25), "the other bytes", SLOW)
    seen.say(f"10 applies: {len(late)} writes in {QUIET:.0f} s, version 2 out; other bytes: tried")


def runs(fleet: Fleet, owner: str, number: int) -> bool:
    """Whether a version has a Deployment or pods; its lock and record stay as long as its refusal."""
    kinds = ("deployments", "pods")
    return any(k in kinds and f"-v{number}-" in n for k, n in children(fleet, owner, pods=True))
