"""The operator's view of the cluster is silent, old, slow, forbidden or cut down by an old CRD.

As `test_a_api_server`: a real operator behind a proxy on a control plane of one's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign_case import Seen, case
from chart_gap import Rights
from fleet import MODELS, NAMESPACE, Fleet
from fleet_fixtures import Start
from many_requests import MERGE, Body
from plane_children import call, condition, model
from replica import Replica, until
from small_rollout import Behind, edit_service, wait_put_back
from write_counts import busiest

from api_server import ApiServer
from lab.injection import (
    ApiProxy,
    Delay,
    DropField,
    ExpireWatch,
    Match,
    MuteWatch,
    OldList,
)

MODEL = "savedmodeldeployments"
SILENCE = 75.0
SLACK = 30.0
"""Seconds that a busy machine may add to a time that is a promise."""

SLOW = 5.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def behind(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """One operator for the cases that leave it as it is."""
    folder = tmp_path_factory.mktemp("views")
    with ApiProxy(fleet.kubeconfig, folder / "proxy") as proxy, fleet.stories() as stories:
        replica = Replica(proxy.kubeconfig(), NAMESPACE, folder, "views")
        try:
            replica.wait_leading()
            yield Behind(fleet, proxy, replica, stories)
        finally:
            replica.kill()
            fleet.clear()


@case(
    "A7",
    injection="every watch stays open and says nothing any more, in the hold of a step; then a Service "
    "is changed by hand",
    expected="timers go on: the rollout is finished meanwhile; the change is noticed and put back "
    "within 75 s of the silence",
    where="control plane",
)
def test_a7_silent_watches(behind: Behind, seen: Seen) -> None:
    behind.serve("silent")
    behind.fleet.upload(2, "silent")
    behind.stories.wait("silent", lambda m: m.weight == 50, "the first step")
    watched = {c.resource for c in behind.proxy.calls(Match(("watch",)))}
    with behind.proxy.inject(MuteWatch(), Match(("watch",)), times=len(watched)) as mute:
        mute.wait(len(watched))
        began = time.monotonic()
    behind.stories.wait("silent", lambda m: m.stable == 2, "promotion by the timers alone")
    promoted = time.monotonic() - began
    edit_service(behind.fleet, "silent")
    wait_put_back(behind.fleet, "silent", SILENCE + SLACK)
    noticed = time.monotonic() - began
    assert noticed < SILENCE + SLACK
    behind.settle("silent")
    seen.say(
        f"{len(watched)} watches silent; promoted {promoted:.1f} s later by timers; the change was "
        f"put back {noticed:.1f} s after the silence began"
    )


@case(
    "A8",
    injection="a watch ends with 410, and the list that follows is older than the operator's own last "
    "writes (a Service put back, a rollout finished)",
    expected="what was written is known to be newer: nothing is made or changed again; a DELETE of "
    "what is gone names its uid and does nothing",
    where="control plane",
)
def test_a8_old_lists(behind: Behind, seen: Seen) -> None:
    behind.serve("old")
    kinds = ("services", "configmaps", "deployments", "controllerrevisions")
    with behind.proxy.inject(OldList()) as old:
        behind.roll("old")
        edit_service(behind.fleet, "old")
        wait_put_back(behind.fleet, "old")
        _until_quiet(behind, "old")
        began = time.time()
        for kind in kinds:
            with behind.proxy.inject(ExpireWatch(), Match(("watch",), kind), times=1) as expired:
                expired.wait(1)
            lists = Match(("list",), kind)
            until(lambda wanted=lists: behind.proxy.calls(wanted, began), f"the list of {kind}")
        assert old.hits >= len(kinds)
        # A second look, asked for by a change that is none of the operator's business.
        notes = {"metadata": {"annotations": {"others/look": "x"}}}
        call(behind.fleet, "PATCH", f"{MODELS}/old", notes, MERGE)
        _until_quiet(behind, "old")
    written = [c for c in behind.calls("old", began) if c.writes]
    again = [c for c in written if c.verb == "delete" and c.code == 404]
    assert [(c.verb, c.resource, c.name, c.code) for c in written if c not in again] == []
    seen.say(
        f"{old.hits} lists from before the rollout; no write followed but {len(again)} DELETEs, by "
        "uid, of what the lists showed again (404)"
    )


@case(
    "A9",
    injection="every call about 6 of 7 objects takes 5 s longer (the operator has 4 workers)",
    expected="the seventh is not starved: a Service changed by hand is put back soon; the slow ones "
    "finish, too",
    where="control plane",
)
def test_a9_slow_calls(behind: Behind, seen: Seen) -> None:
    behind.serve("quickly")
    slow = [f"slow{index}" for index in range(6)]
    with behind.proxy.inject(Delay(SLOW), Match(name="slow*")) as delay:
        for name in slow:
            behind.begin(name)
        delay.wait(6)
        took = []
        for _ in range(3):
            edit_service(behind.fleet, "quickly")
            took.append(wait_put_back(behind.fleet, "quickly"))
        hits = delay.hits
    for name in slow:
        behind.stories.wait(name, lambda m: m.phase == "Serving", "serving", 240.0)
    assert max(took) < 60
    words = ", ".join(f"{t:.1f}" for t in took)
    seen.say(
        f"put back after {words} s beside {hits} calls of {SLOW:.0f} s; the slow ones serve, too"
    )


@case(
    "A11",
    injection="the chart's Role without create on horizontalpodautoscalers.autoscaling; one of two "
    "objects needs that",
    expected="Stalled/ApiForbidden names verb, resource and remedy; the other object is served; heals "
    "by itself when the right is given",
    where="control plane",
)
def test_a11_a_verb_is_forbidden(fleet: Fleet, start: Start, tmp_path: Path, seen: Seen) -> None:
    admin = ApiServer(fleet.kubeconfig)
    rights = Rights(admin, tmp_path, NAMESPACE)
    rights.apply(without=("create", "horizontalpodautoscalers"))
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        lease = {"LEASE_NAME": rights.lease}
        replica = start("a11", proxy.kubeconfig(rights.token()), **lease)
        replica.wait_leading()
        behind = Behind(fleet, proxy, replica, stories)
        behind.begin("forbidden", _autoscaled)
        behind.serve("allowed")
        until(lambda: _stalled(fleet, "forbidden"), "the condition")
        found = condition(model(fleet, "forbidden"), "Stalled")
        assert found["reason"] == "ApiForbidden"
        assert "may not create horizontalpodautoscalers.autoscaling" in found["message"]
        assert "rbac.create" in found["message"]
        rate = busiest(behind.calls("forbidden"))
        rights.apply()
        given = time.monotonic()
        until(lambda: not _stalled(fleet, "forbidden"), "healing", 180.0)
        healed = time.monotonic() - given
    rights.remove()
    admin.close()
    seen.say(
        f"“{found['message'][:90]}…”; at most {rate:.1f} requests/s; healed after {healed:.0f} s"
    )


def _autoscaled(body: Body) -> None:
    serving = body["spec"]["serving"]
    serving.pop("replicas", None)
    serving["autoscaling"] = {
        "minReplicas": 1,
        "maxReplicas": 2,
        "targetCPUUtilizationPercentage": 70,
    }


def _stalled(fleet: Fleet, name: str) -> bool:
    return condition(model(fleet, name), "Stalled").get("status") == "True"


@case(
    "A12",
    injection="the CRD loses status.message while the operator runs",
    expected="the error is logged and counted once; no endless writes",
    where="control plane",
)
def test_a12_a_crd_is_downgraded(behind: Behind, seen: Seen) -> None:
    status = Match(("update",), MODEL, subresource="status", name="pruned")
    with behind.proxy.inject(DropField("status.message"), status) as dropped:
        behind.serve("pruned")
        _until_quiet(behind, "pruned")
        hits = dropped.hits
    assert "did not keep status.message" in behind.replica.log.read_text()
    counted = behind.replica.metrics()["savedmodel_status_pruned_total"]
    assert 0 < counted <= hits
    assert hits < 40
    seen.say(f"{hits} status writes until it served, then quiet; {counted:.0f} counted as pruned")


def _until_quiet(behind: Behind, name: str, seconds: float = 3.0) -> None:
    """Until nothing was written about an object for some seconds."""

    def done() -> bool:
        return not [c for c in behind.calls(name, time.time() - seconds) if c.writes]

    until(done, f"{name} to come to rest")
