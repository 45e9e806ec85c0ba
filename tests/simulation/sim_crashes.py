"""Every crash point of a story, and every pair in its rollback, by forking the running world.

A story is played once more; at each write the process forks, the child's operator dies there and
the child plays on to the end of the story, while the parent waits and goes on without the crash.
What came before a crash point is thus never played twice. Must run in a process of its own that
has one thread. Neighbours: `sim_play` has the story's end and what it is compared with.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulation.sim_play import (
    RETURNING,
    Case,
    complaint,
    end_state,
    play,
    play_in,
    returning,
    rollback_writes,
    surplus,
)
from simulation.sim_scenarios import make
from simulation.sim_world import Fault, World

MODES = {"before": "before", "lost": "lost", "end": "after"}
"""Where a world may be struck → the mode of the fault that plays it again. Between two writes of
one cycle no time passes and nothing is read, so that "after" the first is "before" the second."""


@dataclass
class Tally:
    """What was played, and what failed: the command, the complaint, the transcript."""

    runs: int = 0
    points: int = 0  # single crash points
    pairs: int = 0
    cycles: int = 0
    writes: int = 0
    seconds: Counter[int] = field(default_factory=Counter)  # of plans, by `bin_of`
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Both together."""
        for name in ("runs", "points", "pairs", "cycles", "writes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds += other.seconds
        self.failures += other.failures

    def count(self, world: World) -> None:
        """One more run."""
        self.runs += 1
        self.cycles += len(world.plan_seconds)
        self.writes += len(world.operator_writes)
        self.seconds.update(map(bin_of, world.plan_seconds))


WHOLE = ("first_revision", "promotion")
"""Stories whose crash points are played from the first write on, always."""

SHARE = 8
"""The others play each eighth write of that part, each story another one."""

EACH_PAIR = 2
"""Pairs begin at each second write of a rollback: they grow with its square."""

ENOUGH = 3
"""Failures after which nothing more is tried."""

FINENESS = 1.05
"""Each bin of plan times reaches 5 % further than the one before; the first is 10 µs."""


def bin_of(seconds: float) -> int:
    """The bin of a time."""
    return max(0, math.ceil(math.log(max(seconds, 1e-9) / 1e-5, FINENESS)))


def quantile(bins: Mapping[int, int], share: float) -> float:
    """The time in seconds below which this share of all lies; the upper edge of its bin."""
    left = share * sum(bins.values())
    for place in sorted(bins):
        left -= bins[place]
        if left <= 0:
            return float(1e-5 * FINENESS**place)
    return 0.0


class Explorer:
    """Forks a world at each of its writes. `first`: the writes that are struck; `second`: those
    after which a second crash is tried as well."""

    def __init__(
        self, name: str, seed: int, reference: World, thorough: bool, each: int = 1
    ) -> None:
        self.name, self.seed, self.reference, self.thorough = name, seed, reference, thorough
        self.each = each
        self.wanted = end_state(reference)
        self.world = make(seed)
        self.tally = Tally()
        self.faults: tuple[Fault, ...] = ()
        self.second = rollback_writes(reference)
        self.pipe: int | None = None  # in a child: where its tally goes

    def strike(self, mode: str, number: int) -> bool:
        """Asked by the world at each place where its operator may die."""
        if mode not in MODES or len(self.tally.failures) >= ENOUGH or not self._tried(mode, number):
            return False
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            gc.disable()  # it lives for a moment, and collecting copies every page it shares
            os.close(reader)
            self.pipe, self.tally = writer, Tally()
            self.faults = (*self.faults, Fault(number, MODES[mode]))
            return True
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            told = stream.read()
        os.waitpid(pid, 0)
        self._hear(told, Fault(number, MODES[mode]))
        return False

    def _tried(self, mode: str, number: int) -> bool:
        if not self.faults:
            return self.thorough or self._is_own(number)
        if len(self.faults) > 1 or mode == "end" or not returning(self.world):
            return False
        [first] = self.faults
        if not self.thorough and (first.mode, mode) != ("lost", "before"):
            return False
        if not self.thorough and self.each == 1 and first.write % EACH_PAIR:
            return False
        return first.write in self.second and first.mode != "after"

    def _is_own(self, number: int) -> bool:
        """Whether this write is the story's own, or its share of what all stories begin with: the
        writes until version 1 serves are most of the work and the same in all."""
        own = self.name in WHOLE or self.world.stable_number() is not None
        return (number + zlib.crc32(self.name.encode())) % (self.each if own else SHARE) == 0

    def _hear(self, told: bytes, fault: Fault) -> None:
        if told:
            self.tally.add(pickle.loads(told))  # our own child's
        else:
            case = Case(self.name, self.seed, (*self.faults, fault))
            self.tally.failures.append(f"{case.command}\n  its process died")

    def play(self) -> Tally:
        """All of it. Does not return in a child."""
        world = self.world
        world.strikes = self.strike
        gc.freeze()
        failure = ""
        try:
            play_in(world, self.name)
            if self.faults:
                self._compare(world)
        except Exception as error:
            failure = complaint(Case(self.name, self.seed, self.faults), world, error)
        self.tally.count(world)
        if failure:
            self.tally.failures.append(failure)
        if self.pipe is None:
            return self.tally
        if len(self.faults) == 1:
            self.tally.points += 1
        else:
            self.tally.pairs += 1
        with os.fdopen(self.pipe, "wb") as stream:
            stream.write(pickle.dumps(self.tally))
        os._exit(0)

    def _compare(self, world: World) -> None:
        """Sieve's oracle: the same end, and nothing made twice."""
        found = end_state(world)
        assert found == self.wanted, f"ends as {found}, wanted {self.wanted}"
        if len(self.faults) == 1:
            twice = surplus(world, self.reference, again=self.name in RETURNING)
            assert not twice, f"makes things twice: {twice}"


def play_seeds(name: str, seeds: range) -> Tally:
    """A story under each of these seeds, without crashes."""
    tally = Tally()
    for seed in seeds:
        world = make(seed)
        failure = Case(name, seed).attempt_in(world)
        tally.count(world)
        if failure:
            tally.failures.append(failure)
    return tally


def explore(name: str, seed: int, *, thorough: bool = True, each: int = 1) -> Tally:
    """Every crash point of a story in every mode; in a rollback every pair of two. Without
    `thorough` only its share of those before version 1 serves, and pairs of a lost answer and a
    death before a later write, which begin at each second. `each`: one write in so many is struck
    at first."""
    return Explorer(name, seed, play(name, seed), thorough, each).play()
