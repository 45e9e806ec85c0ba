"""What each verb changes, when it is refused, and that it happens once."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import msgspec
import pytest

from savedmodel_operator.api.names import ANNOTATION_ACTION
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.api.types import LocalObjectReference, Rollout, Serving, Source, Spec
from savedmodel_operator.plan import verbs
from savedmodel_operator.plan.memory import Candidate, Memory
from savedmodel_operator.plan.snapshot import Settings, Snapshot

REVISION = "m-v2-1a2b3c4d"
TRIED = Candidate(2, "sha256:2", REVISION, 10.0, step=1, step_since=20.0, progress_since=20.0)
STARTING = replace(TRIED, step=0, step_since=None)
SPEC = Spec(
    source=Source(uri="s3://models/m", secret_ref=LocalObjectReference(name="storage")),
    serving=Serving(image="tensorflow/serving:2.20.0"),
)


def handle(text, candidate=None, spec=SPEC, last="", status=MappingProxyType({})):
    memory = Memory(candidate=candidate, last_action=last)
    snapshot = Snapshot(
        now=1000.0,
        name="m",
        namespace="shop",
        uid="u",
        generation=1,
        annotations=MappingProxyType({ANNOTATION_ACTION: text}),
        spec=spec,
        status=status,
        source=SourceView(Reason.SourceReady, ""),
        settings=Settings("operator:1", "envoy:1"),
    )
    return verbs.handle(snapshot, memory, 3)


def said(handled):
    [event] = handled.events
    return event.reason, event.message


@pytest.mark.parametrize("verb", ["abort", "pause", "resume", "promote", "promote-full"])
def test_without_a_rollout_nothing_happens_and_it_is_said(verb):
    handled = handle(verb)
    assert handled.memory == Memory(last_action=verb)
    assert handled.abort is None
    reason, text = said(handled)
    assert reason is Reason.ActionRefused
    assert "no rollout is running; nothing was changed" in text


def test_pause_holds_and_resume_lets_go_with_a_fresh_clock():
    paused = handle("pause v2", TRIED).memory.candidate
    assert paused == replace(TRIED, paused=True)
    assert handle("resume", paused).memory.candidate == replace(TRIED, progress_since=1000.0)


@pytest.mark.parametrize(
    ("text", "candidate", "words"),
    [
        ("pause", replace(TRIED, paused=True), "is paused already"),
        ("pause v3", TRIED, "pause names v3, the candidate is m-v2-1a2b3c4d"),
        ("pause v2 0", TRIED, "pause names step 0, the rollout is at step 1"),
        ("resume", TRIED, "was not paused by hand; where a step has a pause, promote ends it"),
        ("promote", STARTING, "step 0 is not reached yet"),
        ("sync v2", TRIED, "it takes no version and no step"),
        ("sync 1", None, "it takes no version and no step"),
    ],
)
def test_refused_in_words_and_recorded(text, candidate, words):
    handled = handle(text, candidate)
    assert handled.memory == Memory(candidate=candidate, last_action=text)
    assert (handled.advance, handled.abort, handled.sync) == (False, None, False)
    reason, sentence = said(handled)
    assert reason is Reason.ActionRefused
    assert words in sentence


@pytest.mark.parametrize("text", ["promote", "promote-full", "resume"])
def test_spec_suspend_is_stronger_than_a_verb(text):
    handled = handle(text, TRIED, msgspec.structs.replace(SPEC, suspend=True))
    assert handled.memory.candidate == TRIED
    assert said(handled) == (
        Reason.ActionRefused,
        "m-v2-1a2b3c4d is held by spec.suspend; set that to false first",
    )


@pytest.mark.parametrize(
    ("capacity", "weight", "held"),
    [("Recreate", 0, False), ("Recreate", 100, True), ("Surge", 0, True)],
)
def test_pause_is_refused_while_stable_is_stopped(capacity, weight, held):
    spec = msgspec.structs.replace(SPEC, rollout=Rollout(capacity=capacity))
    handled = handle("pause", TRIED, spec, status={"stable": {"weight": weight}})
    assert handled.memory.candidate.paused is held
    assert ("abort brings stable back" in said(handled)[1]) is not held


def test_promote_ends_a_pause_by_hand_and_the_step():
    handled = handle("promote v2 1", replace(TRIED, paused=True))
    assert handled.advance
    assert not handled.memory.candidate.paused


def test_promote_before_the_step_is_reached_only_ends_the_pause():
    handled = handle("promote", replace(STARTING, paused=True))
    assert not handled.advance
    assert handled.memory.candidate == replace(STARTING, progress_since=1000.0)


def test_promote_full_ends_a_pause():
    moved = handle("promote-full", replace(TRIED, paused=True)).memory.candidate
    assert (moved.step, moved.step_since, moved.full, moved.paused) == (3, None, True, False)


@pytest.mark.parametrize("candidate", [None, TRIED])
def test_sync_asks_for_a_look_at_the_bucket(candidate):
    handled = handle("sync #1", candidate)
    assert handled.sync
    assert said(handled) == (Reason.ActionHandled, "the bucket is listed now, as asked")


@pytest.mark.parametrize("text", ["pause", "resume", "sync", "abort"])
def test_each_at_most_once(text):
    handled = handle(text, TRIED, last=text)
    assert handled == verbs.Handled(Memory(candidate=TRIED, last_action=text))


def test_what_was_there_before_is_recorded_only():
    handled = handle("pause", TRIED, last=None)
    assert handled.memory.candidate == TRIED
    assert said(handled)[0] is Reason.ActionRecorded
