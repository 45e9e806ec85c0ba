"""One cycle's decision: `Snapshot → Plan`. Pure; the only door into this room.

memory ─► verbs ─► target ─► supersede? ─► start (gate) ─► rollout ─► route ─► writes ─► status
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from savedmodel_operator import status as status_builder
from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock
from savedmodel_operator.api.types import Compatibility, Gate
from savedmodel_operator.gate import Outcome, check_static
from savedmodel_operator.gate.budgets import check_size
from savedmodel_operator.gate.ops import with_serving_version
from savedmodel_operator.gate.verdict import Verdict
from savedmodel_operator.gate.warmup import check_warmup
from savedmodel_operator.plan import rollout, verbs
from savedmodel_operator.plan.actions import Action, Apply, Event, Plan
from savedmodel_operator.plan.capacity import Capacity, Shares
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.desired import Wanted, plan_writes, stop_fighting
from savedmodel_operator.plan.health import say_idle_autoscaler
from savedmodel_operator.plan.irreplaceable import tell
from savedmodel_operator.plan.memory import Candidate, Memory, Past, Rejection
from savedmodel_operator.plan.mirroring import first_step
from savedmodel_operator.plan.restorable import find_lack, say_kept
from savedmodel_operator.plan.routing import Retired, RouterState, build_route, find_retired
from savedmodel_operator.plan.scale import wanted_replicas
from savedmodel_operator.plan.snapshot import Snapshot
from savedmodel_operator.plan.target import Choice, Target, choose, choose_again, lost_sight
from savedmodel_operator.plan.trial import LOOK_AGAIN, Progress, Wait, steps_of
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.workload.revision import RevisionRecord

SETTLED = 10.0  # seconds after which an unanswering router is asked less often
TRUCE = 60.0  # seconds after which a child that others keep changing is looked at again
STALE_AGAIN = 5.0  # seconds between looks at such a router; what it answers wakes us anyway
WRITTEN_AGAIN = 1.0  # seconds after writes until the world is looked at again without an event


@dataclass(frozen=True)
class Turn:
    """The rollout's part of a cycle."""

    memory: Memory
    shares: Shares
    wait: Wait
    events: tuple[Event, ...]
    mirror: int = 0


def decide(snapshot: Snapshot) -> Plan:
    """The whole plan for one object."""
    world = World(snapshot)
    if snapshot.deleting:
        return Plan((), snapshot.status, (), None, Reason.Serving, "it is being deleted")
    before, router = world.recovered_memory(), RouterState(world)
    if not all(p.asked for p in router.running):
        text = "the routers are being asked what they carry"
        return Plan((), snapshot.status, (), snapshot.now + LOOK_AGAIN, Reason.RouterSyncing, text)
    handled = verbs.handle(snapshot, before, len(steps_of(world, before)))
    choice = choose(world, handled.memory)
    turn = _take_turn(world, router, handled, choice)
    choice = choose_again(world, choice, handled.memory, turn.memory)
    retired = find_retired(world, turn.memory)
    wanted = Wanted(
        memory=turn.memory,
        before=before,
        route=build_route(world, turn.memory, router, retired, turn.shares.weights, turn.mirror),
        retired=retired,
        shares=turn.shares,
        target=choice.target,
    )
    actions, left = stop_fighting(world, plan_writes(world, router, wanted))
    view = status_builder.Report(
        world, router, turn.memory, choice, turn.wait, retired, turn.shares, left
    )
    status = _status(snapshot, before, view)
    told = tell(world, turn.memory, status)
    return Plan(
        actions=actions,
        status=status,
        events=(*handled.events, *turn.events, *told, *_drift_events(actions)),
        wake_at=_wake_at(world, router, retired, turn.wait, actions),
        reason=turn.wait.reason,
        sentence=turn.wait.sentence,
        sync=handled.sync,
    )


def _status(snapshot: Snapshot, before: Memory, view: status_builder.Report) -> Mapping[str, Any]:
    """After a restart nothing is known of the bucket for a moment: what is stored holds until then,
    so that a restart alone writes nothing."""
    known = (
        snapshot.source.reason is not Reason.SourcePending or "conditions" not in snapshot.status
    )
    if not known and view.memory == before:
        return snapshot.status
    return status_builder.build(view)


def _take_turn(world: World, router: RouterState, handled: verbs.Handled, choice: Choice) -> Turn:
    memory, events = _supersede(world, router, handled.memory, choice)
    if memory.candidate is None:
        memory, wait, more = _start(world, router, memory, choice)
        events += more
        if memory.candidate is None:
            return _without_candidate(world, router, memory, wait, events)
    held = handled.memory.candidate
    same = held is not None and held.revision == memory.candidate.revision
    progress: Progress = rollout.advance(
        world, router, memory, handled.advance and same, handled.abort if same else None
    )
    events = (*events, *progress.events)
    if progress.shares is None:
        return _without_candidate(world, router, progress.memory, progress.wait, events)
    return Turn(progress.memory, progress.shares, progress.wait, events, progress.mirror)


