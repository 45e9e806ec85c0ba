"""The mirror step beside what the routers carry: where it begins, stays, starts over and ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.mirror import MIRROR_STEP, Mirror
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.api.types import LocalObjectReference, Rollout, Serving, Source, Spec, Step
from savedmodel_operator.plan import mirroring
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Candidate, Memory, Stable
from savedmodel_operator.plan.rollout import advance
from savedmodel_operator.plan.routing import RouterState, build_route
from savedmodel_operator.plan.snapshot import (
    Observed,
    RouterPodView,
    RouterView,
    Settings,
    Snapshot,
)
from savedmodel_operator.plan.trial import Trial

NOW = 1000.0
OLD, NEW = "m-v1-aaaaaaaa", "m-v2-bbbbbbbb"
STABLE = Stable(1, "sha256:1", OLD, 1.0)
MIRRORED = Candidate(
    2, "sha256:2", NEW, 900.0, progress_since=900.0, step=MIRROR_STEP, step_since=950.0
)
MIRROR = Mirror(percent=10, hold="60s")
SPEC = Spec(
    source=Source(uri="s3://models/m", secret_ref=LocalObjectReference(name="storage")),
    serving=Serving(image="tensorflow/serving:2.20.0"),
    rollout=Rollout(steps=(Step(weight=5, hold="60s"),), mirror=MIRROR),
)
SENT = {"weights": {OLD: 100, NEW: 0}, "mirror": {NEW: 10}}
"""The written route while requests are copied."""


def child(kind: str, name: str, **metadata: Any) -> Observed:
    return Observed(kind, name, f"uid-{name}", "1", {"metadata": metadata})


def world(route: Any = None, *children: Observed, spec: Spec = SPEC, **more: Any) -> World:
    found = {c.key: c for c in children}
    if route is not None:
        annotations = {names.ANNOTATION_ROUTE: json.dumps(route)}
        config = child("ConfigMap", names.router_name("m"), annotations=annotations)
        found[config.key] = config
    source = SourceView(Reason.SourceReady, "2 versions", ())
    settings = Settings("operator:1", "envoy:1")
    fixed = {"annotations": {}, "status": {}, "source": source, "settings": settings}
    return World(Snapshot(NOW, "m", "shop", "u", 1, spec=spec, objects=found, **fixed, **more))


def without_mirror() -> Spec:
    return msgspec.structs.replace(SPEC, rollout=Rollout(steps=SPEC.rollout.steps))


def still(seen: World, candidate: Candidate, *, by_hand: bool = False) -> Candidate:
    memory = Memory(stable=STABLE, candidate=candidate)
    return mirroring.still_there(seen, RouterState(seen), memory, candidate, by_hand)


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_is_copied_goes_on(by_hand: bool) -> None:
    assert still(world(SENT), MIRRORED, by_hand=by_hand) is MIRRORED


@pytest.mark.parametrize(
    "route", [None, {"weights": {OLD: 100, NEW: 0}}, {**SENT, "mirror": {OLD: 10}}]
)
def test_what_status_alone_remembers_starts_over(route: Any) -> None:
    """Its pods are looked for anew; the deadline is no longer than before."""
    assert still(world(route), MIRRORED) == replace(MIRRORED, step_since=None)


def test_a_person_may_leave_what_would_start_over() -> None:
    assert still(world(), MIRRORED, by_hand=True) is MIRRORED


def test_copies_that_have_not_begun_are_not_lost() -> None:
    waiting = replace(MIRRORED, step_since=None)
    assert still(world(), waiting) is waiting


@pytest.mark.parametrize("route", [None, SENT])
def test_without_a_mirror_in_the_spec_the_first_step_begins(route: Any) -> None:
    wanted = replace(MIRRORED, step=0, step_since=None, progress_since=NOW)
    assert still(world(route, spec=without_mirror()), MIRRORED) == wanted


@pytest.mark.parametrize("step", [0, 1])
def test_who_is_beyond_it_stays_beyond_it(step: int) -> None:
    beyond = replace(MIRRORED, step=step)
    assert still(world({"weights": {OLD: 95, NEW: 5}}), beyond) is beyond


def capacity(mode: str) -> Spec:
    rollout = msgspec.structs.replace(SPEC.rollout, capacity=mode)
    return msgspec.structs.replace(SPEC, rollout=rollout)


@pytest.mark.parametrize(
    ("spec", "stable", "returning", "first"),
    [
        (SPEC, STABLE, False, MIRROR_STEP),
        (SPEC, None, False, 0),  # nobody to copy from
        (SPEC, STABLE, True, 0),  # the way back is short
        (capacity("Replace"), STABLE, False, 0),  # no pod stands beside stable's
        (without_mirror(), STABLE, False, 0),
    ],
)
def test_where_a_candidate_begins(
    spec: Spec, stable: Stable | None, returning: bool, first: int
) -> None:
    memory = Memory(stable=stable)
    assert mirroring.first_step(world(spec=spec), memory, returning=returning) == first


def pod(ip: str = "10.0.0.9") -> Observed:
    labels = {names.LABEL_REVISION: NEW}
    status = {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
    body = {"metadata": {"labels": labels}, "status": status}
    return Observed("Pod", f"{NEW}-0", "uid-pod", "1", body)


def trial(seen: World, candidate: Candidate = MIRRORED) -> Trial:
    memory = Memory(stable=STABLE, candidate=candidate)
    return Trial(seen, RouterState(seen), memory, candidate, SPEC.rollout.steps, advance=False)


WAITING = replace(MIRRORED, step_since=None)


@pytest.mark.parametrize(
    ("case", "granted"),
    [
        (trial(world(SENT, pod())), 10),
        (trial(world(SENT)), 0),  # no pod to copy to
        (trial(world(None, pod()), WAITING), 10),
        (trial(world(None, pod()), replace(WAITING, paused=True)), 0),  # held before it began
        (trial(world(SENT, pod()), replace(WAITING, paused=True)), 10),  # carried already
        (trial(world(SENT, pod()), replace(MIRRORED, paused=True)), 10),
        (trial(world(SENT, pod()), replace(MIRRORED, step=0)), 0),
    ],
)
def test_copies_that_are_granted_at_its_turn(case: Trial, granted: int) -> None:
    assert mirroring.grant(case, at_weight=True) == granted


@pytest.mark.parametrize(("route", "granted"), [(None, 0), (SENT, 10)])
def test_before_its_turn_it_keeps_what_is_written(route: Any, granted: int) -> None:
    assert mirroring.grant(trial(world(route, pod()), WAITING), at_weight=False) == granted


@pytest.mark.parametrize(
    ("members", "seen"),
    [
        ({f"{NEW}~mirror": {"10.0.0.9"}}, True),
        ({f"{NEW}~mirror": set()}, False),
        ({NEW: {"10.0.0.9"}}, False),  # the pods behind the weight are another cluster's members
    ],
)
def test_copies_arrive_once_their_own_cluster_has_the_pods(
    members: dict[str, set[str]], seen: bool
) -> None:
    told = {name: frozenset(ips) for name, ips in members.items()}
    router = RouterPodView("r", "uid-r", True, True, False, "hash", told, None)
    assert mirroring.is_seen(trial(world(SENT, pod(), router=RouterView((router,))))) is seen


def service() -> Observed:
    return child("Service", NEW, labels={names.LABEL_REVISION: NEW})


@pytest.mark.parametrize(
    ("route", "children", "place"),
    [
        (None, (), False),  # not made yet: Envoy would look for a name that is not there
        (None, (service(),), True),
        (SENT, (), True),  # somebody took its Service away while routers send to it
        ({"weights": {OLD: 95, NEW: 5}}, (), True),
        ({"weights": {OLD: 100}}, (), False),
    ],
)
def test_a_candidate_has_a_cluster_from_its_service_on_until_it_ends(
    route: Any, children: tuple[Observed, ...], place: bool
) -> None:
    seen = world(route, *children)
    memory = Memory(stable=STABLE, candidate=MIRRORED)
    plan = build_route(seen, memory, RouterState(seen), (), (0, 100), mirror=10)
    assert [b.revision for b in plan.backends] == ([NEW, OLD] if place else [OLD])
    assert (plan.mirror is not None) is place


def test_without_pods_it_is_taken_back_though_no_client_met_it() -> None:
    """By the copies that are written, or that status remembers after a crash took them back."""
    told = replace(MIRRORED, mirror=10)
    for route, candidate in ((SENT, MIRRORED), ({"weights": {OLD: 100, NEW: 0}}, told)):
        seen = world(route)
        memory = Memory(stable=STABLE, candidate=candidate)
        after = advance(seen, RouterState(seen), memory, False, None)
        [entry] = after.memory.rejected
        assert (entry.number, entry.reason) == (2, Reason.PodsLost)
        assert "while 10 % of requests were mirrored to it" in entry.message
        assert after.mirror == 0
