"""Plays a story under a seed and faults, and says what went wrong so that a person can follow.

Used by the tests, by `dev/soak` and for the transcripts in docs. Must not decide what a story is:
`sim_stories` has them, `sim_invariants` says what must hold in all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulation.sim_api import OWNER, Key
from simulation.sim_invariants import quiesces, watch, written_weights
from simulation.sim_scenarios import make
from simulation.sim_stories import EVERY
from simulation.sim_world import Fault, World

REFERENCE_SEED = 7

RETURNING = {"abort_and_retry", "golden_failure", "pinned_mid_rollout", "overwrite_rolled_back"}
"""Here a version is wanted again while its objects are being deleted: a crash decides which of them
are still there and need not be made again; what is made once more was deleted once more."""


WEIGHT_OF_2 = re.compile(r"^route .*-v2-\w+ [1-9]")
RUNS = ("Deployment", "Service", "PodDisruptionBudget", "Pod")


def play(name: str, seed: int, *faults: Fault) -> World:
    """One run to its end and into silence."""
    world = make(seed, *faults)
    play_in(world, name)
    return world


def play_in(world: World, name: str) -> None:
    """The same in a world that the caller made."""
    watch(world)
    world.disturb()
    EVERY[name](world)
    quiesces(world)
    put_back = [text for reason, text in world.events if reason == "DriftCorrected"]
    edited = name.endswith("drift")
    assert edited or not put_back, f"own changes are no drift: {put_back}"


def end_state(world: World) -> Mapping[str, Any]:
    """What must be the same however often the operator died: Sieve's differential oracle."""
    owner = world.api.objects.get(OWNER)
    status = owner["status"] if owner else {}
    return {
        "objects": sorted(k for k in world.api.objects if k[0] != "Pod"),
        "weights": written_weights(world),
        "stable": (status.get("stable") or {}).get("revision"),
        "candidate": status.get("candidate"),
        "rejected": [(r["revision"], r["kind"], r["reason"]) for r in status.get("rejected", ())],
    }


def surplus(world: World, reference: World, *, again: bool = False) -> dict[Key, int]:
    """Objects created more often than in the reference run. Fewer is fine: an operator that comes
    back late may find that a failed candidate no longer needs the rest of its objects.

    `again`: what was deleted more often, too, may be made as often again.
    """
    more = world.api.creates - reference.api.creates
    if again:
        more -= world.api.deletes - reference.api.deletes
    return {k: n for k, n in more.items() if k[0] != "Pod"}


def rollback_writes(world: World) -> range:
    """If version 2 was taken back: the writes after the last one that gave it a weight, or from its
    first where it never got one, to the last about it."""
    if not any(entry[1] == "RolledBack" for entry in end_state(world)["rejected"]):
        return range(0)
    about = [n for n, why in enumerate(world.operator_writes) if "-v2-" in why]
    raised = [n for n in about if WEIGHT_OF_2.search(world.operator_writes[n])]
    return range(raised[-1] + 1 if raised else about[0], about[-1] + 1)


def returning(world: World) -> bool:
    """Whether anything of version 2 still runs, so that its way back is not over."""
    return any("-v2-" in name for kind, name in world.api.objects if kind in RUNS)


@dataclass(frozen=True)
class Case:
    """One run: a story, a seed, and where the operator dies."""

    name: str
    seed: int
    faults: tuple[Fault, ...] = ()

    @property
    def command(self) -> str:
        """What plays it again."""
        dies = "".join(f" --crash {f.mode}@{f.write}" for f in self.faults)
        return f"dev/soak --seeds 1 --first {self.seed}{dies} {self.name}"

    def attempt(self, wanted: Mapping[str, Any] | None = None) -> str:
        """Plays it: "" when all is well, else what went wrong with the transcript. `wanted`: the
        end state of the run without faults."""
        return self.attempt_in(make(self.seed, *self.faults), wanted)

    def attempt_in(self, world: World, wanted: Mapping[str, Any] | None = None) -> str:
        """The same in a world that the caller made."""
        try:
            play_in(world, self.name)
            found = end_state(world)
            assert wanted is None or found == wanted, f"ends as {found}, wanted {wanted}"
        except Exception as error:
            return complaint(self, world, error)
        return ""


def complaint(case: Case, world: World, error: Exception) -> str:
    """What a person needs of a failed run: the command, what is wrong, the transcript."""
    first = str(error).splitlines()[0] if str(error) else ""
    return f"{case.command}\n  {type(error).__name__}: {first}\n{readable(world)}"


def readable(world: World) -> str:
    """The transcript for people: times from the start, each decision once, its writes below."""
    lines: list[str] = []
    said = ""
    for line in world.transcript:
        time, text = line[:9], line[9:].rstrip()
        if text.startswith(("   ", " >")):
            lines.append(f"{'':9}{text}")
        elif text != said:
            lines.append(f"{time} s {text}")
            said = text
    return "\n".join(lines)
