"""Which former stable revisions run on: the latest ones that still run and were not taken back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import RevisionView
from savedmodel_operator.plan.keeping import find_kept
from savedmodel_operator.plan.memory import Candidate, Memory, Rejection, Stable, timestamp
from savedmodel_operator.plan.snapshot import Observed


def view(number, since, runs=True):
    marks = {names.ANNOTATION_PROMOTED_AT: timestamp(since)} if since else {}
    name = f"m-v{number}-aaaaaaaa"
    record = Observed("ControllerRevision", name, "u", "1", {"metadata": {"annotations": marks}})
    deployment = Observed("Deployment", name, "d", "1", {}) if runs else None
    kept = SimpleNamespace(number=number, fingerprint=f"sha256:{number}", serving_hash="h")
    return RevisionView(name, record_object=record, record=kept, deployment=deployment)


def kept(keep, memory, *views):
    found = {v.name: v for v in views}
    spec = SimpleNamespace(versions=SimpleNamespace(keep=keep))
    world = SimpleNamespace(
        revisions=found,
        revision=found.__getitem__,
        serving_hash="h",
        snapshot=SimpleNamespace(spec=spec),
    )
    return [held.number for held in find_kept(world, memory)]


MEMORY = Memory(stable=Stable(9, "sha256:9", "m-v9-aaaaaaaa", 90.0))
ALL = [view(1, 40.0), view(2, 20.0), view(3, 30.0), view(9, 90.0)]


@pytest.mark.parametrize(("keep", "numbers"), [(0, []), (1, [1]), (2, [1, 3]), (5, [1, 3, 2])])
def test_the_latest_stable_ones_first_whatever_their_number(keep, numbers):
    assert kept(keep, MEMORY, *ALL) == numbers


def test_what_never_was_stable_or_runs_no_more_is_not_kept():
    assert kept(5, MEMORY, view(4, None), view(5, 50.0, runs=False), *ALL) == [1, 3, 2]


def test_neither_the_candidate_nor_what_was_taken_back_is_kept():
    entry = Rejection(3, "sha256:3", "m-v3-aaaaaaaa", Reason.RolledBack, Reason.Aborted, "", 1.0)
    tried = Candidate(1, "sha256:1", "m-v1-aaaaaaaa", 95.0)
    memory = Memory(stable=MEMORY.stable, candidate=tried, rejected=(entry,))
    assert kept(5, memory, *ALL) == [2]
