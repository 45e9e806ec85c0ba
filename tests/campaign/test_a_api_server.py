"""The API server conflicts, throttles, loses answers, drops and silences watches, answers old or slow.

A real operator behind a proxy on a control plane of one's own; pods answer by `pod_world`. Every case
lives the life of `small_rollout`, whose counts without fault are the oracle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from campaign_case import Seen, case
from fleet import MODELS, NAMESPACE, Fleet
from plane_children import call, child, children, model, path_of
from replica import Replica, until
from small_rollout import Behind, Counts
from write_counts import busiest

from lab.injection import (
    ApiProxy,
    Call,
    CutWatch,
    ExpireWatch,
    Hold,
    LoseAnswer,
    Match,
    MuteWatch,
    Refuse,
)

MODEL = "savedmodeldeployments"
WATCHES = Match(verbs=("watch",))
BUSY = 40.0
"""Requests per second in any five seconds: far above a rollout's (about 10), far below a hot loop's
(hundreds)."""

SILENCE = 75.0 + 15.0  # seconds; the rule and what a busy machine may add


@pytest.fixture(scope="module")
def behind(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """One operator for all cases of this file."""
    folder = tmp_path_factory.mktemp("behind")
    with ApiProxy(fleet.kubeconfig, folder / "proxy") as proxy, fleet.stories() as stories:
        replica = Replica(proxy.kubeconfig(), NAMESPACE, folder, "behind")
        try:
            replica.wait_leading()
            yield Behind(fleet, proxy, replica, stories)
        finally:
            replica.kill()
            fleet.clear()


@pytest.fixture(scope="module")
def clean(behind: Behind) -> Counts:
    """What a life without fault makes and deletes."""
    found = behind.live("clean")
    assert sum(found.values()) > 15, found
    return found


class FirstOfEach:
    """For Match.where: the first call about each thing."""

    def __init__(self) -> None:
        self._met: set[tuple[str, str, str, str]] = set()

    def __call__(self, made: Call) -> bool:
        key = (made.verb, made.resource, made.subresource, made.name)
        if not made.writes or made.resource in ("leases", "events") or key in self._met:
            return False
        self._met.add(key)
        return True


def _busy(behind: Behind, name: str, since: float) -> str:
    """How many requests there were, in words; it fails where they were too many."""
    found = behind.calls(name, since)
    rate = busiest(found)
    assert rate < BUSY, f"{rate} requests per second"
    return f"{len(found)} requests, at most {rate:.1f}/s"


@case(
    "A1",
    injection="409 from the API server itself: others change the object between look and status "
    "write, each of the first 5 times",
    expected="looked at again and computed anew, nothing of the others overwritten, counts as "
    "without fault",
    where="control plane",
)
def test_a1_conflicts_on_status(behind: Behind, clean: Counts, seen: Seen) -> None:
    began = time.time()
    status = Match(("update",), MODEL, subresource="status", name="conflict")
    behind.begin("conflict")
    for number in range(5):
        with behind.proxy.inject(Hold(), status, times=1) as hold:
            hold.wait(1)
            _annotate(behind.fleet, "conflict", number)
    behind.stories.wait("conflict", lambda m: m.phase == "Serving", "serving")
    behind.roll("conflict")
    refused = [c for c in behind.calls("conflict", began) if status.fits(c) and c.code == 409]
    notes = model(behind.fleet, "conflict")["metadata"]["annotations"]
    assert [notes[f"others/{number}"] for number in range(5)] == ["x"] * 5
    assert len(refused) >= 5
    assert behind.counts("conflict") == clean
    seen.say(f"{len(refused)} conflicts; {_busy(behind, 'conflict', began)}; counts equal")


def _annotate(fleet: Fleet, name: str, number: int) -> None:
    notes = {"metadata": {"annotations": {f"others/{number}": "x"}}}
    code, body = call(fleet, "PATCH", f"{MODELS}/{name}", notes)
    assert code == 200, body


@case(
    "A2",
    injection="429 with Retry-After: 4 s, twice, on the POST of the router's Deployment and on the "
    "first status write",
    expected="each is asked again not before 4 s, no hot loop, counts as without fault",
    where="control plane",
)
def test_a2_throttled(behind: Behind, clean: Counts, seen: Seen) -> None:
    began = time.time()
    busy = Refuse(429, "TooManyRequests", retry_after=4)
    post = Match(("create",), "deployments", name="throttled-router")
    status = Match(("update",), MODEL, subresource="status", name="throttled")
    with (
        behind.proxy.inject(busy, post, 2) as first,
        behind.proxy.inject(busy, status, 2) as second,
    ):
        counts = behind.live("throttled")
    assert (first.hits, second.hits) == (2, 2)
    pauses = [
        *_pauses(behind.proxy.calls(post, began)),
        *_pauses(behind.proxy.calls(status, began)),
    ]
    assert min(pauses) >= 4.0, pauses
    assert counts == clean
    words = ", ".join(f"{p:.1f}" for p in pauses)
    seen.say(f"asked again after {words} s; {_busy(behind, 'throttled', began)}; counts equal")


def _pauses(calls: list[Call]) -> list[float]:
    """Seconds between a throttled call and the next one about the same."""
    return [later.at - earlier.at for earlier, later in pairwise(calls) if earlier.code == 429]


@case(
    "A4",
    injection="the answer to the first write of each kind and name is lost: POST, apply, DELETE, status",
    expected="the repetition is a no-op: one child each, counts as without fault",
    where="control plane",
)
def test_a4_lost_answers(behind: Behind, clean: Counts, seen: Seen) -> None:
    began = time.time()
    each = Match(name="lost*", where=FirstOfEach())
    with behind.proxy.inject(LoseAnswer(), each) as lost:
        counts = behind.live("lost")
    verbs = {c.verb for c in behind.calls("lost", began) if "LoseAnswer" in c.fault}
    assert verbs >= {"create", "patch", "update", "delete"}
    assert counts == clean
    seen.say(f"{lost.hits} answers lost; {_busy(behind, 'lost', began)}; counts equal")


@case(
    "A5",
    injection="every watch is reset after 5 s, during a whole rollout",
    expected="converges, no duplicate work: counts as without fault",
    where="control plane",
)
def test_a5_dropped_watches(behind: Behind, clean: Counts, seen: Seen) -> None:
    began = time.time()
    with behind.proxy.inject(CutWatch(5.0), WATCHES) as cut:
        counts = behind.live("dropped")
    assert counts == clean
    assert cut.hits > 9
    relists = len(behind.proxy.calls(Match(("list",)), began))
    seen.say(f"{cut.hits} watches cut, {relists} lists; {_busy(behind, 'dropped', began)}")


@case(
    "A6",
    injection="a Service is deleted while its watch is silent; then the watch ends with 410",
    expected="lists anew, notices the deletion, makes the Service again: once",
    where="control plane",
)
def test_a6_a_deletion_while_away(behind: Behind, seen: Seen) -> None:
    behind.serve("gone")
    services = Match(("watch",), "services")
    with behind.proxy.inject(MuteWatch(), services) as mute:
        mute.wait(1)
        began = time.time()
        assert call(behind.fleet, "DELETE", path_of("services", "gone"))[0] == 200
        with behind.proxy.inject(ExpireWatch(), services, times=1) as expired:
            expired.wait(1)
            mute.remove()
        until(lambda: child(behind.fleet, "services", "gone"), "the Service to be made again")
    took = time.time() - began
    made = [c for c in behind.calls("gone", began) if c.verb == "create" and c.code == 201]
    assert [c.resource for c in made if c.resource != "events"] == ["services"]
    seen.say(f"made again {took:.1f} s after the deletion, once")


@case(
    "A6",
    injection="the SavedModelDeployment is deleted while its own watch is silent, and its children "
    "are collected; then the watch ends with 410",
    expected="not one child is made for what is gone",
    where="control plane",
)
def test_a6_a_ghost_gets_no_children(behind: Behind, seen: Seen) -> None:
    behind.serve("ghost")
    objects = Match(("watch",), MODEL)
    with behind.proxy.inject(MuteWatch(), objects) as mute:
        mute.wait(1)
        began = time.time()
        assert call(behind.fleet, "DELETE", f"{MODELS}/ghost")[0] == 200
        until(lambda: not children(behind.fleet, "ghost"), "the children to be collected")
        asked = Match(("get",), MODEL, name="ghost")
        until(lambda: behind.proxy.calls(asked, began), "the operator to ask whether it exists")
        with behind.proxy.inject(ExpireWatch(), objects, times=1) as expired:
            expired.wait(1)
            mute.remove()
        behind.live("witness")
    made = [c for c in behind.calls("ghost", began) if c.verb == "create" and c.code == 201]
    assert [c.resource for c in made if c.resource != "events"] == []
    seen.say("the children were collected; it asked once more for the object and made nothing")
