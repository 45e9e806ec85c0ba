"""When two moments of a story are the same but for times, amounts and names by chance.

What follows the same state was either followed to the story's end already or is being followed, so
that a run after a crash need not go on from there: stateful exploration, as model checkers do it.
A state is only told where the operator rests: its cache is up to date, and its last cycle wrote
nothing. Neighbours: `sim_crashes` prunes by it. Left out of a state: when things happened, how
many requests were counted, uids, resourceVersions, the serial numbers of pods, and texts for people.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from savedmodel_operator.api import names
from simulation.sim_actors import is_ready
from simulation.sim_api import Key
from simulation.sim_world import World

CHANCE = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z"  # times
    r'|uid-\d+|"(?:resourceVersion|generation|observedGeneration)":"?-?\d+"?'
    r'|"(?:message|next)":"(?:[^"\\]|\\.)*"'
    r'|"(?:requests|samples|observed|sequence|count)":[^,}]+'
)
DIGESTED = ("data", "binaryData")
"""What never changes, or has its hash among the annotations."""

PENDING = {"Kubelet._start", "Kubelet._become_ready"}
"""What pods still wait for. Other events come in any case, or find nothing to do where the operator
knows all that there is to know."""


class States:
    """Tells the states of one world; what did not change since is not computed again."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Any, str]] = {}

    def tell(self, world: World) -> int | None:
        """A number for the state, or None where the operator is not at rest."""
        if not _rests(world):
            return None
        return hash((self._seen(world), _reading(world)))

    def tell_death(self, world: World) -> int:
        """A number for what a dying operator leaves behind: at rest or not, it takes along what it
        knew."""
        return hash(("death", self._seen(world)))

    def tell_loss(self, world: World) -> int:
        """The same for a write whose answer is lost: the operator lives on, with what it knew."""
        held = world.api.objects
        stale = frozenset(k for k in {*held, *world.cache} if world.cache.get(k) is not held.get(k))
        why = world.operator_writes[-1]
        return hash(("loss", why, stale, self._seen(world), _reading(world)))

    def _seen(self, world: World) -> tuple[object, ...]:
        around = (_pods(world), _routers(world), _to_come(world))
        return (world.legs, self._objects(world), around)

    def _objects(self, world: World) -> tuple[object, ...]:
        held = world.api.objects
        bodies = tuple(self._text(k, held[k]) for k in sorted(held) if k[0] != "Pod")
        made = tuple(sorted((k, n) for k, n in world.api.creates.items() if k[0] != "Pod"))
        return bodies, made, tuple(sorted(world.api.deletes))

    def _text(self, key: Key, body: Mapping[str, Any]) -> str:
        held = self._known.get(key)
        if held is None or held[0] is not body:
            asked = {k: v for k, v in body.items() if k not in DIGESTED}
            text = msgspec.json.encode(asked).decode()
            held = self._known[key] = (body, CHANCE.sub("", text))
        return held[1]


def _rests(world: World) -> bool:
    """Whether the operator knows all that there is to know."""
    knows = world.routers_asked and world.bucket_listed and world.pods_asked
    if world.down or world.deaf or not knows:
        return False
    held = world.api.objects
    return world.cache.keys() == held.keys() and all(world.cache[k] is held[k] for k in held)


def _reading(world: World) -> tuple[bool, bool]:
    return world.metrics.key is not None, bool(world.metrics.began)


def _pods(world: World) -> frozenset[tuple[object, int]]:
    found = Counter(
        (
            pod["metadata"]["labels"].get(names.LABEL_REVISION),
            is_ready(pod),
            "deletionTimestamp" in pod["metadata"],
            "containerStatuses" in pod["status"],
        )
        for pod in world.api.of_kind("Pod")
    )
    return frozenset(found.items())


def _routers(world: World) -> frozenset[tuple[object, int]]:
    found: Counter[object] = Counter()
    for pod in world.routers.pods():
        carried = world.routers.carried.get(pod["metadata"]["name"])
        if carried is not None:
            members = tuple(sorted((n, len(m)) for n, m in carried.members.items()))
            found[(carried.hash, members)] += 1
    return frozenset(found.items())


def _to_come(world: World) -> frozenset[str]:
    """What is still on its way to a pod."""
    codes = (getattr(what, "__code__", None) for _, _, what in world.heap)
    waiting = {code.co_qualname.split(".<locals>")[0] for code in codes if code is not None}
    return frozenset(waiting & PENDING)
