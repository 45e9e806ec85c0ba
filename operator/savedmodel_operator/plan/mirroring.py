"""The step before the first weight: the routers copy requests to the candidate. Pure.

    gate ─► scaled ─► live checks ─► members ─► copies ─► hold, analysis ─► step 0

It is a step like any other, with the number -1 and no weight: `rollout` has its rules, and what is
different about it stands here. A candidate takes it where there is a stable one to compare with,
whose requests can be copied, and where it is no way back. One that has left it never comes again
to it, so that a mirror that is written into a running rollout is the next one's.
"""

from __future__ import annotations

from dataclasses import replace

from savedmodel_operator.api.mirror import MIRROR_STEP, Mirror
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.actions import Event
from savedmodel_operator.plan.capacity import SURGE
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import Candidate, Memory, timestamp
from savedmodel_operator.plan.routing import RouterState
from savedmodel_operator.plan.trial import LOOK_AGAIN, Trial, Wait
from savedmodel_operator.workload.envoy_mirror import mirror_name


def mirror_of(world: World, memory: Memory, *, returning: bool) -> Mirror | None:
    """The mirror that a candidate has to pass, if any."""
    alone = world.snapshot.spec.rollout.capacity != SURGE  # no pod stands beside stable's
    if memory.stable is None or returning or alone:
        return None
    return world.snapshot.spec.rollout.mirror


def first_step(world: World, memory: Memory, *, returning: bool) -> int:
    """Where a new candidate begins."""
    return 0 if mirror_of(world, memory, returning=returning) is None else MIRROR_STEP


def still_there(
    world: World, router: RouterState, memory: Memory, candidate: Candidate, by_hand: bool
) -> Candidate:
    """A mirror that was taken out of the spec is over. One that is in status and not in the route
    (a crash came between the route's next step and status) starts over: its members are waited for
    anew, or the first copies would fail and count against it. `by_hand`: a person leaves it now."""
    if candidate.step != MIRROR_STEP:
        return candidate
    if mirror_of(world, memory, returning=candidate.returning) is not None:
        lost = candidate.step_since is not None and not router.mirrored(candidate.revision)
        return replace(candidate, step_since=None) if lost and not by_hand else candidate
    return replace(candidate, step=0, step_since=None, progress_since=world.snapshot.now)


def grant(trial: Trial, at_weight: bool) -> int:
    """Percent of copies while it waits: this step's once its members are seen."""
    if not trial.mirrors or not trial.view.ready_ips:
        return 0
    written = trial.router.mirrored(trial.candidate.revision)
    if trial.held and trial.candidate.step_since is None:
        return written
    return trial.mirrors if at_weight else written


def is_seen(trial: Trial) -> bool:
    """Whether copies arrive: Envoy finds the pods for them anew, and what it sends before counts as
    a failure."""
    copies = mirror_name(trial.candidate.revision)
    return not trial.mirrors or trial.router.has_members(trial.view, copies)


def carrying(trial: Trial) -> Wait | None:
    """In the mirror step: the copies are on their way to the routers."""
    if not trial.mirrors:
        return None
    what = f"mirroring {trial.mirrors} % of requests to {trial.candidate.revision}"
    text = f"{what} is being carried to the routers"
    return Wait(Reason.Mirroring, text, trial.now + LOOK_AGAIN)


def holding(trial: Trial, until: float) -> Wait | None:
    """In the mirror step: it lasts its hold."""
    if not trial.mirrors:
        return None
    text = (
        f"the router mirrors {trial.mirrors} % of requests to {trial.candidate.revision} until "
        f"{timestamp(until)[11:19]} UTC; clients get none of its answers"
    )
    return Wait(Reason.Mirroring, text, until, clock_stops=True)


def reached(trial: Trial) -> Event | None:
    """The event of a mirror that every router has."""
    if not trial.mirrors:
        return None
    text = f"every router mirrors {trial.mirrors} % of requests to {trial.candidate.revision}"
    return Event(Reason.Mirroring, text)


def standing(trial: Trial, weight: int) -> str:
    """Where it is held, for sentences."""
    return "in the mirror step" if trial.mirrors else f"at {weight} %"


def place(trial: Trial, weight: int) -> str:
    """What clients had of it, for sentences about its end."""
    copied = trial.router.mirrored(trial.candidate.revision) or trial.candidate.mirror
    if copied and not weight:
        return f"while {copied} % of requests were mirrored to it"
    return f"at {weight} %"
