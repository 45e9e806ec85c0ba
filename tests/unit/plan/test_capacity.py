"""How many pods stable and candidate have next, and who gets requests, by what is there now."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.capacity import Capacity, Stage, share_of, traded_at
from savedmodel_operator.plan.children import PodView, RevisionView
from savedmodel_operator.plan.memory import Candidate, Memory, Stable
from savedmodel_operator.plan.snapshot import Observed

OLD, NEW, PAST = "m-v1-aaaaaaaa", "m-v2-aaaaaaaa", "m-v0-aaaaaaaa"


def view(name, scale, ready=None, leaving=0, ended=0):
    """`scale` pods, `ready` of them ready (all, if left out), and others that leave or ended."""
    ready = scale if ready is None else ready
    states = [(n < ready, False, "Running") for n in range(scale)]
    states += [(False, True, "Running")] * leaving + [(False, False, "Failed")] * ended
    pods = tuple(
        PodView(f"{name}-{n}", f"u{n}", f"10.0.0.{n}", ok, left, {"status": {"phase": phase}})
        for n, (ok, left, phase) in enumerate(states)
    )
    body = {"spec": {"replicas": scale}}
    return RevisionView(name, deployment=Observed("Deployment", name, "d", "1", body), pods=pods)


def capacity(
    mode,
    total,
    *views,
    weights=(0, 100),
    verified=True,
    seen=True,
    held=False,
    tried=True,
    here=True,
):
    """`weights`: candidate's and stable's as written; `seen`: routers see all ready pods; `here`:
    the bucket has stable's bytes."""
    found = {v.name: v for v in views}
    spec = SimpleNamespace(
        replicas=total,
        serving=SimpleNamespace(autoscaling=None),
        rollout=SimpleNamespace(capacity=mode),
        versions=SimpleNamespace(keep=0),
    )
    answer = SimpleNamespace(here=here, reason=Reason.SourceReady, message="as looked at")
    source = SimpleNamespace(reason=Reason.SourceReady, lock=lambda revision: answer)
    world = SimpleNamespace(
        revisions=found,
        revision=lambda name: found.get(name, RevisionView(name)),
        serving_hash="h",
        worked_out={},
        snapshot=SimpleNamespace(spec=spec, source=source),
    )
    members = {name: v.ready_ips if seen else frozenset() for name, v in found.items()}
    router = SimpleNamespace(
        weights={k: v for k, v in zip((NEW, OLD), weights, strict=True) if v is not None},
        verified=verified,
        running=(SimpleNamespace(members=members),),
        has_members=lambda v: seen and bool(v.ready_ips),
    )
    memory = Memory(
        stable=Stable(1, "sha256:1", OLD, 1.0),
        candidate=Candidate(2, "sha256:2", NEW, 2.0) if tried else None,
    )
    return Capacity(world, router, memory, held)


def written(found, weight, *, last=False, granted=0):
    """(stage, stable's pods, candidate's pods, weights)."""
    stage = found.stage(weight, last=last)
    shares = found.shares(stage, granted)
    return stage, (shares.stable, shares.candidate), shares.weights


@pytest.mark.parametrize(
    ("weight", "replicas", "pods"),
    [
        (1, 2, 1),
        (99, 2, 1),
        (24, 4, 1),
        (25, 4, 1),
        (50, 4, 2),
        (99, 4, 3),
        (100, 4, 3),
        (5, 99, 4),
    ],
)
def test_a_step_replaces_what_its_weight_covers_but_one_at_least(weight, replicas, pods):
    assert traded_at(weight, replicas) == pods


@pytest.mark.parametrize("replicas", range(2, 60))
def test_shares_never_ask_more_of_stable_than_its_pods_by_a_percent(replicas):
    for pods in range(1, replicas):
        left = 100 - share_of(pods, replicas)
        assert (left - 1) * replicas < 100 * (replicas - pods) <= left * replicas


REPLACE = {
    "stable gives its first pod": (
        (view(OLD, 4),),
        {},
        (Stage(1, 25, False, 1), (3, 0)),
    ),
    "which has not left": (
        (view(OLD, 3, leaving=1),),
        {},
        (Stage(1, 25, False, 1), (3, 0)),
    ),
    "one that ended holds no place": (
        (view(OLD, 3, ended=1),),
        {},
        (Stage(1, 25, False, 1), (3, 1)),
    ),
    "it has left": ((view(OLD, 3),), {}, (Stage(1, 25, False, 1), (3, 1))),
    "the candidate's pod starts": (
        (view(OLD, 3), view(NEW, 1, 0)),
        {},
        (Stage(1, 25, False, 1), (3, 1)),
    ),
    "it carries its share": (
        (view(OLD, 3), view(NEW, 1)),
        {"weights": (25, 75)},
        (Stage(2, 50, True, 2), (2, 1)),
    ),
    "not on every router yet": (
        (view(OLD, 3), view(NEW, 1)),
        {"weights": (25, 75), "verified": False},
        (Stage(1, 25, False, 1), (3, 1)),
    ),
    "a pod of stable is missing": (
        (view(OLD, 3, 2), view(NEW, 1)),
        {"weights": (25, 75)},
        (Stage(1, 25, False, 1, waits=True), (3, 1)),
    ),
    "none of it could come back": (
        (view(OLD, 3), view(NEW, 1)),
        {"weights": (25, 75), "here": False},
        (Stage(1, 25, False, 1, waits=True), (3, 1)),
    ),
    "a person holds it": (
        (view(OLD, 3), view(NEW, 1)),
        {"weights": (25, 75), "held": True},
        (Stage(1, 25, False, 1, waits=True), (3, 1)),
    ),
    "held with a pod on its way": (
        (view(OLD, 2), view(NEW, 1)),
        {"weights": (25, 75), "held": True},
        (Stage(2, 50, True, 2), (2, 2)),
    ),
    "the step is reached": (
        (view(OLD, 2), view(NEW, 2)),
        {"weights": (50, 50)},
        (Stage(2, 50, True, 2), (2, 2)),
    ),
    "more than the step asks for": (
        (view(OLD, 1), view(NEW, 3)),
        {"weights": (75, 25)},
        (Stage(3, 50, False, 3), (1, 3)),
    ),
    "its weight is lowered": (
        (view(OLD, 1), view(NEW, 3)),
        {"weights": (50, 50)},
        (Stage(2, 50, False, 2), (1, 2)),
    ),
    "but not while stable starts": (
        (view(OLD, 1, 0), view(NEW, 3)),
        {"weights": (75, 25)},
        (Stage(3, 75, False, 3, waits=True), (1, 3)),
    ),
    "a third revision's pods are still there": (
        (view(OLD, 3), view(PAST, 1)),
        {},
        (Stage(1, 25, False, 1), (3, 0)),
    ),
}


