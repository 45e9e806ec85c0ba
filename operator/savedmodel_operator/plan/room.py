"""What the candidate has to wait for before it gets pods in stable's place, in words. Pure.

Neighbours: `capacity` has the figures, `rollout` asks `check` as its first rule.
"""

from __future__ import annotations

from dataclasses import replace

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.capacity import REPLACE, SURGE, Shares, places_of
from savedmodel_operator.plan.memory import Candidate
from savedmodel_operator.plan.trial import Trial, Wait

AGAIN = 0.2  # seconds between looks at routers that have not answered yet
UNANSWERED = "requests are answered 503 until then"


def restarted(trial: Trial) -> Trial:
    """The step starts over where its pods are not all that it asks for any more."""
    if trial.stage.whole or trial.candidate.step_since is None:
        return trial
    moved = replace(trial.candidate, step_since=None, progress_since=trial.now)
    return replace(trial, candidate=moved)


def check(trial: Trial) -> Candidate | Wait:
    """Stable's pods make room: one by one while all others of it are ready, or all at once."""
    capacity, revision = trial.capacity, trial.candidate.revision
    if capacity.mode == REPLACE and capacity.total == 1:
        text = (
            f"rollout.capacity: Replace would leave no ready pod of one for {revision}; set "
            f"serving.replicas to 2 or more, or rollout.capacity to Surge or Recreate"
        )
        return Wait(Reason.CapacityMissing, text, clock_stops=True)
    if trial.stage.waits and not capacity.may_take:
        text = (
            f"{revision} waits: pods of {capacity.stable.name} could not be started again, so none "
            f"is taken for rollout.capacity: {capacity.mode}; Surge leaves them where they are"
        )
        return Wait(Reason.LockedBytesGone, text)
    if trial.stage.waits:
        ready, wanted = capacity.stable.ready_replicas, capacity.total - capacity.tried.scale
        text = (
            f"{revision} gets the next pod once stable has all of its own: {ready} of {wanted} "
            f"pods of {capacity.stable.name} are ready"
        )
        return Wait(Reason.StableDegraded, text)
    if capacity.stopping and not capacity.stands and trial.view.scale == 0:
        return _check_stopped(trial)
    return trial.candidate


def _check_stopped(trial: Trial) -> Candidate | Wait:
    capacity = trial.capacity
    stable, revision = capacity.stable, trial.candidate.revision
    if not (capacity.silenced and trial.router.verified):
        text = f"{stable.name} is taken out of the routers to make room for {revision}"
        return Wait(Reason.Recreating, text, trial.now + AGAIN)
    left = places_of(stable) + capacity.leaving
    if left:
        text = f"{stable.name} stops to make room for {revision}; pods still there: {left}"
        return Wait(Reason.Recreating, text)
    return trial.candidate


def stop_events(trial: Trial, shares: Shares) -> tuple[Event, ...]:
    """Said when stable loses its requests, which is when the downtime begins; until status says it."""
    if not shares.nobody or trial.memory.stable is None or trial.capacity.told_silent:
        return ()
    text = (
        f"{trial.memory.stable.revision} is stopped to make room for {trial.candidate.revision} "
        f"(rollout.capacity: Recreate): requests are answered 503 until that serves"
    )
    return (Event(Reason.Recreating, text, warning=True),)


def with_downtime(trial: Trial, shares: Shares, wait: Wait) -> Wait:
    """The wait, with what clients get meanwhile."""
    if not shares.nobody or trial.memory.stable is None:
        return wait
    return replace(wait, sentence=f"{wait.sentence}; {UNANSWERED}")


def former_words(trial: Trial) -> str:
    """What becomes of the stable revision that is replaced."""
    spec = trial.world.snapshot.spec
    if trial.capacity.mode != SURGE:
        return "leaves at once"
    return "runs on" if spec.versions.keep else f"is kept for {spec.rollout.scale_down_delay}"
