"""Restarts of an operator that has nothing to do: they may read, and must not write."""

from __future__ import annotations

import os
import time

from audit_log import entries, writes
from campaign_case import Seen, case
from fleet import Fleet
from fleet_fixtures import Start
from replica import Replica, until

OBJECTS = 3
RESTARTS = int(os.environ.get("CAMPAIGN_RESTARTS", "50"))
CALM = 6.0  # seconds without a call, a second look at the bucket within them


@case(
    "I7",
    injection=f"{RESTARTS} restarts of an idle operator (SIGKILL and SIGTERM in turn), "
    f"{OBJECTS} objects that serve",
    expected="0 writes but for the Lease, by the API server's audit log",
    where="control plane",
)
def test_i7_restarts_at_rest_write_nothing(fleet: Fleet, start: Start, seen: Seen) -> None:
    fleet.create(0, OBJECTS)
    first = start("i7")
    fleet.wait_serving(OBJECTS, 240.0)
    until(lambda: _is_calm(fleet), "the operator to come to rest")
    assert first.end() == 0
    began = time.time()
    for number in range(RESTARTS):
        operator = start("i7")
        until(lambda one=operator: _has_looked(one), "a look at every object and bucket")
        if number in (0, RESTARTS - 1):
            until(lambda: _is_calm(fleet), "the operator to come to rest")
        if number % 2:
            operator.kill()
        else:
            assert operator.end() == 0
    assert not writes(fleet.plane.audit_log, began)
    calls = len(entries(fleet.plane.audit_log, began))
    seen.say(f"{RESTARTS} restarts: 0 writes, {calls / RESTARTS:.0f} reads at each")


def _has_looked(operator: Replica) -> bool:
    """Every object had a cycle by a leader, and its bucket was read."""
    found = operator.metrics()
    seen = sum(key.startswith("savedmodel_info{") for key in found)
    read = sum(key.startswith("savedmodel_storage_last_success") for key in found)
    return found.get("savedmodel_leader") == 1.0 and (seen, read) == (OBJECTS, OBJECTS)


def _is_calm(fleet: Fleet) -> bool:
    return not entries(fleet.plane.audit_log, time.time() - CALM)
