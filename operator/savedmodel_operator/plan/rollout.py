"""The rollout: what happens to the candidate in this cycle. Pure rules, one per paragraph.

                     gate refuses                       abort, crash loop, lost pods, deadline
        target ────────────────► Rejected      ┌──────────────────────────────► RolledBack
          │ gate passes                        │
          ▼                                    │
      candidate ─► scaled ─► live checks ─► members ─► weight ─► hold ─► pause ─► analysis ─┐
          ▲                                                                       next step │
          └─────────────────────────────────────────────────────────────────────────────────┤
                                                                      after 100 % verified  ▼
                                                                                         stable

What happens if …
- … capacity goes missing in a step: the step starts over; its weight stays while a pod is ready.
- … load grows under an autoscaler: so does what a weight needs; the candidate gets more pods first.
- … no candidate pod is ready: weight 0 before anything else; it ends, unless a pod is only being
  drained, then it waits.
- … requests show that it breaks a limit: it ends at once, in holds and pauses, too.
- … they show nothing yet when a hold is over: it waits for more (`analysis.onInconclusive`).
- … a newer version or another serving spec arrives: the candidate ends as Superseded; the next one
  starts at step 0 once its routes and pods are gone.
- … the bucket cannot be read: nothing changes.
- … its bytes vanish from the bucket: it keeps its weight and gets no further; at the deadline it ends.
- … a person pauses it or sets spec.suspend: no weight rises and the deadline stands still; what
  fails is taken back.
- … spec.rollout.mirror is set: the first step has no weight, the routers copy requests to it.
- … the operator restarts: holds and deadlines go on, they are times in status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from savedmodel_operator.api.mirror import name_step
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import seconds
from savedmodel_operator.gate import Outcome
from savedmodel_operator.plan import analysis, mirroring, room
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.health import find_complaint, tell_loss
from savedmodel_operator.plan.irreplaceable import check_bytes
from savedmodel_operator.plan.memory import Candidate, Memory, Past, Rejection, Stable, bound_by
from savedmodel_operator.plan.restorable import say_parting
from savedmodel_operator.plan.routing import RouterState
from savedmodel_operator.plan.scale import take_base
from savedmodel_operator.plan.trial import LOOK_AGAIN, End, Progress, Trial, Wait, steps_of

CHECK_AGAIN = 2.0  # seconds between tries of a live check that could not be done
RETRY_REMEDY = "use the action retry to try it again"
LOSS_REMEDY = f"look at its pods with kubectl describe; {RETRY_REMEDY}"


def advance(
    world: World, router: RouterState, memory: Memory, by_hand: bool, abort: str | None
) -> Progress:
    """Carry the candidate as far as this snapshot allows."""
    assert memory.candidate is not None
    steps = steps_of(world, memory)
    candidate = mirroring.still_there(world, router, memory, memory.candidate, by_hand)
    candidate = take_base(world, memory, _within(candidate, len(steps)))
    candidate = _seen_serving(router, _suspended(world, candidate))
    memory = replace(memory, candidate=candidate)
    trial = room.restarted(Trial(world, router, memory, candidate, steps, by_hand))
    trial = analysis.take_look(trial)
    end = End(Reason.RolledBack, Reason.Aborted, abort) if abort else _find_end(trial)
    events: tuple[Event, ...] = ()
    while end is None:
        before = trial
        trial, wait, end = _run_rules(trial)
        events += _reached(before, trial)
        if end is not None:
            break
        if wait is not None:
            return _waiting(trial, wait, events)
        if trial.last:
            return _promote(trial, events)
        moved = replace(
            trial.candidate,
            step=trial.candidate.step + 1,
            step_since=None,
            progress_since=trial.now,
        )
        trial = replace(trial, candidate=moved, advance=False, look=None)
    return _take_back(trial, end, events)


def _run_rules(trial: Trial) -> tuple[Trial, Wait | None, End | None]:
    """Each rule in order; the first that waits or ends stops."""
    for rule in _RULES:
        verdict = rule(trial)
        if isinstance(verdict, End):
            return trial, None, verdict
        if isinstance(verdict, Wait):
            return trial, verdict, None
        if verdict is not trial.candidate:
            trial = replace(trial, candidate=verdict)
    return trial, None, None


def _find_end(trial: Trial) -> End | None:
    """Evidence against the candidate, gravest first."""
    complaint = find_complaint(trial.view)
    if complaint is not None and complaint.fatal:
        return End(Reason.RolledBack, complaint.reason, complaint.message)
    # By what was verified, too: after a crash the route may be taken back already.
    carried = trial.router.weights.get(trial.candidate.revision) or trial.candidate.weight
    asked = carried or trial.router.mirrored(trial.candidate.revision) or trial.candidate.mirror
    draining = any(p.terminating for p in trial.view.pods)
    if asked and trial.memory.stable and not trial.view.ready_ips and not draining:
        text = complaint.message if complaint else tell_loss(trial.view)
        where = mirroring.place(trial, carried)
        return End(Reason.RolledBack, Reason.PodsLost, f"it lost all its pods {where}: {text}")
    failure = analysis.find_failure(trial)
    if failure is not None:
        return failure
    deadline = seconds(trial.world.snapshot.spec.rollout.deadline)
    late = trial.now - trial.candidate.progress_since > deadline
    may_wait = trial.held or trial.stage.waits or _is_unasked(trial)
    if trial.candidate.step_since is None and late and trial.replicas and not may_wait:
        reason = complaint.reason if complaint else Reason.DeadlineExceeded
        text = f": {complaint.message}" if complaint else ""
        return End(
            Reason.RolledBack,
            reason,
            f"no progress within rollout.deadline ({trial.world.snapshot.spec.rollout.deadline}) "
            f"at {name_step(trial.candidate.step)}{text}",
        )
    return None


def _is_unasked(trial: Trial) -> bool:
    """Whether it stands and only waits for a check that could not be made: that is not its fault."""
    verdict = trial.world.snapshot.live.get(trial.candidate.revision)
    asked = verdict is not None and verdict.outcome is not Outcome.Errored
    return not asked and trial.view.ready_replicas >= trial.replicas


def _check_room(trial: Trial) -> Candidate | Wait | End:
    """Pods in stable's place: `rollout.capacity`. A person's pause holds back the next one."""
    if trial.held and trial.stage.waits:
        return _held_at(trial, trial.router.weights.get(trial.candidate.revision, 0))
    return room.check(trial)


def _check_scale(trial: Trial) -> Candidate | Wait | End:
    """Capacity before traffic: all pods of this step available."""
    view, wanted = trial.view, trial.replicas
    if wanted == 0:
        return Wait(
            Reason.CandidateStarting,
            "serving.replicas is 0, so nothing is tried; raise it to go on",
            clock_stops=True,
        )
    if view.scale >= wanted and view.ready_replicas >= wanted:
        return trial.candidate
    complaint = find_complaint(view)
    if complaint is not None:
        return Wait(complaint.reason, complaint.message)
    return Wait(
        Reason.CandidateStarting,
        f"{view.ready_replicas} of {wanted} pods of {trial.candidate.revision} are ready",
    )


def _check_live(trial: Trial) -> Candidate | Wait | End:
    """The gate's last part: every pod itself says what it serves, before the weight rises."""
    if trial.candidate.live_checked and trial.candidate.step_since is not None:
        return trial.candidate
    verdict = trial.world.snapshot.live.get(trial.candidate.revision)
    if verdict is None:
        return Wait(
            Reason.LiveChecksPending,
            f"{trial.candidate.revision} runs; its own answers are being checked",
            trial.now + CHECK_AGAIN,
        )
    if verdict.outcome is Outcome.Errored:
        return Wait(Reason.CheckErrored, verdict.message, trial.now + CHECK_AGAIN)
    if verdict.outcome is Outcome.Rejected:
        # By what clients ever had of it: the weight may be gone, with its pods or after a crash.
        kind = Reason.RolledBack if trial.candidate.served else Reason.Rejected
        bound = bound_by(trial.world.gate_hash, verdict.files)
        return End(kind, verdict.reason, verdict.message, bound)
    if trial.candidate.live_checked:
        return trial.candidate
    return replace(trial.candidate, live_checked=True, progress_since=trial.now)