@pytest.mark.parametrize("name", REPLACE)
def test_replace_at_half_of_four(name):
    views, how, (stage, pods) = REPLACE[name]
    assert written(capacity("Replace", 4, *views, **how), 50)[:2] == (stage, pods)


def test_the_last_share_is_everything_and_leaves_stable_a_pod():
    found = capacity("Replace", 4, view(OLD, 1), view(NEW, 3), weights=(50, 50))
    assert written(found, 100, last=True)[:2] == (Stage(3, 100, True, 3), (1, 3))


@pytest.mark.parametrize(
    ("stable", "leaving", "pods"),
    [
        (view(OLD, 1), 3, 1),
        (view(OLD, 1), 1, 3),
        (view(OLD, 1, leaving=1), 1, 2),
        (view(OLD, 4), 3, 4),
        (view(OLD, 6), 0, 4),
    ],
)
def test_what_leaves_makes_room_for_stable(stable, leaving, pods):
    gone = view(NEW, 0, leaving=leaving)
    found = capacity("Replace", 4, stable, gone, tried=False)
    assert found.shares(None, 0).stable == pods


RECREATE = {
    "stable is taken out of the route": (
        (view(OLD, 2),),
        {},
        ((2, 0), (0, 0)),
    ),
    "and stays until every router knows": (
        (view(OLD, 2),),
        {"weights": (0, 0), "verified": False},
        ((2, 0), (0, 0)),
    ),
    "it stops": ((view(OLD, 2),), {"weights": (0, 0)}, ((0, 0), (0, 0))),
    "its last pod leaves": (
        (view(OLD, 0, leaving=1),),
        {"weights": (0, 0)},
        ((0, 0), (0, 0)),
    ),
    "the candidate starts": ((view(OLD, 0),), {"weights": (0, 0)}, ((0, 2), (0, 0))),
    "nothing stops while a person holds it": (
        (view(OLD, 2),),
        {"held": True},
        ((2, 0), (0, 100)),
    ),
    "nor where it could not come back": (
        (view(OLD, 2),),
        {"here": False},
        ((2, 0), (0, 100)),
    ),
    "nor once it is out of the route": (
        (view(OLD, 2),),
        {"weights": (0, 0), "here": False},
        ((2, 0), (0, 100)),
    ),
    "nor for one that was promoted before a crash": (
        (view(OLD, 0), view(NEW, 2)),
        {"weights": (100, None)},
        ((0, 2), (0, 0)),
    ),
    "what is stopped is not held": (
        (view(OLD, 0),),
        {"weights": (0, 0), "held": True},
        ((0, 2), (0, 0)),
    ),
    "nothing stops for a candidate that has its pods": (
        (view(OLD, 2), view(NEW, 2)),
        {},
        ((2, 2), (0, 100)),
    ),
}


@pytest.mark.parametrize("name", RECREATE)
def test_recreate_with_two(name):
    views, how, wanted = RECREATE[name]
    assert written(capacity("Recreate", 2, *views, **how), 100, last=True)[1:] == wanted


def test_the_candidate_gets_all_requests_at_once():
    found = capacity("Recreate", 2, view(OLD, 0), view(NEW, 2), weights=(0, 0))
    assert written(found, 100, last=True, granted=100)[2] == (100, 0)


@pytest.mark.parametrize(
    ("views", "seen", "wanted"),
    [
        ((view(OLD, 0), view(NEW, 0, leaving=1)), False, (0, (0, 0))),
        ((view(OLD, 0, leaving=1),), False, (0, (0, 0))),
        ((view(OLD, 0),), False, (2, (0, 0))),
        ((view(OLD, 2, 1),), False, (2, (0, 0))),
        ((view(OLD, 2, 1),), True, (2, (0, 100))),
    ],
    ids=[
        "the candidate leaves",
        "its own pod leaves",
        "starts again",
        "ready",
        "seen by the routers",
    ],
)
def test_stable_comes_back_after_a_candidate_that_failed(views, seen, wanted):
    found = capacity("Recreate", 2, *views, weights=(0, 0), seen=seen, tried=False)
    shares = found.shares(None, 0)
    assert (shares.stable, shares.weights) == wanted


def test_surge_keeps_stable_as_it_is():
    found = capacity("Surge", 4, view(OLD, 4), view(NEW, 1))
    assert written(found, 30, granted=30) == (Stage(2, 30), (4, 2), (30, 70))
