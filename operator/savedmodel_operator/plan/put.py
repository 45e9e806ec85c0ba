"""Create a child, or put back the first field that differs; and whose change that was. Pure.

A child that never changes by itself (a frozen manifest) differs only because somebody changed it:
that is drift. What follows the spec, or the release, carries the hash of what was applied last; a
difference under another hash is our own change and no fight with anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import msgspec

from savedmodel_operator.api import names
from savedmodel_operator.plan.actions import Action, Apply, Create, Manifest
from savedmodel_operator.plan.children import World
from savedmodel_operator.plan.snapshot import Observed
from savedmodel_operator.workload.drift import first_difference


def put(world: World, manifest: Manifest, why: str = "") -> Iterator[Action]:
    """A frozen child. `why`: this change is ours, in these words."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    seen = world.find(kind, name)
    if seen is None:
        yield Create(manifest, why or f"{kind} {name} is missing")
        return
    changed = difference(seen, manifest)
    if changed is not None:
        text = why or f"{kind} {name}: {changed}"
        yield Apply(manifest, seen.uid, seen.resource_version, text, drift=not why)


def put_ours(world: World, manifest: Manifest) -> Iterator[Action]:
    """A child that follows the spec. Without its hash somebody took that away: drift, too."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    seen = world.find(kind, name)
    stamped = _stamped(seen, manifest)
    if seen is None:
        yield Create(stamped, f"{kind} {name} is missing")
        return
    if _applied(seen.body) in (None, _applied(stamped)):
        yield from put(world, stamped)
        return
    changed = difference(seen, manifest) or "what was applied last"
    yield from put(world, stamped, f"{kind} {name} follows the spec: {changed}")


def put_back(world: World, manifest: Manifest) -> Iterator[Action]:
    """The same while it must not follow the spec: only what others changed of what was applied last,
    so that it is ours and as large as it was at any time."""
    seen = world.find(manifest["kind"], manifest["metadata"]["name"])
    stamped = _stamped(seen, manifest)
    if seen is None or _applied(seen.body) == _applied(stamped):
        yield from put(world, stamped)


def _applied(body: Manifest) -> str | None:
    """The hash that it carries."""
    found: str | None = (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_APPLIED)
    return found


_STAMPED: WeakKeyDictionary[Observed, tuple[Manifest, Manifest]] = WeakKeyDictionary()


def _stamped(seen: Observed | None, manifest: Manifest) -> Manifest:
    """With its hash; the same one again while neither the child nor the wish changes."""
    held = _STAMPED.get(seen) if seen is not None else None
    if held is None or held[0] != manifest:
        held = (manifest, _stamp(manifest))
        if seen is not None:
            _STAMPED[seen] = held
    return held[1]


def _stamp(manifest: Manifest) -> Manifest:
    text = msgspec.json.encode(manifest, order="deterministic")
    mark = {names.ANNOTATION_APPLIED: hashlib.sha256(text).hexdigest()[:16]}
    metadata = manifest["metadata"]
    marks = {**(metadata.get("annotations") or {}), **mark}
    return {**manifest, "metadata": {**metadata, "annotations": marks}}


_COMPARED: WeakKeyDictionary[Observed, tuple[tuple[Manifest, str | None], ...]] = (
    WeakKeyDictionary()
)
WISHES = 2  # a budget may be wanted in either of two forms


def difference(seen: Observed, manifest: Manifest) -> str | None:
    """Words for the first field that differs. Compared once per observation: most cycles ask about
    objects that have not changed. The answer lives as long as the observation."""
    known = _COMPARED.get(seen, ())
    for wish, answer in known:
        if wish == manifest:
            return answer
    answer = first_difference(msgspec.json.decode(msgspec.json.encode(manifest)), seen.body)
    _COMPARED[seen] = ((manifest, answer), *known)[:WISHES]
    return answer