def _check_held(trial: Trial) -> Candidate | Wait | End:
    """Held by a person: no weight rises. One that is written already is still verified."""
    if not trial.held or trial.candidate.step_since is not None or trial.written:
        return trial.candidate
    return _held_at(trial, trial.router.weights.get(trial.candidate.revision, 0))


def _held_at(trial: Trial, weight: int) -> Wait:
    if trial.candidate.suspended:
        text = f"{trial.candidate.revision} is held {mirroring.standing(trial, weight)} by spec.suspend"
        return Wait(Reason.Suspended, text, clock_stops=True)
    where = mirroring.standing(trial, weight)
    text = f"{trial.candidate.revision} is paused by hand {where}; the action resume ends that"
    return Wait(Reason.Paused, text, clock_stops=True)


def _check_members(trial: Trial) -> Candidate | Wait | End:
    """No weight before every router sees every pod of it."""
    carried = trial.router.weights.get(trial.candidate.revision)
    if trial.candidate.step_since is not None or (carried is not None and trial.written):
        return trial.candidate  # seen before this weight was written
    if carried is not None and trial.router.verified and trial.router.has_members(trial.view):
        return trial.candidate
    stale = ", ".join(p.name for p in trial.router.stale)
    return Wait(
        Reason.RouterSyncing,
        f"waiting until every router sees the pods of {trial.candidate.revision}"
        + (f"; behind: {stale}" if stale else ""),
        trial.now + LOOK_AGAIN,
    )


