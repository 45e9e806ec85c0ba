"""Which revision is wanted: the highest complete version, or the pinned one. Pure.

    highest complete version ──┬── not refused ──────────────────────────► target
                               └── refused ─► stable's own version under the present inputs
                                              (a new flag still rolls out) ─► target or none

    pinned ─► stable, candidate, a former stable, the bucket: the first that is this version

Under Latest a lower number never replaces a higher one by itself, and a serving version that
vanished from the bucket or was overwritten there goes on serving from its lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from savedmodel_operator.api import names
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, VersionView
from savedmodel_operator.api.types import Pinned, Spec
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.memory import (
    JUDGED_BY,
    Candidate,
    Memory,
    Rejection,
    Stable,
    unix,
)
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.workload.lock import read_lock


@dataclass(frozen=True)
class Target:
    """What should serve. `facts`, `lock` and `warmup` are what gate and workload need of it."""

    number: int
    fingerprint: str
    revision: str
    facts: ModelFacts | None
    lock: Lock | None
    warmup: str = ""


@dataclass(frozen=True)
class Choice:
    """The target, or why there is none; `refused` is the newer version that stays out."""

    target: Target | None
    reason: Reason
    message: str
    refused: Rejection | None = None
    missing: str | None = None  # why the pinned version cannot be had


def choose_again(world: World, known: Choice, before: Memory, now: Memory) -> Choice:
    """The same at the end of a cycle, where the memory that it rests on may be another one."""
    return known if _asked_by(before) == _asked_by(now) else choose(world, now)


def _asked_by(memory: Memory) -> tuple[object, ...]:
    """All of a memory that a choice looks at."""
    tried = memory.candidate
    identity = (tried.number, tried.fingerprint, tried.revision) if tried else None
    return memory.stable, identity, memory.high_water_mark, memory.rejected


def choose(world: World, memory: Memory) -> Choice:
    """The revision that is wanted now."""
    spec, source = world.snapshot.spec, world.snapshot.source
    if spec.versions.pinned is not None:
        return _choose_pinned(world, memory, spec.versions.pinned)
    newest = next((v for v in source.versions if v.complete), None)
    stable = memory.stable
    refused: Rejection | None = None
    if newest is not None and _goes_beyond(spec, newest, stable):
        target = _of_version(world, newest)
        refused = find_refusal(memory, target, world.gate_hash, world.snapshot.golden)
        if refused is None:
            if memory.high_water_mark is not None and target.number <= memory.high_water_mark:
                return Choice(
                    None,
                    Reason.Rejected,
                    f"version {target.number} is not above {memory.high_water_mark}, the highest "
                    "number that was refused before; use the action retry to try it again",
                )
            return Choice(target, Reason.Complete, f"version {target.number} is complete")
    if stable is None:
        if refused is not None:
            return Choice(None, refused.kind, refused.message, refused)
        return Choice(None, *_why_none(world))
    return _stable_again(world, memory, refused)


def _goes_beyond(spec: Spec, newest: VersionView, stable: Stable | None) -> bool:
    """A higher number, or other bytes under the serving one where these are to be rolled out."""
    if stable is None or newest.number > stable.number:
        return True
    same = newest.number == stable.number and newest.fingerprint != stable.fingerprint
    return same and spec.versions.on_overwrite == "Rollout"


def _choose_pinned(world: World, memory: Memory, pinned: Pinned) -> Choice:
    """What holds or held the traffic here first, then the bucket; no high-water mark."""
    held = (memory.stable, memory.candidate, *formers(world))
    here = next((h for h in held if h is not None and _is_pinned(h, pinned)), None)
    listed = next((v for v in world.snapshot.source.versions if _is_pinned(v, pinned)), None)
    if _replaces(world, memory, listed):
        here = None
    if here is not None:
        target = _of_held(world, here)
    elif listed is not None and listed.complete:
        target = _of_version(world, listed)
    else:
        missing = _why_missing(world, pinned)
        if memory.stable is None:
            reason = Reason.PinnedMissing if world.source_seen else world.snapshot.source.reason
            return Choice(None, reason, missing, missing=missing)
        return replace(_stable_again(world, memory, None), missing=missing)
    files = world.snapshot.golden
    refused = find_refusal(memory, target, world.gate_hash, files)
    if refused is None or _serves(memory, target):
        return Choice(target, Reason.Complete, f"version {target.number} is pinned")
    if memory.stable is None or here is memory.stable:
        return Choice(None, refused.kind, refused.message, refused)
    return _stable_again(world, memory, refused)


def _replaces(world: World, memory: Memory, listed: VersionView | None) -> bool:
    """Whether the pinned number serves, has other bytes in the bucket, and these are wanted."""
    stable, versions = memory.stable, world.snapshot.spec.versions
    if listed is None or stable is None or not listed.complete or versions.pinned is None:
        return False
    same = stable.number == listed.number and stable.fingerprint != listed.fingerprint
    return same and versions.pinned.fingerprint is None and versions.on_overwrite == "Rollout"


def lost_sight(world: World, candidate: Candidate, target: Target) -> bool:
    """Whether the target is another one only because the bucket does not show the candidate now:
    a lower number under Latest, or stable's own while it is overwritten once more."""
    versions = world.snapshot.spec.versions
    if versions.pinned is None and target.number < candidate.number:
        return True
    same = target.number == candidate.number and target.fingerprint != candidate.fingerprint
    exact = versions.pinned is not None and versions.pinned.fingerprint is not None
    if not same or exact or versions.on_overwrite != "Rollout":
        return False
    seen = find_identity(world.snapshot.source.versions, target.number, target.fingerprint)
    return seen is None or not seen.complete


