"""The verdict and the exit code of every telling moment, on status that the real planner wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from savedmodel_operator.cli.output import Exit, line, plain
from savedmodel_operator.cli.standing import Seen, settled, stand
from savedmodel_operator.cli.status_view import (
    as_dict,
    change,
    history_entries,
    show_history,
    show_many,
    show_one,
)
from unit.cli.cluster_stories import STORIES, holding, paused, refused, seen, served

NOW = {
    "empty": (Exit.NO, None),
    "served": (Exit.YES, Exit.YES),
    "holding": (Exit.YES, None),
    "paused": (Exit.WAITING, Exit.WAITING),
    "suspended": (Exit.WAITING, Exit.WAITING),
    "not_started": (Exit.WAITING, Exit.WAITING),
    "pinned_to_nothing": (Exit.NO, None),
    "refused": (Exit.NO, Exit.NO),
    "rolled_back": (Exit.NO, Exit.NO),
    "stalled": (Exit.NO, Exit.NO),
    "promoted": (Exit.YES, Exit.YES),
    "bytes_gone": (Exit.NO, Exit.NO),
    "overwritten": (Exit.NO, Exit.NO),
}
"""Story → exit code now, and with --wait (None: it goes on waiting)."""


def text(blocks) -> str:
    return "\n".join(plain(blocks))


def changed(found: Seen, **status: object) -> Seen:
    return Seen({**found.body, "status": {**found.status, **status}})


@pytest.mark.parametrize("story", STORIES)
def test_the_codes_of_a_story(story):
    found = seen(STORIES[story]())
    end = settled(found)
    assert (stand(found).code, end and end.code) == NOW[story]
    assert stand(found).why


@pytest.mark.parametrize("story", STORIES)
def test_programs_and_people_get_the_same_answer(story):
    world = STORIES[story]()
    found = seen(world)
    data = json.loads(json.dumps(as_dict(found)))
    shown = text(show_one(found, world.now, bars=False))
    assert data["exitCode"] == stand(found).code
    assert data["next"] in shown
    assert (data["refused"] or {"message": ""})["message"] in shown
    assert f"{found.name} in shop: {data['phase']}" in shown
    assert stand(found).why in text(show_many([found]))


def test_what_is_tried_is_shown_with_weight_step_and_next():
    world = holding()
    shown = text(show_one(seen(world), world.now, bars=False))
    assert "serving  v1  90 %  2 pods ready" in shown
    assert "trying   v2  10 %  1 pod ready" in shown
    assert "steps  [10 %] → 50 % → 100 %" in shown
    assert "next   50 % at " in shown
    assert "savedmodel" not in shown


def test_a_pause_says_what_a_person_may_do():
    world = paused()
    shown = text(show_one(seen(world), world.now, bars=False))
    assert "→ savedmodel promote flowers -n shop\n  → savedmodel abort flowers -n shop" in shown


def test_what_the_spec_holds_is_no_matter_of_a_verb():
    for story in ("suspended", "not_started"):
        world = STORIES[story]()
        shown = text(show_one(seen(world), world.now, bars=False))
        assert (
            """→ kubectl patch smd flowers -n shop --type merge -p '{"spec": {"suspend":""" in shown
        )
        assert "promote" not in shown
        assert ("savedmodel abort" in shown) == (story == "suspended")


def test_a_refusal_is_told_once_with_its_reason_and_the_way_back():
    world = refused()
    shown = text(show_one(seen(world), world.now, bars=False))
    assert shown.count("serving_default.outputs.z") == 1
    assert shown.splitlines()[1].startswith("  version 1 serves on 2 ")
    assert "refused  v2 Rejected 30s ago\n" in shown
    assert "IncompatibleSignature: " in shown
    assert "→ savedmodel retry flowers v2 -n shop" in shown


def test_a_bar_is_for_terminals():
    world = holding()
    assert "██░░░░░░░░░░░░░░░░░░" in text(show_one(seen(world), world.now, bars=True))


def test_the_operator_has_not_looked_yet():
    fresh = Seen(
        {
            "metadata": {"name": "a", "namespace": "b", "generation": 1},
            "status": {"observedGeneration": -1},
        }
    )
    assert stand(fresh).code is Exit.COULD_NOT_TELL
    assert settled(fresh) is None
    assert "is it running?" in text(show_one(fresh, 0.0, bars=False))
    edited = seen(served())
    edited.body["metadata"]["generation"] += 1
    assert stand(edited).code is Exit.COULD_NOT_TELL
    assert settled(edited) is None


def test_too_few_pods_and_unverified_routers_are_no():
    found = seen(served())
    lost = [
        {**c, "status": "False", "reason": "StableDegraded", "message": "1 of 2"}
        if c["type"] == "Ready"
        else c
        for c in found.entries("conditions")
    ]
    assert stand(changed(found, conditions=lost)).code is Exit.NO
    assert "ready  StableDegraded: 1 of 2" in text(
        show_one(changed(found, conditions=lost), 0.0, False)
    )


def test_damaged_status_is_shown_as_far_as_it_goes():
    found = seen(holding())
    broken = changed(found, stable="x", candidate=None, rejected={}, history=[1], conditions=None)
    assert stand(broken).code is Exit.NO
    assert history_entries(broken) == []
    assert "nothing yet" in text(show_one(broken, 0.0, bars=False))


def test_history_begins_with_what_serves_and_tells_each_end_once():
    world = STORIES["rolled_back"]()
    entries = history_entries(seen(world))
    assert [(e["number"], e["outcome"]) for e in entries] == [(1, "Serving"), (2, "RolledBack")]
    assert "aborted by hand" in text(show_history(seen(world), world.now))
    world = STORIES["promoted"]()
    entries = history_entries(seen(world))
    assert [(e["number"], e["outcome"]) for e in entries] == [(2, "Serving"), (1, "Promoted")]


def test_a_line_of_watch_has_phase_weights_and_sentence():
    found = seen(holding())
    (shown,) = plain([line(*change(found))])
    assert shown.startswith("Progressing  v1 90 %, v2 10 %")
    assert shown.endswith(found.status["message"])


def test_the_words_of_the_page_are_these():
    page = (Path(__file__).resolve().parents[3] / "docs/cli-cluster.md").read_text()
    for code in Exit:
        assert f"**{int(code)}**" in page, code


def test_what_cannot_be_replaced_is_named():
    world = STORIES["bytes_gone"]()
    shown = text(show_one(seen(world), world.now, bars=False))
    assert "bytes" in shown
    assert "LockedBytesGone: saved_model.pb in s3://models/flowers/1/ was deleted" in shown
    assert stand(seen(world)).why.startswith("its pods cannot be replaced: saved_model.pb")


def test_other_bytes_under_the_serving_number_are_told():
    world = STORIES["overwritten"]()
    shown = text(show_one(seen(world), world.now, bars=False))
    assert "VersionOverwritten: the bytes of version 1 changed in the bucket" in shown
    assert "set versions.onOverwrite: Rollout" in stand(seen(world)).why