def _check_weight(trial: Trial) -> Candidate | Wait | End:
    """The weight counts once every router carries it."""
    if trial.candidate.step_since is not None:
        return trial.candidate
    if trial.written and trial.router.verified and mirroring.is_seen(trial):
        if not trial.stage.whole:
            text = f"{trial.candidate.revision} gives pods back to stable, as the step asks"
            return Wait(Reason.RouterSyncing, text, trial.now + LOOK_AGAIN)
        begun = replace(trial.candidate, step_since=trial.now, progress_since=trial.now)
        return replace(begun, weight=trial.weight, mirror=trial.mirrors)
    return mirroring.carrying(trial) or Wait(
        Reason.WeightChanged,
        f"{trial.weight} % for {trial.candidate.revision} is being carried to the routers",
        trial.now + LOOK_AGAIN,
    )


def _check_hold(trial: Trial) -> Candidate | Wait | End:
    """The step lasts its hold, counted from the verified weight."""
    if trial.last or trial.advance or trial.candidate.step_since is None:
        return trial.candidate
    step = trial.here
    until = trial.candidate.step_since + seconds(step.hold)
    if trial.now >= until:
        return trial.candidate
    return mirroring.holding(trial, until) or Wait(
        Reason.Holding,
        f"{trial.candidate.revision} holds at {trial.weight} % for {step.hold}",
        until,
        clock_stops=True,
    )


def _check_pause(trial: Trial) -> Candidate | Wait | End:
    """A person says when to go on."""
    if trial.held:
        return _held_at(trial, trial.weight)
    if trial.last or trial.advance or not trial.here.pause:
        return trial.candidate
    return Wait(
        Reason.Paused,
        f"{trial.candidate.revision} is paused at {trial.weight} % and waits for the action promote",
        clock_stops=True,
    )


_AT_WEIGHT = (
    Reason.WeightChanged,
    Reason.Holding,
    Reason.Mirroring,
    Reason.Paused,
    Reason.Suspended,
    Reason.AnalysisInconclusive,
    Reason.LockedBytesGone,
    Reason.SourcePending,
)

_RULES: tuple[Callable[[Trial], Candidate | Wait | End], ...] = (
    _check_room,
    _check_scale,
    _check_live,
    _check_held,
    _check_members,
    _check_weight,
    _check_hold,
    _check_pause,
    analysis.check,
    check_bytes,
)


def _within(candidate: Candidate, steps: int) -> Candidate:
    """Steps may have been edited: the index never leaves the list."""
    if candidate.step < steps:
        return candidate
    return replace(candidate, step=steps, step_since=None)  # 100 % is verified for itself


def _suspended(world: World, candidate: Candidate) -> Candidate:
    """spec.suspend as it is now; the deadline counts from the change."""
    if candidate.suspended == world.snapshot.spec.suspend:
        return candidate
    now = world.snapshot.now
    return replace(candidate, suspended=world.snapshot.spec.suspend, progress_since=now)