def _serves(memory: Memory, target: Target) -> bool:
    return memory.stable is not None and memory.stable.revision == target.revision


def _is_pinned(held: Stable | Candidate | VersionView, pinned: Pinned) -> bool:
    same = pinned.fingerprint in (None, held.fingerprint)
    return held.number == pinned.number and same


def _why_missing(world: World, pinned: Pinned) -> str:
    source = world.snapshot.source
    listed = next((v for v in source.versions if v.number == pinned.number), None)
    name = f"version {pinned.number}, which versions.pinned names,"
    if listed is None:
        return f"{name} is not in {world.snapshot.spec.source.uri}: {source.message}"
    if pinned.fingerprint not in (None, listed.fingerprint):
        return f"{name} has other bytes in the bucket: {listed.fingerprint or 'not read yet'}"
    return f"{name} is not complete: {listed.message}"


def formers(world: World) -> tuple[Stable, ...]:
    """Revisions that were stable here and whose record is kept: those under the present serving
    inputs first, then the latest."""
    found = []
    for view in world.revisions.values():
        since = unix(view.annotation(names.ANNOTATION_PROMOTED_AT))
        if since is not None and view.record is not None:
            same = view.record.serving_hash == world.serving_hash
            held = Stable(view.record.number, view.record.fingerprint, view.name, since)
            found.append((same, since, held))
    return tuple(held for _, _, held in sorted(found, key=lambda f: f[:2], reverse=True))


def _stable_again(world: World, memory: Memory, refused: Rejection | None) -> Choice:
    assert memory.stable is not None
    target = _of_held(world, memory.stable)
    gate, files = world.gate_hash, world.snapshot.golden
    again = find_refusal(memory, target, gate, files)
    if again is not None and target.revision != memory.stable.revision:
        return Choice(None, again.kind, again.message, refused or again)
    return Choice(target, Reason.UpToDate, "stable is what is wanted", refused)


def find_refusal(
    memory: Memory, target: Target, gate: str, files: str | None = None
) -> Rejection | None:
    """The entry that keeps this target out. `files`: digest of the golden files, None: not read."""
    for entry in memory.rejected:
        if _binds(entry, target, gate, files):
            return entry
    return None


def _binds(entry: Rejection, target: Target, gate: str, files: str | None) -> bool:
    """Each kind of refusal by what it rests on; see `Rejection`."""
    if not entry.gate:
        return entry.revision == target.revision
    asked, live, judged = entry.gate.partition(JUDGED_BY)
    if asked != gate:
        return False
    if live:
        return entry.revision == target.revision and (files is None or judged in ("", files))
    return entry.number == target.number and entry.fingerprint == target.fingerprint


def _of_version(world: World, version: VersionView) -> Target:
    revision = names.revision_name(
        world.snapshot.name, version.number, version.fingerprint, world.serving_hash
    )
    return Target(
        version.number,
        version.fingerprint,
        revision,
        version.facts,
        version.lock,
        version.warmup,
    )


def _of_held(world: World, stable: Stable | Candidate) -> Target:
    """This identity under the present serving inputs; bytes by its own lock if need be."""
    view = world.revision(stable.revision)
    wanted = world.serving_hash
    revision = (
        stable.revision
        if view.record is not None and view.record.serving_hash == wanted
        else names.revision_name(world.snapshot.name, stable.number, stable.fingerprint, wanted)
    )
    listed = find_identity(world.snapshot.source.versions, stable.number, stable.fingerprint)
    lock = listed.lock if listed else None
    if lock is None and view.lock is not None:
        lock = read_lock(view.lock.body)
    facts = view.record.facts if view.record else (listed.facts if listed else None)
    return Target(stable.number, stable.fingerprint, revision, facts, lock)


def find_identity(
    versions: Iterable[VersionView], number: int, fingerprint: str
) -> VersionView | None:
    """The listed version with this number and these bytes."""
    return next((v for v in versions if v.number == number and v.fingerprint == fingerprint), None)


def _why_none(world: World) -> tuple[Reason, str]:
    source = world.snapshot.source
    if source.versions:
        first = source.versions[0]
        return first.reason, f"version {first.number}: {first.message}"
    return source.reason, source.message
