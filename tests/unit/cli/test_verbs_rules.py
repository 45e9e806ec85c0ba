"""Verbs against the real planner: what the annotation says, what it does, when it has come about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from savedmodel_operator.api import action
from savedmodel_operator.api.action import Action, Verb
from savedmodel_operator.cli.__main__ import COMMANDS
from savedmodel_operator.cli.output import Exit, plain
from savedmodel_operator.cli.standing import Seen, Standing, stand
from savedmodel_operator.cli.status_view import show_one
from savedmodel_operator.cli.verbs_rules import (
    Pointless,
    Request,
    ask,
    is_handled,
    is_lost,
    outcome,
    refusal,
    shows,
)
from simulation.sim_scenarios import version
from simulation.sim_world import World
from unit.cli.cluster_stories import (
    holding,
    paused,
    refused,
    rolled_back,
    seen,
    served,
    stalled,
    suspended,
)

NONCE = "0a1b2c3d"


def carried_out(world: World, verb: Verb, wanted: str | None = None) -> tuple[Request, Standing]:
    """The verb as the command sets it, and its outcome as the command follows it."""
    request = ask(seen(world), verb, wanted, NONCE)
    world.act(request.text)
    return request, followed(world, request)


def followed(world: World, request: Request) -> Standing:
    ends: list[Standing] = []

    def ended() -> bool:
        found = seen(world)
        end = outcome(found, request) if is_handled(found, request) else None
        ends.extend([end] if end else [])
        return bool(ends)

    world.run(ended)
    return ends[0]


def test_promote_names_what_was_seen():
    request = ask(seen(paused(20, 50)), Verb.Promote, None, NONCE)
    revision = request.revision
    assert request.text == f"promote {revision} 0 #{NONCE}"
    assert action.parse(request.text) == Action(Verb.Promote, revision[len("flowers-") :], 0)


def test_promote_goes_on_to_the_next_pause_and_then_to_the_end():
    world = paused(20, 50)
    request, end = carried_out(world, Verb.Promote)
    assert not shows(seen(world), request)  # another person could have moved it
    assert (end.code, world.status["candidate"]["weight"]) == (Exit.WAITING, 50)
    _, end = carried_out(world, Verb.Promote)
    assert end == Standing(Exit.YES, "version 2 serves")
    assert world.stable_number() == 2


def test_promote_full_skips_the_pauses():
    world = paused(20, 50)
    _, end = carried_out(world, Verb.PromoteFull)
    assert (end.code, world.stable_number()) == (Exit.YES, 2)


def test_promote_ends_with_no_where_the_version_fails_on_the_way():
    world = paused(20, 50)
    request = ask(seen(world), Verb.Promote, None, NONCE)
    world.act(request.text)
    world.run(lambda: is_handled(seen(world), request))
    world.act("abort")
    end = followed_after(world, request)
    assert end.code is Exit.NO
    assert "Aborted: " in end.why


def followed_after(world: World, request: Request) -> Standing:
    """The outcome although another action has been handled since, as the command goes on."""
    ends: list[Standing] = []

    def ended() -> bool:
        ends.extend(filter(None, [outcome(seen(world), request)]))
        return bool(ends)

    world.run(ended)
    return ends[0]


def test_promote_ends_with_no_where_a_newer_version_comes():
    world = paused(20, 50)
    request = ask(seen(world), Verb.Promote, None, NONCE)
    world.act(request.text)
    world.run(lambda: is_handled(seen(world), request))
    world.publish(version(3), version(2), version(1))
    end = followed_after(world, request)
    assert (end.code, "gives way to" in end.why) == (Exit.NO, True)


def test_a_promote_of_a_step_that_is_over_is_refused():
    world = paused(20, 50)
    stale = ask(seen(world), Verb.Promote, None, "old")
    carried_out(world, Verb.Promote)
    world.act(stale.text)
    world.run(lambda: is_handled(seen(world), stale))
    assert ("ActionRefused", "promote names step 0, the rollout is at step 1") in world.events
    assert seen(world).candidate["step"] == 1


def test_abort_has_come_about_when_no_router_sends_requests():
    world = holding()
    request, end = carried_out(world, Verb.Abort)
    assert request.text == f"abort {request.revision} #{NONCE}"
    assert end.code is Exit.YES
    assert seen(world).synced
    assert world.status["stable"]["weight"] == 100
    assert shows(seen(world), request)


def test_abort_is_too_late_once_it_is_stable():
    world = holding()
    request = ask(seen(world), Verb.Abort, None, NONCE)
    world.run(lambda: world.stable_number() == 2)
    end = outcome(seen(world), request)
    assert end is not None
    assert (end.code, end.why.startswith("too late")) == (Exit.NO, True)


def test_pause_holds_it_and_resume_lets_it_go_on():
    world = holding()
    request, end = carried_out(world, Verb.Pause)
    assert request.text == f"pause {request.revision} 0 #{NONCE}"
    assert end.code is Exit.YES
    assert shows(seen(world), request)
    world.settle(600)
    found = seen(world)
    assert (found.candidate["weight"], found.paused, found.held) == (10, True, True)
    assert stand(found).code is Exit.WAITING
    shown = "\n".join(plain(show_one(found, world.now, bars=False)))
    assert "→ savedmodel resume flowers -n shop" in shown
    with pytest.raises(Pointless, match="paused already"):
        ask(found, Verb.Pause, None, NONCE)
    _, end = carried_out(world, Verb.Resume)
    assert (end.code, world.stable_number()) == (Exit.YES, 2)


def test_promote_goes_on_from_a_pause_by_hand_to_the_pause_of_the_step():
    world = served()
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 20, "pause": True}]))
    world.publish(version(2), version(1))
    world.run(lambda: "candidate" in world.status)
    carried_out(world, Verb.Pause)
    _, end = carried_out(world, Verb.Promote)
    assert (end.code, world.status["candidate"]["weight"]) == (Exit.WAITING, 20)


def test_sync_has_come_about_when_it_is_handled():
    world = served()
    request, end = carried_out(world, Verb.Sync)
    assert (request.text, end.code) == (f"sync #{NONCE}", Exit.YES)


def test_every_verb_has_its_command():
    for verb in Verb:
        assert verb.value.split("-")[0] in COMMANDS


@pytest.mark.parametrize("wanted", [None, "2", "v2"])
def test_retry_goes_to_the_end_of_the_new_rollout(wanted):
    world = rolled_back()
    _, end = carried_out(world, Verb.Retry, wanted)
    assert (end.code, world.stable_number()) == (Exit.YES, 2)


def test_retry_of_what_the_gate_refuses_again_is_no():
    world = refused()
    before = world.status["rejected"][0]["at"]
    _, end = carried_out(world, Verb.Retry)
    assert (end.code, "IncompatibleSignature" in end.why) == (Exit.NO, True)
    assert world.status["rejected"][0]["at"] != before


def test_retry_by_the_whole_revision_name():
    world = stalled()
    revision = str(seen(world).last_refused["revision"])
    world.kubelet.behaviour.pop(1)
    _, end = carried_out(world, Verb.Retry, revision)
    assert (end.code, world.stable_number()) == (Exit.YES, 1)


@pytest.mark.parametrize(
    ("story", "verb", "wanted", "sentence"),
    [
        (served, Verb.Promote, None, "nothing to promote: no rollout is running"),
        (served, Verb.PromoteFull, None, "nothing to promote: no rollout is running"),
        (served, Verb.Pause, None, "nothing to pause: no rollout is running"),
        (suspended, Verb.Promote, None, "it is held by spec.suspend"),
        (suspended, Verb.Resume, None, "it is held by spec.suspend"),
        (holding, Verb.Resume, None, "it was not paused by hand"),
        (served, Verb.Abort, None, "nothing to abort: no rollout is running"),
        (served, Verb.Retry, None, "nothing to retry: no version was refused or rolled back"),
        (refused, Verb.Retry, "v7", "nothing to retry: version v7 is not among those"),
    ],
)
def test_what_means_nothing_is_not_written(
    story: Callable[[], World], verb: Verb, wanted: str | None, sentence: str
):
    with pytest.raises(Pointless) as told:
        ask(seen(story()), verb, wanted, NONCE)
    assert str(told.value).startswith(sentence)


def test_every_text_is_one_that_the_operator_reads():
    for story, verb in (
        (holding, Verb.Promote),
        (holding, Verb.PromoteFull),
        (holding, Verb.Abort),
    ):
        assert isinstance(action.parse(ask(seen(story()), verb, None, NONCE).text), Action)
    assert isinstance(action.parse(ask(seen(refused()), Verb.Retry, None, NONCE).text), Action)


def test_another_action_before_the_operator_looks():
    world = holding()
    request = ask(seen(world), Verb.Promote, None, NONCE)
    body = dict(seen(world).body)
    body["metadata"] = {**body["metadata"], "annotations": {"savedmodel.dev/action": "abort"}}
    assert is_lost(Seen(body), request)
    body["metadata"]["annotations"] = {"savedmodel.dev/action": request.text}
    assert not is_lost(Seen(body), request)


def test_what_the_event_says():
    assert refusal({"reason": "ActionRefused", "note": "no"}) == "no"
    assert refusal({"reason": "ActionHandled", "note": "yes"}) is None
