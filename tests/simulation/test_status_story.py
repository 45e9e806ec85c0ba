"""What a person and a GitOps tool read in status at the telling moments of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulation.sim_scenarios import make, version
from simulation.sim_world import World


def conditions(world: World) -> Mapping[str, tuple[str, str]]:
    """Type → (status, reason)."""
    return {c["type"]: (c["status"], c["reason"]) for c in world.status["conditions"]}


def served() -> World:
    """Version 1 serves."""
    world = make(11)
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.settle(30)
    return world


def test_before_anything_is_there() -> None:
    world = make(11)
    world.settle(5)
    assert world.status["phase"] == "Pending"
    assert world.status["lastHandledAction"] == ""
    assert conditions(world)["Ready"] == ("False", "SourceEmpty")
    assert conditions(world)["Reconciling"][0] == "True"
    assert conditions(world)["Stalled"][0] == "False"


def test_serving() -> None:
    world = served()
    status, found = world.status, conditions(world)
    assert status["phase"] == "Serving"
    assert status["message"] == "version 1 serves on 2 of 2 pods"
    assert status["next"] == "a version above 1 in s3://models/flowers starts a rollout"
    assert (status["stable"]["number"], status["stable"]["weight"], status["replicas"]) == (
        1,
        100,
        2,
    )
    assert "candidate" not in status
    assert status["url"] == "http://flowers.shop.svc:8501/v1/models/flowers"
    assert found == {
        "Ready": ("True", "Serving"),
        "Reconciling": ("False", "UpToDate"),
        "Restorable": ("True", "Restorable"),
        "RollingOut": ("False", "UpToDate"),
        "SourceReady": ("True", "SourceReady"),
        "Stalled": ("False", "UpToDate"),
        "TrafficSynced": ("True", "RouterVerified"),
        "UpToDate": ("True", "UpToDate"),
    }


def test_a_bucket_rollout_is_no_git_progress() -> None:
    world = served()
    world.publish(version(2), version(1))
    world.run(
        lambda: world.status["phase"] == "Progressing" and world.status["candidate"]["weight"] == 10
    )
    found = conditions(world)
    assert (found["Ready"][0], found["Reconciling"][0], found["RollingOut"][0]) == (
        "True",
        "False",
        "True",
    )
    assert world.status["message"].endswith("holds at 10 % for 5s")
    assert world.status["next"].startswith("50 % at ")


def test_a_spec_change_is_git_progress_until_it_serves() -> None:
    world = served()
    before = world.status["stable"]["revision"]
    world.edit_spec(lambda s: s["serving"].update(args=["--rest_api_num_threads=8"]))
    world.run(lambda: "candidate" in world.status)
    assert conditions(world)["Reconciling"][0] == "True"
    world.run(lambda: world.status["stable"]["revision"] != before)
    world.settle(60)
    assert conditions(world)["Reconciling"][0] == "False"
    assert world.status["observedGeneration"] == 2


def test_an_explicit_pause_ends_git_progress() -> None:
    world = served()

    def pause(spec: dict[str, Any]) -> None:
        spec["rollout"]["steps"] = [{"weight": 20, "pause": True}]
        spec["serving"]["args"] = ["--rest_api_num_threads=8"]

    world.edit_spec(pause)
    world.run(lambda: world.status["phase"] == "Paused")
    assert conditions(world)["Reconciling"] == ("False", "Paused")
    assert world.status["next"] == "100 % once the action promote is set; abort takes it back"


def test_a_refused_upload_leaves_the_object_ready() -> None:
    world = served()
    world.publish(version(2, "y"), version(1))
    world.run(lambda: bool(world.status["rejected"]))
    world.settle(30)
    found = conditions(world)
    assert (found["Ready"][0], found["Stalled"][0]) == ("True", "False")
    assert found["UpToDate"] == ("False", "Rejected")
    assert world.status["phase"] == "Serving"
    entry = world.status["versions"][0]
    assert (entry["number"], entry["verdict"], entry["reason"]) == (
        2,
        "Rejected",
        "IncompatibleSignature",
    )
    assert "serving_default.outputs.z" in entry["message"]
    assert world.status["next"].startswith("upload a version above 2, or set the action retry")


def test_a_first_version_that_fails_stalls() -> None:
    world = make(11)
    world.kubelet.behaviour[1] = "crash"
    world.publish(version(1))
    world.run(lambda: bool(world.status.get("rejected")))
    world.settle(60)
    found = conditions(world)
    assert world.status["phase"] == "Blocked"
    assert (found["Ready"][0], found["Stalled"][0], found["Reconciling"][0]) == (
        "False",
        "True",
        "False",
    )


def test_overwritten_bytes_are_told_and_not_taken() -> None:
    world = served()
    revision = world.status["stable"]["revision"]
    world.publish(version(1, content="b"))
    world.settle(60)
    assert world.status["stable"]["revision"] == revision
    assert world.status["versions"][0]["verdict"] == "Overwritten"


def test_gone_bytes_a_lost_pod_and_their_return_are_told_once_each() -> None:
    world = served()
    revision = world.status["stable"]["revision"]
    world.publish()
    world.settle(60)
    pods = [k for k in world.api.objects if k[0] == "Pod" and k[1].startswith(revision)]
    world.kubelet.leave(min(pods))
    world.settle(60)
    world.publish(version(1))
    world.settle(60)
    told = [(r, t.split(":")[0]) for r, t in world.events if r in ("LockedBytesGone", "Restorable")]
    assert told == [
        ("LockedBytesGone", f"pods of {revision} cannot be replaced any more"),
        ("LockedBytesGone", f"{revision} lost a pod that cannot be replaced"),
        ("Restorable", "its bytes are there"),
    ]


def test_an_overwrite_is_told_once_however_often_it_goes_on() -> None:
    world = served()
    for content in "bcd":
        world.publish(version(1, content=content))
        world.settle(30)
    assert [reason for reason, _ in world.events].count("VersionOverwritten") == 1


def test_an_empty_bucket_takes_nothing_away() -> None:
    world = served()
    world.publish()
    world.settle(120)
    assert world.status["phase"] == "Serving"
    assert conditions(world)["SourceReady"] == ("False", "SourceEmpty")
    assert conditions(world)["Ready"][0] == "True"


def test_abort_while_idle_changes_nothing_and_says_so() -> None:
    world = served()
    stable = world.status["stable"]
    world.act("abort")
    world.run(lambda: world.status["lastHandledAction"] == "abort")
    world.settle(30)
    assert world.status["stable"] == stable
    assert world.status["rejected"] == []
    text = "nothing to abort: no rollout is running; nothing was changed"
    assert ("ActionRefused", text) in world.events


def test_an_action_that_was_there_first_is_recorded_only() -> None:
    world = make(11)
    world.act("abort")
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    assert [reason for reason, _ in world.events].count("ActionRecorded") == 1
    assert world.status["lastHandledAction"] == "abort"


def test_a_lost_status_is_rebuilt_without_touching_traffic() -> None:
    world = served()
    revision = world.status["stable"]["revision"]
    writes = len(world.operator_writes)
    world.lose_status()
    world.run(lambda: "stable" in world.status)
    world.settle(60)
    assert world.status["stable"]["revision"] == revision
    assert set(world.operator_writes[writes:]) == {"status"}
