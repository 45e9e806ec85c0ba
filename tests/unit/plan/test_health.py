"""Which complaint a pod's status amounts to, and whether it ends the candidate at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import PodView, RevisionView
from savedmodel_operator.plan.health import find_complaint, say_idle_autoscaler, tell_loss
from savedmodel_operator.plan.snapshot import Observed


def pod(**status: Any) -> PodView:
    return PodView("p", "u", "10.0.0.1", False, False, {"status": status})


def crashed(restarts: int, reason: str = "Error") -> dict[str, Any]:
    ended = {"exitCode": 255, "reason": reason, "message": "Failed to start\nserver"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {"restartCount": restarts, "state": waiting, "lastState": {"terminated": ended}}


def fetched(reason: str, restarts: int) -> dict[str, Any]:
    text = json.dumps({"reason": reason, "message": "because"})
    ended = {"exitCode": 1, "message": text}
    return {"restartCount": restarts, "state": {"terminated": ended}}


CASES: dict[str, tuple[PodView, Reason | None, bool]] = {
    "young": (pod(), None, False),
    "one crash": (pod(containerStatuses=[crashed(1)]), None, False),
    "crash loop": (pod(containerStatuses=[crashed(3)]), Reason.CrashLoop, True),
    "first exit": (pod(containerStatuses=[crashed(0)]), Reason.CrashLoop, False),
    "out of memory once": (
        pod(containerStatuses=[crashed(0, "OOMKilled")]),
        Reason.OutOfMemory,
        False,
    ),
    "out of memory again": (
        pod(containerStatuses=[crashed(1, "OOMKilled")]),
        Reason.OutOfMemory,
        True,
    ),
    "object changed": (
        pod(initContainerStatuses=[fetched("ObjectChanged", 1)]),
        Reason.ObjectChanged,
        True,
    ),
    "object changed once": (
        pod(initContainerStatuses=[fetched("ObjectChanged", 0)]),
        Reason.ObjectChanged,
        False,
    ),
    "damaged tensors": (
        pod(initContainerStatuses=[fetched("TensorDamaged", 1)]),
        Reason.TensorDamaged,
        True,
    ),
    "damaged tensors once": (
        pod(initContainerStatuses=[fetched("TensorDamaged", 0)]),
        Reason.TensorDamaged,
        False,
    ),
    "store away": (
        pod(initContainerStatuses=[fetched("StorageUnavailable", 9)]),
        Reason.StorageUnavailable,
        False,
    ),
    "fetch without words": (
        pod(
            initContainerStatuses=[{"restartCount": 2, "state": {"terminated": {"exitCode": 137}}}]
        ),
        Reason.FetchFailed,
        False,
    ),
    "image": (
        pod(
            containerStatuses=[{"image": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
        ),
        Reason.ImagePullFailed,
        False,
    ),
    "unschedulable": (
        pod(
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "message": "0/1 nodes: Insufficient gpu",
                }
            ]
        ),
        Reason.CandidateUnschedulable,
        False,
    ),
}


def test_a_report_that_is_nested_without_end_is_no_report() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "[" * 4096}}
    view = pod(initContainerStatuses=[{"restartCount": 1, "state": ended}])
    found = find_complaint(RevisionView("r", pods=(view,)))
    assert found is not None
    assert found.reason is Reason.FetchFailed


@pytest.mark.parametrize("name", CASES)
def test_complaint(name: str) -> None:
    view, reason, fatal = CASES[name]
    found = find_complaint(RevisionView("r", pods=(view,)))
    assert (found.reason if found else None, found.fatal if found else False) == (reason, fatal)


def test_the_scheduler_is_quoted() -> None:
    found = find_complaint(RevisionView("r", pods=(CASES["unschedulable"][0],)))
    assert found is not None
    assert found.message == "pod p: 0/1 nodes: Insufficient gpu"


def test_a_fatal_complaint_goes_before_others() -> None:
    pods = (CASES["unschedulable"][0], CASES["crash loop"][0])
    found = find_complaint(RevisionView("r", pods=pods))
    assert found is not None
    assert found.reason is Reason.CrashLoop
    assert "exit code 255: Failed to start server" in found.message


def test_a_leaving_pod_is_not_heard() -> None:
    leaving = PodView("p", "u", None, False, True, {"status": {"containerStatuses": [crashed(9)]}})
    assert find_complaint(RevisionView("r", pods=(leaving,))) is None


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (None, ""),
        ([], ""),
        ([{"type": "ScalingActive", "status": "True"}], ""),
        ([{"type": "AbleToScale", "status": "False", "message": "backing off"}], ""),
        (
            [{"type": "ScalingActive", "status": "False", "message": "missing request for cpu"}],
            "; its autoscaler does nothing: missing request for cpu",
        ),
        (
            [{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}],
            "; its autoscaler does nothing: ScalingDisabled",
        ),
    ],
)
def test_an_autoscaler_that_cannot_tell_the_load_is_quoted(conditions, said):
    body = {"status": {"conditions": conditions}}
    autoscaler = Observed("HorizontalPodAutoscaler", "v1", "u", "1", body)
    assert say_idle_autoscaler(RevisionView("v1", autoscaler=autoscaler)) == said
    assert say_idle_autoscaler(RevisionView("v1")) == ""


def test_a_loss_is_told_by_how_the_server_ended() -> None:
    restarted = {**crashed(1), "state": {"running": {}}}
    pods = (pod(containerStatuses=[{"state": {"running": {}}}]), pod(containerStatuses=[restarted]))
    words = "the server of pod p ended, exit code 255: Failed to start server"
    assert tell_loss(RevisionView("r", pods=pods)) == words
    assert tell_loss(RevisionView("r", pods=pods[:1])) == "none of its pods is ready any more"
    assert tell_loss(RevisionView("r")) == "none of its pods is ready any more"