def _without_candidate(
    world: World, router: RouterState, memory: Memory, wait: Wait, events: tuple[Event, ...]
) -> Turn:
    """Stable alone; where it was stopped for a candidate that failed, it comes back."""
    capacity = Capacity(world, router, memory)
    shares = capacity.shares(None, 0)
    if shares.nobody and memory.stable is not None:
        wait = replace(
            wait,
            reason=Reason.Recreating if wait.reason is Reason.Serving else wait.reason,
            sentence=f"{wait.sentence}; {capacity.return_words}",
            again=world.snapshot.now + LOOK_AGAIN if capacity.stable.ready_ips else None,
        )
    elif memory.stable is not None and capacity.told_silent:
        text = f"{memory.stable.revision} serves again"
        events = (*events, Event(Reason.WeightChanged, text))
    return Turn(memory, shares, wait, events)


def _supersede(
    world: World, router: RouterState, memory: Memory, choice: Choice
) -> tuple[Memory, tuple[Event, ...]]:
    """The candidate ends when something newer is wanted, never because the bucket lost sight of it.
    A first revision that has the requests already keeps them: there is nobody else to answer."""
    candidate, target = memory.candidate, choice.target
    if candidate is None or target is None or target.revision == candidate.revision:
        return memory, ()
    name, identity = world.snapshot.name, (candidate.number, candidate.fingerprint)
    served_alike = candidate.revision == names.revision_name(name, *identity, world.serving_hash)
    if served_alike and lost_sight(world, candidate, target):
        return memory, ()
    alone = memory.stable is None and router.weights.get(candidate.revision, 0) > 0
    if alone or _suspends(world, memory, target):
        return memory, ()
    text = f"{candidate.revision} gives way to {target.revision}"
    past = Past(
        candidate.number,
        candidate.fingerprint,
        candidate.revision,
        Reason.Superseded,
        text,
        world.snapshot.now,
    )
    return replace(memory, candidate=None).remember(past), (Event(Reason.Superseded, text),)


def _start(
    world: World, router: RouterState, memory: Memory, choice: Choice
) -> tuple[Memory, Wait, tuple[Event, ...]]:
    """A new candidate, if one is wanted, the way is free and the gate lets it in."""
    target = choice.target
    if target is None:
        return memory, Wait(choice.reason, choice.message), ()
    if memory.stable is not None and target.revision == memory.stable.revision:
        return memory, _serving(world, memory, choice), ()
    if _suspends(world, memory, target):
        text = f"version {target.number} waits, because spec.suspend is true; {_now(memory)}"
        return memory, Wait(Reason.Suspended, text), ()
    returning = _returns(world, target)
    leaving = _leaving(world, router, memory, target, returning)
    if leaving:
        return memory, Wait(Reason.Superseded, f"waiting until {leaving} is gone"), ()
    lack = find_lack(world, memory, target)
    if lack is not None:
        text = f"{target.revision} cannot be started: {lack}; {_now(memory)}"
        return memory, Wait(Reason.LockedBytesGone, text), ()
    if target.facts is None or target.lock is None:
        text = f"the headers of version {target.number} are being read"
        return memory, Wait(Reason.SourcePending, text), ()
    verdict = _judge(world, memory, target, target.facts, target.lock)
    if verdict.outcome is Outcome.Errored:
        return memory, Wait(Reason.CheckErrored, verdict.message), ()
    if verdict.outcome is Outcome.Rejected:
        return _refuse(world, memory, target, verdict.reason, verdict.message)
    return _let_in(world, memory, target, returning, verdict)


def _let_in(
    world: World, memory: Memory, target: Target, returning: bool, verdict: Verdict
) -> tuple[Memory, Wait, tuple[Event, ...]]:
    """The target becomes the candidate."""
    now = world.snapshot.now
    candidate = Candidate(
        target.number,
        target.fingerprint,
        target.revision,
        since=now,
        step=first_step(world, memory, returning=returning),
        progress_since=now,
        returning=returning and memory.stable is not None,
    )
    text = f"{target.revision} passed the gate and is started"
    if candidate.returning:
        text = f"{target.revision} was stable here before and comes back at once"
    event = Event(Reason.GatePassed, "; ".join([text, *verdict.notes]))
    memory = replace(memory.try_again(target.revision), candidate=candidate)
    return memory, Wait(Reason.GatePassed, text), (event,)


