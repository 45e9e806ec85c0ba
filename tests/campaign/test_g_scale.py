"""Many objects on a real API server: a cold start, and what they cost at rest.

`pod_world` stands in place of kubelets. Objects get as far as the machine lets them within `MAKING`;
every figure says with how many it was taken. The budgets of the design are those of 1,000 objects on
idle cores: `CAMPAIGN_OBJECTS=1000 dev/campaign G1`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_log import entries, writes
from campaign_case import Seen, case
from fleet import NAMESPACE, Fleet, open_fleet
from replica import Replica, until

OBJECTS = int(os.environ.get("CAMPAIGN_OBJECTS", "300"))
MAKING = float(os.environ.get("CAMPAIGN_MAKING", "900"))
"""Seconds in which they are made."""

COLD = 600.0
IDLE = 30.0
CALM = 6.0  # seconds without a call
PAUSE = 1.0
"""Seconds between two looks: the metrics of all objects take the operator's own processor to write."""
MIB = 2**20
BUDGET = 512 * MIB


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with open_fleet(tmp_path_factory.mktemp("many")) as fleet:
        yield fleet


@case(
    "G1",
    injection=f"cold start with {OBJECTS:,} objects",
    expected="every object decided upon (goal: 1,000 in 30 s); 0 writes; 0 calls at rest; at most "
    "512 MiB",
    where="control plane",
)
def test_g1_cold_start(many: Fleet, tmp_path: Path, seen: Seen) -> None:
    maker = Replica(many.kubeconfig, NAMESPACE, tmp_path, "maker")
    try:
        maker.wait_leading()
        many.create(0, OBJECTS)
        serving = _make(many, maker)
    finally:
        maker.kill()
    seen.say(f"{serving:,} of {OBJECTS:,} serve")
    began = time.time()
    replica = Replica(many.kubeconfig, NAMESPACE, tmp_path, "maker")
    try:
        replica.wait_leading()
        led = time.monotonic() - replica.began
        until(lambda: _decided(replica) >= OBJECTS, "a decision for every object", COLD, PAUSE)
        decided = time.monotonic() - replica.began
        until(lambda: _read(replica) >= OBJECTS, "a look at every bucket", COLD, PAUSE)
        read = time.monotonic() - replica.began
        spent = replica.cpu_seconds()
        seen.say(
            f"leads after {led:.1f} s, all decided after {decided:.1f} s, all buckets read after "
            f"{read:.1f} s ({spent:.0f} s of CPU)"
        )
        if serving == OBJECTS:
            _rest(many, replica, began, seen)
        resident = replica.resident()
        seen.say(f"{resident / MIB:.0f} MiB resident")
        assert resident < BUDGET
    finally:
        replica.kill()


def _make(many: Fleet, maker: Replica) -> int:
    """How many serve when all do, or when the time is over; every one was decided upon."""
    end = time.monotonic() + MAKING
    until(lambda: _decided(maker) >= OBJECTS, "a first decision for each", MAKING, PAUSE)
    while (serving := many.phases()["Serving"]) < OBJECTS and time.monotonic() < end:
        time.sleep(5.0)
    if serving == OBJECTS:
        _wait_calm(many)
    return serving


def _wait_calm(many: Fleet) -> None:
    """Until nothing is left to do."""
    log = many.plane.audit_log
    until(lambda: not entries(log, time.time() - CALM), "the operator to come to rest", COLD)


def _rest(many: Fleet, replica: Replica, began: float, seen: Seen) -> None:
    """Nothing is left to do: no write since the start, no call any more."""
    log = many.plane.audit_log
    _wait_calm(many)
    since, before = time.time(), replica.cpu_seconds()
    time.sleep(IDLE)  # the absence of calls can only be watched
    calls = [entry for entry in entries(log, since) if entry.verb != "watch"]
    assert not writes(log, began)
    assert not calls, calls[:3]
    load = (replica.cpu_seconds() - before) / IDLE
    seen.say(f"no write since the start; at rest no call in {IDLE:.0f} s, {load:.2f} CPU")


def _decided(replica: Replica) -> int:
    """Objects that had a whole cycle."""
    return sum(key.startswith("savedmodel_info{") for key in replica.metrics())


def _read(replica: Replica) -> int:
    """Objects whose bucket was read."""
    return sum(key.startswith("savedmodel_storage_last_success") for key in replica.metrics())