def _seen_serving(router: RouterState, candidate: Candidate) -> Candidate:
    """Whether clients had answers of it, by the written route, the step or status: after a crash
    the route may be taken back already."""
    had = router.weights.get(candidate.revision) or candidate.step > 0 or candidate.weight
    return replace(candidate, served=True) if had and not candidate.served else candidate


def _waiting(trial: Trial, wait: Wait, events: tuple[Event, ...]) -> Progress:
    candidate, deadline = trial.candidate, seconds(trial.world.snapshot.spec.rollout.deadline)
    if candidate.step_since is not None and not wait.clock_stops:
        # capacity went missing: the step starts over
        candidate = replace(candidate, step_since=None, progress_since=trial.now)
    elif trial.now - candidate.progress_since > deadline / 2 and (
        trial.replicas == 0 or trial.stage.waits or wait.reason is Reason.CheckErrored
    ):
        candidate = replace(candidate, progress_since=trial.now)  # seldom: each is a status write
    shares = trial.capacity.shares(trial.stage, _granted(trial, wait))
    mirror = mirroring.grant(trial, wait.reason in _AT_WEIGHT)
    if trial.router.verified:
        carried = trial.router.weights.get(candidate.revision, 0)
        mirrored = trial.router.mirrored(candidate.revision)
        if carried > candidate.weight:
            candidate = replace(candidate, progress_since=trial.now)  # each pod's share is progress
        candidate = replace(candidate, weight=carried, mirror=mirrored)
    if shares.weights[0] and not candidate.served:
        candidate = replace(candidate, served=True)  # with the same status as the weight
    if not (wait.clock_stops or trial.held):
        end = max(candidate.progress_since + deadline + 0.001, trial.now + LOOK_AGAIN)
        wait = replace(wait, wake_at=min(wait.wake_at or end, end))
    wait = room.with_downtime(trial, shares, analysis.until_counted(trial, wait))
    events = (*events, *room.stop_events(trial, shares))
    return Progress(replace(trial.memory, candidate=candidate), shares, wait, events, mirror)


def _granted(trial: Trial, wait: Wait) -> int:
    """The candidate's weight while it waits: this step's once its members are seen."""
    if not trial.view.ready_ips:
        return 0
    carried = trial.router.weights.get(trial.candidate.revision, 0)
    if trial.held and trial.candidate.step_since is None:
        return carried
    at_weight = wait.reason in _AT_WEIGHT
    return trial.weight if at_weight else carried


def _reached(before: Trial, after: Trial) -> tuple[Event, ...]:
    if before.candidate.step_since is not None or after.candidate.step_since is None:
        return ()
    text = f"{after.candidate.revision} carries {after.weight} % on every router"
    return (mirroring.reached(after) or Event(Reason.WeightChanged, text),)


def _promote(trial: Trial, events: tuple[Event, ...]) -> Progress:
    candidate, former = trial.candidate, trial.memory.stable
    memory = replace(
        trial.memory,
        stable=Stable(candidate.number, candidate.fingerprint, candidate.revision, trial.now),
        candidate=None,
    )
    text = f"{candidate.revision} serves all requests"
    if former is not None:
        text += f"; {former.revision} {room.former_words(trial)}"
        text += say_parting(trial.world, former)
        memory = memory.remember(
            Past(
                former.number,
                former.fingerprint,
                former.revision,
                Reason.Promoted,
                f"replaced by {candidate.revision}",
                trial.now,
            )
        )
    event = Event(Reason.Promoted, text)
    return Progress(memory, None, Wait(Reason.Promoted, text), (*events, event))


def _take_back(trial: Trial, end: End, events: tuple[Event, ...]) -> Progress:
    candidate = trial.candidate
    carried = trial.router.weights.get(candidate.revision, 0)
    text = f"{candidate.revision}: {end.sentence}"
    if end.kind is Reason.RolledBack:
        remedy = RETRY_REMEDY if end.reason is Reason.Aborted else LOSS_REMEDY
        text += f" ({mirroring.place(trial, carried)}; {remedy})"
    identity = (candidate.number, candidate.fingerprint, candidate.revision)
    entry = Rejection(*identity, end.kind, end.reason, text, trial.now, end.gate)
    memory = replace(trial.memory.reject(entry), candidate=None).remember(
        Past(*identity, end.kind, text, trial.now)
    )
    event = Event(end.kind, text, warning=True)
    return Progress(memory, None, Wait(end.reason, text), (*events, event))
