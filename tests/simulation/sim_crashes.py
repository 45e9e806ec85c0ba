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
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile

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
from simulation.sim_states import States
from simulation.sim_world import Fault, World

MODES = {"before": "before", "lost": "lost", "end": "after"}
"""Where a world may be struck → the mode of the fault that plays it again. Between two writes of
one cycle no time passes and nothing is read, so that "after" the first is "before" the second."""


Since = tuple[int, int, int]
"""Cycles, writes, timed plans so far."""


@dataclass
class Tally:
    """What was played, and what failed: the command, the complaint, the transcript."""

    runs: int = 0
    points: int = 0  # single crash points
    pairs: int = 0
    merged: int = 0  # of these, those that came to a known state before the story's end
    equal: int = 0  # points and pairs that leave a world which was struck alike: not played
    cycles: int = 0
    writes: int = 0
    seconds: Counter[int] = field(default_factory=Counter)  # of plans, by `bin_of`
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Both together."""
        for name in ("runs", "points", "pairs", "merged", "equal", "cycles", "writes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds += other.seconds
        self.failures += other.failures

    def count(self, world: World, since: Since = (0, 0, 0)) -> None:
        """One more run, from where it became one of its own."""
        cycles, writes, timed = since
        self.runs += 1
        self.cycles += world.cycles - cycles
        self.writes += len(world.operator_writes) - writes
        self.seconds.update(map(bin_of, world.plan_seconds[timed:]))


def progress_of(world: World) -> Since:
    """How far a world has come."""
    return world.cycles, len(world.operator_writes), len(world.plan_seconds)


SHARED = "promotion"
"""Whose beginning most stories have: what they have in common, word for word, is struck there."""

CHAINS = {"spec_chain"}
"""Which of their specs got a revision depends on when they were looked at: only what serves at the
end is the same."""

WRITE = re.compile(r" *[\d.]+ +\d+ ")
"""A line of the transcript about a write."""

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


class Merged(Exception):
    """The world is as it was in a run that was followed from there to its end."""


Reply = tuple[Tally, set[int], set[int], set[int]]
"""What a child tells: its tally, the states it went through with and without second crashes, and the
moments at which it was struck a second time."""


class Explorer:
    """Forks a world at each of its writes. `second`: the writes after which a second crash is tried
    as well. `struck`, `known`: states from which every further crash is tried, and all others from
    which a run was followed to its end."""

    def __init__(self, name: str, seed: int, thorough: bool) -> None:
        self.name, self.seed, self.thorough = name, seed, thorough
        self.states = States()
        self.struck: set[int] = set()
        self.known: set[int] = set()
        self.faults: tuple[Fault, ...] = ()
        self.world = make(seed)
        self.world.at_rest = lambda: self._pass(self.struck)
        self.moments: set[int] = set()  # at which a run without faults is struck
        self.world.strikes = self._note
        play_in(self.world, name)
        self.reference = self.world
        self.wanted = end_state(self.reference)
        self.second = rollback_writes(self.reference)
        self.common = 0 if name == SHARED else common_writes(self.reference, _shared(seed))
        self.world = make(seed)
        self.tally = Tally()
        self.own: set[int] = set()  # states of this run
        self.beyond: set[int] = set()  # of runs with one more crash
        self.once: set[int] = set()  # moments that were struck first
        self.twice: set[int] = set()  # and as the second of two
        self.more: set[int] = set()  # of these, this child's
        self.since: Since = (0, 0, 0)
        self.pipe: int | None = None  # in a child: where its tally goes
        self._passed: tuple[object, ...] = ()

    def strike(self, mode: str, number: int) -> bool:
        """Asked by the world at each place where its operator may die."""
        if mode not in MODES or len(self.tally.failures) >= ENOUGH or not self._tried(mode, number):
            return False
        if not self.thorough and self._known(mode):
            self.tally.equal += 1
            return False
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.pipe, self.tally, self.since = writer, Tally(), progress_of(self.world)
            self.own, self.beyond, self.more = set(), set(), set()
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
            return self.thorough or number >= self.common
        return len(self.faults) == 1 and self._pairs and mode != "end" and returning(self.world)

    def _note(self, mode: str, number: int) -> bool:
        if mode in MODES:
            self.moments.add(self._moment(mode))
        return False

    def _moment(self, mode: str) -> int:
        tell = self.states.tell_loss if mode == "lost" else self.states.tell_death
        return tell(self.world)

    def _known(self, mode: str) -> bool:
        """Whether the same befell the same world already, or will without another crash before."""
        moment = self._moment(mode)
        if not self.faults:
            known = moment in self.once
            self.once.add(moment)
        else:
            known = moment in self.moments or moment in self.twice
            self.twice.add(moment)
            self.more.add(moment)
        return known

    @property
    def _pairs(self) -> bool:
        """Whether a second crash is tried in this run."""
        [first] = self.faults
        return first.write in self.second and first.mode != "after"

    def rest(self) -> None:
        """Asked by the world whenever its operator rests. Raises Merged."""
        marks = (self.world.marks(), self.world.legs)
        if marks != self._passed and self._pass(self.own):
            self._passed = marks

    def _pass(self, seen: set[int]) -> bool:
        state = self.states.tell(self.world)
        if state is None:
            return False
        both = len(self.faults) == 1 and self._pairs
        if self.faults and (state in self.struck or (not both and state in self.known)):
            raise Merged
        seen.add(state)
        return True

    def _hear(self, told: bytes, fault: Fault) -> None:
        if not told:
            case = Case(self.name, self.seed, (*self.faults, fault))
            self.tally.failures.append(f"{case.command}\n  its process died")
            return
        tally, struck, known, twice = pickle.loads(told)  # our own child's
        self.tally.add(tally)
        if not tally.failures:
            self.twice |= twice
            self.struck |= struck
            self.known |= known
            self.beyond |= known

    def play(self) -> Tally:
        """All of it. Does not return in a child."""
        world = self.world
        world.strikes = self.strike
        if not self.thorough:
            world.at_rest = self.rest
        gc.disable()  # the children live for a moment, and collecting copies every page they share
        failure = ""
        try:
            play_in(world, self.name)
            if self.faults:
                self._compare(world)
        except Merged:
            self.tally.merged += 1
        except Exception as error:
            failure = complaint(Case(self.name, self.seed, self.faults), world, error)
        self.tally.count(world, self.since)
        if failure:
            self.tally.failures.append(failure)
        if self.pipe is None:
            return self.tally
        self._tell(self.pipe)
        os._exit(0)

    def _tell(self, pipe: int) -> None:
        if len(self.faults) == 1:
            self.tally.points += 1
        else:
            self.tally.pairs += 1
        both = len(self.faults) == 1 and self._pairs
        struck = self.own if both else set()
        reply: Reply = (self.tally, struck, self.beyond | self.own, self.more)
        with os.fdopen(pipe, "wb") as stream:
            stream.write(pickle.dumps(reply))

    def _compare(self, world: World) -> None:
        """Sieve's oracle: the same end, and nothing made twice."""
        found, wanted = end_state(world), self.wanted
        if self.name in CHAINS:
            found, wanted = found["weights"], wanted["weights"]
        assert found == wanted, f"ends as {found}, wanted {wanted}"
        if len(self.faults) == 1 and self.name not in CHAINS:
            twice = surplus(world, self.reference, again=self.name in RETURNING)
            assert not twice, f"makes things twice: {twice}"


@lru_cache(maxsize=4)
def _shared(seed: int) -> World:
    return play(SHARED, seed)


def common_writes(one: World, other: World) -> int:
    """The writes before which both worlds went through the very same."""
    same = takewhile(
        lambda pair: pair[0] == pair[1], zip(one.transcript, other.transcript, strict=False)
    )
    return sum(bool(WRITE.match(line)) for line, _ in same)


def play_seeds(name: str, seeds: range) -> Tally:
    """A story under each of these seeds, without crashes."""
    tally = Tally()
    gc.disable()  # worlds are collected together: a tenth of the time
    try:
        for seed in seeds:
            world = make(seed)
            failure = Case(name, seed).attempt_in(world)
            tally.count(world)
            if failure:
                tally.failures.append(failure)
    finally:
        gc.enable()
    return tally


def explore(name: str, seed: int, *, thorough: bool = False) -> Tally:
    """Every crash point of a story in every mode; in a rollback every pair of two. What leaves the
    same world behind is played once, a run after a crash ends where its state is one that was
    followed already, and what the story has in common with `SHARED` is struck there alone.
    `thorough` plays all of it, each to the story's end."""
    tally = Explorer(name, seed, thorough).play()
    gc.enable()
    return tally
