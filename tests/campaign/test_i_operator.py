"""Two replicas and their Lease: the leader is killed, frozen between check and write, cut off.

On a control plane of one's own whose pods `pod_world` answers for, so that a leader dies in the middle
of a real rollout and all that it ever sent stands in the API server's audit log.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from audit_log import READS, Entry, entries
from campaign_case import Seen, case
from fleet import NAMESPACE, Fleet
from fleet_fixtures import Start
from many_requests import MERGE
from replica import until
from story_of_objects import Moment, Stories

from lab.injection import ApiProxy, Hold, Match, Partition
from lab.objects import Step

FROZEN = 60.0  # seconds
CUT = float(os.environ.get("CAMPAIGN_PARTITION", "60"))
"""Seconds that the leader is cut off; CAMPAIGN_PARTITION=600 for the ten minutes of the long run."""

HOLD = 8.0
STEPS = (Step(25, HOLD), Step(50, HOLD), Step(75, HOLD))
ELSEWHERE = {"spec": {"selector": {"savedmodel.dev/component": "elsewhere"}}}


def _service(fleet: Fleet, name: str, method: str = "GET", body: Any = None) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{name}"
    return fleet.run(lambda api: api.call(method, path, body, MERGE))[1]


def _is_put_back(fleet: Fleet, name: str) -> bool:
    selector = _service(fleet, name).get("spec", {}).get("selector") or {}
    return bool(selector.get("savedmodel.dev/component") == "router")


def _serve(fleet: Fleet, stories: Stories, name: str, steps: tuple[Step, ...] = ()) -> None:
    """Version 1 serves; later versions go through `steps`."""
    fleet.upload(1, name)
    fleet.apply(fleet.manifest(name, name, steps=steps, deadline="30m"))
    stories.wait(name, lambda m: m.phase == "Serving", "serving")


def _is_at(step: int) -> Any:
    return lambda m: m.step == step and m.weight == STEPS[step].weight


@case(
    "I1",
    injection="SIGKILL of the leader, with a standby",
    expected="the standby acts once the Lease has run out (15 s), and puts right what happened since",
    where="control plane",
)
def test_i1_the_leader_is_killed(fleet: Fleet, start: Start, seen: Seen) -> None:
    with fleet.stories() as stories:
        first = start("i1-first")
        first.wait_leading()
        second = start("i1-second")
        second.wait_ready()
        _serve(fleet, stories, "killed")
        first.kill()
        began = time.monotonic()
        _service(fleet, "killed", "PATCH", ELSEWHERE)
        second.wait_leading()
        led = time.monotonic() - began
        until(lambda: _is_put_back(fleet, "killed"), "the Service to be put back")
        acted = time.monotonic() - began
    assert led > 5, "it did not wait for the Lease of one that might be alive"
    seen.say(
        f"the standby led {led:.1f} s after the kill and had put the Service back at {acted:.1f} s"
    )


@case(
    "I2",
    injection="SIGSTOP of the leader for 60 s between its look at the Lease and the arrival of its "
    "write (held on the way); the standby takes over and writes that child first; then SIGCONT",
    expected="the late write is refused by its resourceVersion (409 in the audit log); the child stays "
    "as the successor wrote it; one leader",
    where="control plane",
)
def test_i2_a_frozen_leader_writes_late(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        old = start("i2-old", proxy.kubeconfig())
        old.wait_leading()
        new = start("i2-new")
        new.wait_ready()
        _serve(fleet, stories, "frozen")
        writes = Match(verbs={"patch"}, resource="services", name="frozen")
        began = time.time()
        with proxy.inject(Hold(), writes) as hold:
            _service(fleet, "frozen", "PATCH", ELSEWHERE)
            hold.wait(1)
            old.freeze()
            frozen = time.monotonic()
            new.wait_leading()
            led = time.monotonic() - frozen
            until(lambda: _is_put_back(fleet, "frozen"), "the successor's write")
            version = _service(fleet, "frozen")["metadata"]["resourceVersion"]
            time.sleep(max(0.0, FROZEN - (time.monotonic() - frozen)))
        old.thaw()
        until(lambda: len(_patches(fleet, "frozen", began)) > 1, "the late write in the audit log")
        until(lambda: not old.leads(), "the old leader to know it")
    codes = [entry.code for entry in _patches(fleet, "frozen", began)]
    assert codes == [200, 409]
    assert _service(fleet, "frozen")["metadata"]["resourceVersion"] == version
    assert new.leads()
    seen.say(
        f"successor led {led:.1f} s after SIGSTOP and wrote first (200); the write that was sent "
        "before SIGSTOP came after it: 409 in the audit log"
    )


def _patches(fleet: Fleet, name: str, since: float) -> list[Entry]:
    found = entries(fleet.plane.audit_log, since)
    return [e for e in found if (e.verb, e.resource, e.name) == ("patch", "services", name)]


@case(
    "I3",
    injection=f"the only replica cut off from the API server for {CUT:.0f} s in the hold of a step",
    expected="it stops leading, leads again by itself, and takes no step twice or not at all; each "
    "step is held in full",
    where="control plane",
)
def test_i3_the_only_replica_is_cut_off(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        only = start("i3-only", proxy.kubeconfig())
        only.wait_leading()
        _serve(fleet, stories, "alone", STEPS)
        fleet.upload(2, "alone")
        stories.wait("alone", _is_at(0), "first step")
        cut = proxy.inject(Partition())
        began, since = time.monotonic(), time.time()
        stopped = until(lambda: not only.leads(), "the replica to stop leading", 40.0)
        time.sleep(CUT - (time.monotonic() - began))
        assert not [e for e in entries(fleet.plane.audit_log, since + 1) if e.verb not in READS]
        cut.remove()
        healed = time.monotonic()
        only.wait_leading()
        led = time.monotonic() - healed
        stories.wait("alone", lambda m: m.stable == 2 and m.candidate is None, "promotion", 180.0)
        holds = _holds(stories.of("alone"))
    seen.say(
        f"cut off for {CUT:.0f} s: told {stopped:.1f} s later that it leads no more, led again "
        f"{led:.1f} s after the end; steps {holds}"
    )


@case(
    "I3",
    injection="the leader cut off in the hold of a step, with a standby; the cut ends later",
    expected="the standby goes on with the same step; the former leader stays quiet when it is back",
    where="control plane",
)
def test_i3_the_leader_is_cut_off_beside_a_standby(
    fleet: Fleet, start: Start, tmp_path: Path, seen: Seen
) -> None:
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        old = start("i3-old", proxy.kubeconfig())
        old.wait_leading()
        new = start("i3-new")
        new.wait_ready()
        _serve(fleet, stories, "both", STEPS)
        fleet.upload(2, "both")
        stories.wait("both", _is_at(0), "first step")
        with proxy.inject(Partition()):
            began = time.monotonic()
            new.wait_leading()
            led = time.monotonic() - began
            assert not old.leads()
            stories.wait("both", _is_at(1), "second step")
        since = time.time()
        until(lambda: _heard_again(proxy, since), "the former leader to be heard again")
        stories.wait("both", lambda m: m.stable == 2 and m.candidate is None, "promotion", 180.0)
        holds = _holds(stories.of("both"))
        assert not old.leads()
        late = [c for c in proxy.calls(since=since) if c.writes and c.resource != "leases"]
    assert not late
    seen.say(f"the standby led after {led:.1f} s; steps {holds}; no write of the former leader")


def _heard_again(proxy: ApiProxy, since: float) -> bool:
    return any(call.code == 200 for call in proxy.calls(since=since))


def _holds(moments: list[Moment]) -> str:
    """Every step once, in order, and held in full; in words."""
    rollout = [m for m in moments if m.candidate == 2]
    weights = [m.weight for m in rollout]
    changes = [w for i, w in enumerate(weights) if w and (i == 0 or weights[i - 1] != w)]
    assert changes == [step.weight for step in STEPS], changes
    first = {step.weight: _first(rollout, step.weight) for step in STEPS}
    ended = [first[50], first[75], next(m.at for m in moments if m.stable == 2)]
    held = [end - first[step.weight] for end, step in zip(ended, STEPS, strict=True)]
    assert all(seconds > HOLD * 0.95 for seconds in held), held
    return ", ".join(f"{s.weight} % for {h:.1f} s" for s, h in zip(STEPS, held, strict=True))


def _first(moments: list[Moment], weight: int) -> float:
    return next(m.at for m in moments if m.weight == weight)
