"""Random faults between operator and API server for minutes: nothing of it may stay behind.

A day of this is `CAMPAIGN_SOAK=86400 dev/campaign G5`; what is run by default is far shorter, and says
how long it was.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from campaign_case import Seen, case
from fleet import Fleet
from fleet_fixtures import Start
from replica import Replica
from story_of_objects import Stories

from lab.injection import (
    ApiProxy,
    CutWatch,
    Delay,
    ExpireWatch,
    LoseAnswer,
    Match,
    Partition,
    Refuse,
    ShiftDate,
)
from lab.objects import Step

SECONDS = float(os.environ.get("CAMPAIGN_SOAK", "90"))
SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
OBJECTS = tuple(f"soak-{index}" for index in range(4))
STEPS = (Step(50, 1.0),)
WARM = 30.0  # seconds until everything that is loaded once was loaded
GROWTH = 1.15
MORE = 12 * 1024 * 1024
WRITES = Match(verbs={"create", "update", "patch", "delete"})


@dataclass
class Held:
    """Memory and descriptors over time."""

    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def take(self, replica: Replica) -> None:
        self.resident.append(replica.resident())
        self.descriptors.append(replica.descriptors())

    def thirds(self, values: list[int]) -> tuple[float, float]:
        """Medians of the first and the last third."""
        size = max(1, len(values) // 3)
        return median(values[:size]), median(values[-size:])


@case(
    "G5",
    injection=f"random faults for {SECONDS:.0f} s (seed {SEED}): delays, 409, 429, 500, lost answers, "
    "dropped and expired watches, wrong dates, short partitions, while versions come",
    expected="memory and descriptors flat; every object serves its newest version afterwards",
    where="control plane",
)
def test_g5_random_faults(fleet: Fleet, start: Start, tmp_path: Path, seen: Seen) -> None:
    chance, held, number, struck = random.Random(SEED), Held(), 1, 0
    with ApiProxy(fleet.kubeconfig, tmp_path / "proxy") as proxy, fleet.stories() as stories:
        operator = start("soak", proxy.kubeconfig())
        operator.wait_leading()
        for name in OBJECTS:
            fleet.upload(1, name)
            fleet.apply(fleet.manifest(name, name, steps=STEPS, deadline="30m"))
        _wait_all(stories, 1)
        began = time.monotonic()
        while (age := time.monotonic() - began) < SECONDS:
            if chance.random() < 0.3:
                number += 1
                for name in OBJECTS:
                    fleet.upload(number, name)
            struck += _strike(proxy, chance)
            if age > min(WARM, SECONDS / 3):
                held.take(operator)
        _wait_all(stories, number)
    _judge(held)
    (r0, r1), (d0, d1) = held.thirds(held.resident), held.thirds(held.descriptors)
    seen.say(
        f"{SECONDS:.0f} s (not 24 h), seed {SEED}: {struck} faults, {number} versions of "
        f"{len(OBJECTS)} objects; {r0 / 2**20:.0f} → {r1 / 2**20:.0f} MiB, {d0:.0f} → {d1:.0f} "
        "descriptors; all serve the newest"
    )


def _strike(proxy: ApiProxy, chance: random.Random) -> int:
    """One fault for a moment; how many requests it met."""
    fault = chance.choice(
        (
            Delay(chance.uniform(0.1, 3.0)),
            Refuse(409, "Conflict"),
            Refuse(429, "TooManyRequests", retry_after=1),
            Refuse(500, "InternalError"),
            LoseAnswer(),
            CutWatch(chance.uniform(0.0, 1.0)),
            ExpireWatch(),
            ShiftDate(chance.choice((-3600.0, 3600.0))),
            Partition(),
        )
    )
    lost = isinstance(fault, LoseAnswer) or (isinstance(fault, Refuse) and fault.code == 409)
    with proxy.inject(fault, WRITES if lost else None) as injection:
        time.sleep(chance.uniform(0.5, 5.0))  # how long it lasts
    return injection.hits


def _wait_all(stories: Stories, number: int) -> None:
    for name in OBJECTS:
        stories.wait(
            name,
            lambda m: m.stable == number and m.candidate is None and m.phase == "Serving",
            f"version {number}",
        )


def _judge(held: Held) -> None:
    """A leak grows with every fault and version; caches and allocators do not."""
    r0, r1 = held.thirds(held.resident)
    d0, d1 = held.thirds(held.descriptors)
    assert r1 < r0 * GROWTH + MORE, f"memory: {r0:.0f} → {r1:.0f} bytes"
    assert d1 < d0 * GROWTH + 8, f"descriptors: {d0:.0f} → {d1:.0f}"
