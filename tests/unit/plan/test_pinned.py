"""Which identity a pin means: stable, candidate, a former stable, then the bucket."""

from __future__ import annotations

import msgspec
import pytest

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView, VersionView
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
from savedmodel_operator.plan.snapshot import Settings, Snapshot
from savedmodel_operator.plan.target import choose

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SPEC = Spec(
    source=Source(uri="s3://models/m", secret_ref=LocalObjectReference(name="storage")),
    serving=Serving(image="tensorflow/serving:2.20.0"),
)


def world(pinned, *versions):
    spec = msgspec.structs.replace(SPEC, versions=Versions("Pinned", pinned))
    return World(
        Snapshot(
            now=1000.0,
            name="m",
            namespace="shop",
            uid="u",
            generation=1,
            annotations={},
            spec=spec,
            status={},
            source=SourceView(Reason.SourceReady, "2 versions", versions),
            settings=Settings("operator:1", "envoy:1"),
        )
    )


def listed(number, fingerprint, reason=Reason.Complete, message=""):
    return VersionView(number, str(number), fingerprint, 1, 1, reason, message)


def held(kind, number, fingerprint, hash_of):
    revision = names.revision_name("m", number, fingerprint, hash_of.serving_hash)
    return kind(number, fingerprint, revision, 10.0)


NINE = listed(9, A)


@pytest.mark.parametrize("asked", [None, B])
def test_stable_goes_on_though_the_bucket_has_other_bytes(asked):
    here = world(Pinned(2, asked), NINE, listed(2, A))
    stable = held(Stable, 2, B, here)
    choice = choose(here, Memory(stable=stable))
    assert choice.target.revision == stable.revision
    assert choice.missing is None


def test_the_fingerprint_chooses_among_bytes_of_one_number():
    here = world(Pinned(2, A), NINE, listed(2, A))
    choice = choose(here, Memory(stable=held(Stable, 2, B, here)))
    assert (choice.target.number, choice.target.fingerprint) == (2, A)


def test_the_candidate_goes_on_after_its_version_vanished():
    here = world(Pinned(2), NINE)
    tried = held(Candidate, 2, B, here)
    memory = Memory(stable=held(Stable, 1, A, here), candidate=tried)
    assert choose(here, memory).target.revision == tried.revision


def test_a_lower_number_is_wanted_and_the_high_water_mark_is_ignored():
    here = world(Pinned(2), NINE, listed(2, A))
    choice = choose(here, Memory(stable=held(Stable, 9, A, here), high_water_mark=100))
    assert choice.target.number == 2


@pytest.mark.parametrize(
    ("pinned", "words"),
    [
        (Pinned(3), "version 3, which versions.pinned names, is not in s3://models/m: 2 versions"),
        (
            Pinned(9, B),
            f"version 9, which versions.pinned names, has other bytes in the bucket: {A}",
        ),
        (Pinned(4), "version 4, which versions.pinned names, is not complete: no marker"),
    ],
)
def test_what_cannot_be_had_is_said_and_stable_stays(pinned, words):
    here = world(pinned, NINE, listed(4, B, Reason.Incomplete, "no marker"))
    stable = held(Stable, 1, A, here)
    choice = choose(here, Memory(stable=stable))
    assert choice.target.revision == stable.revision
    assert choice.missing == words
    nothing = choose(here, Memory())
    assert (nothing.target, nothing.reason, nothing.missing) == (None, Reason.PinnedMissing, words)


def test_a_refused_one_stays_out_until_retried():
    here = world(Pinned(9), NINE)
    stable = held(Stable, 1, A, here)
    tried = names.revision_name("m", 9, A, here.serving_hash)
    entry = Rejection(9, A, tried, Reason.RolledBack, Reason.CrashLoop, "it crashed", 1.0)
    choice = choose(here, Memory(stable=stable, rejected=(entry,)))
    assert choice.target.revision == stable.revision
    assert choice.refused == entry