def _suspends(world: World, memory: Memory, target: Target) -> bool:
    """Whether spec.suspend keeps this target from being tried; back to stable is always free."""
    back = memory.stable is not None and memory.stable.revision == target.revision
    return world.snapshot.spec.suspend and not (back or _returns(world, target))


def _returns(world: World, target: Target) -> bool:
    """Pinned, and stable here before: the way back takes no steps."""
    pinned = world.snapshot.spec.versions.pinned is not None
    return pinned and bool(world.revision(target.revision).annotation(names.ANNOTATION_PROMOTED_AT))


def _now(memory: Memory) -> str:
    return f"version {memory.stable.number} serves" if memory.stable else "nothing serves yet"


def _judge(world: World, memory: Memory, target: Target, facts: ModelFacts, lock: Lock) -> Verdict:
    """All that can be told before a pod runs, in the gate's order."""
    gate, options = _gate_for(world, target), world.snapshot.spec.serving.options
    stable = _stable_record(world, memory)
    before, its_tags = (stable.facts, stable.tags) if stable else (None, None)
    return (
        check_size(lock.size, len(lock.objects), gate.budgets)
        or check_warmup(target.warmup, options.warmup)
        or check_static(facts, before, gate, options.tags, its_tags)
    )


def _serving(world: World, memory: Memory, choice: Choice) -> Wait:
    assert memory.stable is not None
    view, wanted = world.revision(memory.stable.revision), wanted_replicas(world, memory)
    text = f"version {memory.stable.number} serves on {view.ready_replicas} of {wanted} pods"
    text += say_kept(world, memory, wanted) + say_idle_autoscaler(view)
    if choice.missing is not None:
        text += f"; {choice.missing}"
    if choice.refused is not None:
        number, message = choice.refused.number, choice.refused.message
        why = message.removeprefix(f"version {number} is ").removeprefix(
            f"{choice.refused.revision}: "
        )
        text += f"; version {number} stays out: {why}"
    return Wait(Reason.Serving, text)


def _leaving(
    world: World, router: RouterState, memory: Memory, target: Target, returning: bool
) -> str | None:
    """A revision that ended as candidate and is not gone yet, for a return one that still has
    traffic. A former stable in its delay may stay."""
    for gone in find_retired(world, memory):
        ended = not returning and any(
            p.revision == gone.view.name and p.outcome is not Reason.Promoted
            for p in memory.history
        )
        weighted = router.weights.get(gone.view.name, 0) > 0
        if (ended or weighted) and gone.view.name != target.revision:
            return gone.view.name
    return None


def _stable_record(world: World, memory: Memory) -> RevisionRecord | None:
    """What stable offers to its clients, and by which tags, by its own record."""
    return world.revision(memory.stable.revision).record if memory.stable else None


def _gate_for(world: World, target: Target) -> Gate:
    """Stable here once: it skips compatibility when it comes back (design §2). The ops are compared
    with those of the serving image."""
    gate = with_serving_version(world.snapshot.spec.gate, world.snapshot.spec.serving.image)
    if world.revision(target.revision).annotation(names.ANNOTATION_PROMOTED_AT):
        off = Compatibility("None", gate.compatibility.clients)
        return msgspec.structs.replace(gate, compatibility=off)
    return gate


def _refuse(
    world: World, memory: Memory, target: Target, reason: Reason, message: str
) -> tuple[Memory, Wait, tuple[Event, ...]]:
    text = f"version {target.number} is refused before any traffic: {message}"
    entry = Rejection(
        target.number,
        target.fingerprint,
        target.revision,
        Reason.Rejected,
        reason,
        text,
        world.snapshot.now,
        world.gate_hash,
    )
    return (
        memory.reject(entry),
        Wait(Reason.Rejected, text),
        (Event(Reason.Rejected, text, warning=True),),
    )


def _drift_events(actions: Iterable[Action]) -> tuple[Event, ...]:
    return tuple(
        Event(Reason.DriftCorrected, f"put back {a.why}")
        for a in actions
        if isinstance(a, Apply) and a.drift
    )


def _wake_at(
    world: World,
    router: RouterState,
    retired: Iterable[Retired],
    wait: Wait,
    actions: tuple[Action, ...],
) -> float | None:
    """The earliest moment at which time alone may change the decision."""
    now = world.snapshot.now
    times = [gone.until for gone in retired if gone.until > now]
    if wait.wake_at is not None:
        times.append(wait.wake_at)
    if wait.again is not None:
        times.append(wait.again)
    if router.running and not router.verified and router.hash is not None:
        young = now - router.written_at < SETTLED
        times.append(now + (LOOK_AGAIN if young else STALE_AGAIN))
    if actions:
        times.append(now + WRITTEN_AGAIN)
    if world.snapshot.flaps:
        times.append(now + TRUCE)
    return min(times) if times else None
