"""When the bytes of what serves count as gone, what is held back for them, which bytes are wanted."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject, LockView, SourceView, VersionView
from savedmodel_operator.api.types import (
    LocalObjectReference,
    Pinned,
    Serving,
    Source,
    Spec,
    Versions,
)
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Candidate, Memory, Rejection, Stable
from savedmodel_operator.plan.restorable import (
    find_lack,
    find_overwritten,
    find_restore,
    hold_scale,
)
from savedmodel_operator.plan.snapshot import Observed, Settings, Snapshot
from savedmodel_operator.plan.target import Target, choose, lost_sight
from savedmodel_operator.savedmodel.facts import GraphFacts, ModelFacts
from savedmodel_operator.workload.lock import build_lock
from savedmodel_operator.workload.model import with_replicas
from savedmodel_operator.workload.owner import Owner
from savedmodel_operator.workload.revision import build_record, read_record

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
SPEC = Spec(
    source=Source(
        uri="s3://models/m",
        endpoint="https://s3.example",
        secret_ref=LocalObjectReference(name="storage"),
    ),
    serving=Serving(image="tensorflow/serving:2.20.0", replicas=1),
)
SETTINGS = Settings("operator:1", "envoy:1")
OWNER = Owner("m", "shop", "u")
REVISION = "m-v2-11111111"
STABLE = Stable(2, A, REVISION, 10.0)
FACTS = ModelFacts(1, (GraphFacts(("serve",), {}, {}),))
LOCK = Lock("models", "m/2/", 2, "2", A, (LockedObject("saved_model.pb", 1, "e"),))
HERE = LockView(REVISION, True, Reason.Restorable, "there")
GONE = LockView(REVISION, False, Reason.LockedBytesGone, "saved_model.pb was deleted")
UNTOLD = LockView(REVISION, None, Reason.StorageUnavailable, "throttled")
READ, EMPTY = Reason.SourceReady, Reason.SourceEmpty


def listed(number: int, fingerprint: str, reason: Reason = Reason.Complete) -> VersionView:
    return VersionView(number, str(number), fingerprint, 1, 1, reason)


def source(reason: Reason, *locks: LockView, versions: tuple[VersionView, ...] = ()) -> SourceView:
    return SourceView(reason, f"said: {reason}", versions, (), 1.0, locks)


def stored(state: str, revision: str = REVISION) -> dict[str, object]:
    entry = {
        "type": "Restorable",
        "status": state,
        "reason": "LockedBytesGone",
        "message": "as before",
    }
    return {"stable": {"revision": revision}, "conditions": [entry]}


def world(
    seen: SourceView, status: dict[str, object] | None = None, lock: bool = True, **changes: object
) -> World:
    """Revision 2 runs on three pods' scale; its record fetches from SPEC's store."""
    record = build_record(OWNER, REVISION, LOCK, FACTS, SPEC, SETTINGS)
    frozen = read_record(record)
    assert frozen is not None
    bodies = [record, with_replicas(frozen.deployment, 3)]
    bodies += [build_lock(OWNER, REVISION, LOCK)] if lock else []
    objects = [Observed(b["kind"], b["metadata"]["name"], "u", "1", b) for b in bodies]
    return World(
        Snapshot(
            now=1000.0,
            name="m",
            namespace="shop",
            uid="u",
            generation=1,
            annotations={},
            spec=msgspec.structs.replace(SPEC, **changes),
            status=status or {},
            source=seen,
            settings=SETTINGS,
            objects={o.key: o for o in objects},
        )
    )


TOLD = [
    # what was seen, what is stored, lock object there? → here, reason, scale of the three wanted to be one
    (source(READ, HERE), {}, True, True, Reason.Restorable, 1),
    (source(READ, GONE), {}, True, False, Reason.LockedBytesGone, 3),
    (source(EMPTY, GONE), {}, True, False, Reason.LockedBytesGone, 3),
    (source(READ, UNTOLD), {}, True, None, Reason.StorageUnavailable, 1),
    (source(Reason.Forbidden, HERE), {}, True, None, Reason.Forbidden, 1),
    (source(Reason.Forbidden, GONE), {}, True, False, Reason.LockedBytesGone, 3),
    (source(Reason.Forbidden), stored("False"), True, False, Reason.LockedBytesGone, 3),
    (source(Reason.SourcePending), stored("False"), True, False, Reason.LockedBytesGone, 3),
    (source(Reason.SourcePending), stored("True"), True, None, Reason.SourcePending, 3),
    (source(Reason.SourcePending), {}, True, None, Reason.SourcePending, 3),
    (source(Reason.Forbidden), stored("False", "m-v1"), True, None, Reason.Forbidden, 1),
    (source(Reason.Forbidden), stored("True"), True, None, Reason.Forbidden, 1),
    (source(READ, HERE), stored("False"), True, True, Reason.Restorable, 1),
    (source(READ, versions=(listed(2, A),)), stored("False"), True, True, Reason.Restorable, 1),
    (source(READ, versions=(listed(2, B),)), {}, True, None, Reason.SourcePending, 3),
    (source(READ, versions=(listed(2, A),)), {}, False, True, Reason.Restorable, 1),
    (source(READ, versions=(listed(2, B),)), {}, False, False, Reason.LockedBytesGone, 3),
]


@pytest.mark.parametrize(("seen", "status", "lock", "here", "reason", "scale"), TOLD)
def test_what_counts_as_gone_and_what_is_kept(seen, status, lock, here, reason, scale):
    at = world(seen, status, lock)
    found = find_restore(at, STABLE)
    assert (found.here, found.reason) == (here, reason)
    assert hold_scale(at, Memory(stable=STABLE), 1) == scale


def test_more_pods_are_not_started_of_gone_bytes_and_are_while_nobody_has_looked():
    memory = Memory(stable=STABLE)
    assert hold_scale(world(source(READ, GONE)), memory, 5) == 3
    assert hold_scale(world(source(Reason.SourcePending)), memory, 5) == 5


def test_another_store_cannot_tell():
    moved = msgspec.structs.replace(SPEC.source, endpoint="https://other.example")
    found = find_restore(world(source(READ, GONE), source=moved), STABLE)
    assert (found.here, found.reason) == (None, Reason.SourceMoved)


def test_a_start_lacks_what_is_gone_unless_the_bucket_lists_it():
    memory = Memory(stable=STABLE)
    other_flags = Target(2, A, "m-v2-22222222", FACTS, LOCK)
    assert find_lack(world(source(READ, GONE)), memory, other_flags) == GONE.message
    assert find_lack(world(source(READ, HERE)), memory, other_flags) is None
    there = source(READ, GONE, versions=(listed(2, A),))
    assert find_lack(world(there), memory, other_flags) is None
    newer = Target(3, B, "m-v3-33333333", FACTS, LOCK)
    assert find_lack(world(source(READ, GONE)), memory, newer) is None
    former = LockView("m-v1-44444444", False, Reason.LockedBytesGone, "gone, too")
    back = Target(1, C, "m-v1-44444444", FACTS, LOCK)
    assert find_lack(world(source(READ, former)), memory, back) == "gone, too"


@pytest.mark.parametrize(
    ("fingerprint", "found"), [(A, False), (B, True), ("", False)], ids=["same", "other", "unknown"]
)
def test_other_bytes_under_the_serving_number(fingerprint, found):
    at = world(source(READ, versions=(listed(3, C), listed(2, fingerprint))))
    assert (find_overwritten(at, Memory(stable=STABLE)) is not None) is found


def wanted(versions: Versions, memory: Memory, *there: VersionView) -> str | None:
    """The fingerprint of the target."""
    choice = choose(world(source(READ, versions=there), versions=versions), memory)
    return choice.target.fingerprint if choice.target else None


ALERT, ROLLOUT = Versions(), Versions(on_overwrite="Rollout")
PINNED = Versions("Pinned", Pinned(2), "Rollout")
EXACT = Versions("Pinned", Pinned(2, A), "Rollout")
HALF = listed(2, B, Reason.Incomplete)


@pytest.mark.parametrize(
    ("versions", "there", "fingerprint"),
    [
        (ALERT, (listed(2, B),), A),
        (ROLLOUT, (listed(2, B),), B),
        (ROLLOUT, (HALF,), A),
        (ROLLOUT, (HALF, listed(1, C)), A),
        (ROLLOUT, (listed(2, A),), A),
        (ROLLOUT, (listed(3, C), listed(2, B)), C),
        (ROLLOUT, (listed(3, C, Reason.Incomplete), listed(2, B)), B),
        (PINNED, (listed(2, B),), B),
        (PINNED, (listed(3, C), listed(2, B)), B),
        (PINNED, (HALF,), A),
        (EXACT, (listed(2, B),), A),
        (Versions("Pinned", Pinned(2, B)), (listed(2, B),), B),
        (Versions("Pinned", Pinned(2)), (listed(2, B),), A),
    ],
)
def test_which_bytes_of_a_number_are_wanted(versions, there, fingerprint):
    assert wanted(versions, Memory(stable=STABLE), *there) == fingerprint


@pytest.mark.parametrize("versions", [ROLLOUT, PINNED])
def test_refused_bytes_stay_out_and_the_high_water_mark_holds(versions):
    hash_of = world(source(READ)).serving_hash
    tried = names.revision_name("m", 2, B, hash_of)
    entry = Rejection(2, B, tried, Reason.RolledBack, Reason.Aborted, "by hand", 1.0)
    memory = Memory(stable=STABLE, rejected=(entry,))
    assert wanted(versions, memory, listed(2, B)) == A
    assert wanted(versions, memory, listed(2, C)) == C


def test_a_number_that_was_refused_long_ago_needs_retry():
    memory = Memory(stable=STABLE, high_water_mark=7)
    assert wanted(ROLLOUT, memory, listed(2, B)) is None
    assert wanted(ROLLOUT, replace(memory, high_water_mark=1), listed(2, B)) == B


@pytest.mark.parametrize(
    ("versions", "there", "target", "kept"),
    [
        (ROLLOUT, (HALF,), A, True),
        (ROLLOUT, (), A, True),
        (ROLLOUT, (listed(2, A),), A, False),  # the overwrite was undone
        (ROLLOUT, (listed(2, C),), C, False),  # overwritten again
        (ALERT, (HALF,), A, False),  # a person does not want it any more
        (PINNED, (HALF,), A, True),
        (EXACT, (HALF,), A, False),
    ],
)
def test_a_candidate_that_the_bucket_does_not_show_goes_on(versions, there, target, kept):
    candidate = Candidate(2, B, "m-v2-22222222", 1.0)
    at = world(source(READ, versions=there), versions=versions)
    assert lost_sight(at, candidate, Target(2, target, "m-v2-x", None, None)) is kept
