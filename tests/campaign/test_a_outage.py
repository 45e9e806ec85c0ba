"""The API server fails or vanishes for longer than a Lease lasts, in the hold of a step.

As `test_a_api_server`, without clients: they never talk to the API server. What they feel of an
operator that is away is group I's and H's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from campaign_case import Seen, case
from fleet import NAMESPACE, Fleet
from plane_children import has_weight, is_stable
from replica import Replica, until
from small_rollout import PATIENCE, Behind, Counts
from write_counts import busiest

from lab.injection import ApiProxy, Partition, Refuse

OUTAGE = 60.0
CUT = float(os.environ.get("CAMPAIGN_PARTITION", "60"))
"""Seconds. Longer than Lease (15 s) and hold, which is all that tells it from the ten minutes that are
CAMPAIGN_PARTITION=600."""

BUSY = 40.0
"""Requests per second: far above what retries with backoff make, far below a hot loop."""


@pytest.fixture(scope="module")
def behind(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """One operator for both cases."""
    folder = tmp_path_factory.mktemp("outage")
    with ApiProxy(fleet.kubeconfig, folder / "proxy") as proxy, fleet.stories() as stories:
        replica = Replica(proxy.kubeconfig(), NAMESPACE, folder, "outage")
        try:
            replica.wait_leading()
            yield Behind(fleet, proxy, replica, stories)
        finally:
            replica.kill()
            fleet.clear()


@pytest.fixture(scope="module")
def clean(behind: Behind) -> Counts:
    """What a life without fault makes and deletes."""
    return behind.live("clean")


def _begin(behind: Behind, name: str) -> None:
    """Until the first step's weight is verified."""
    behind.serve(name)
    behind.fleet.upload(2, name)
    behind.stories.wait(name, has_weight(2, 50), "the first step", PATIENCE)


def _finish(behind: Behind, name: str, clean: Counts) -> float:
    """Leads again by itself and ends as without fault; seconds until it led."""
    healed = time.monotonic()
    behind.replica.wait_leading()
    led = time.monotonic() - healed
    behind.stories.wait(name, is_stable(2), "promotion", PATIENCE)
    behind.settle(name)
    assert behind.counts(name) == clean
    weights = [m.weight for m in behind.stories.of(name) if m.candidate == 2 and m.weight]
    assert set(weights) == {50}, weights
    return led


@case(
    "A3",
    injection=f"HTTP 503 on every call for {OUTAGE:.0f} s in the hold of a step",
    expected="backoff with jitter, no hot loop; leads again by itself; the step is taken once, makes "
    "and deletes as without fault",
    where="control plane",
)
def test_a3_the_api_server_fails(behind: Behind, clean: Counts, seen: Seen) -> None:
    _begin(behind, "broken")
    began = time.time()
    with behind.proxy.inject(Refuse(503, "ServiceUnavailable")):
        time.sleep(OUTAGE)
    ended = time.time()
    led = _finish(behind, "broken", clean)
    calls = [call for call in behind.proxy.calls(since=began) if call.at < ended]
    rate = busiest(calls)
    assert rate < BUSY
    seen.say(
        f"{len(calls)} calls in {OUTAGE:.0f} s, at most {rate:.1f}/s; led again {led:.1f} s after "
        "the end; counts equal"
    )


@case(
    "A10",
    injection=f"all bytes between operator and API server vanish for {CUT:.0f} s in the hold of a step",
    expected="stops writing by itself; leads again by itself; the step is neither skipped nor doubled, "
    "makes and deletes as without fault",
    where="control plane",
)
def test_a10_a_partition(behind: Behind, clean: Counts, seen: Seen) -> None:
    _begin(behind, "apart")
    with behind.proxy.inject(Partition()) as partition:
        began = time.monotonic()
        until(lambda: not behind.replica.leads(), "the operator to stop writing", 60.0)
        stopped = time.monotonic() - began
        time.sleep(max(0.0, CUT - stopped))
    led = _finish(behind, "apart", clean)
    assert partition.hits
    seen.say(
        f"{CUT:.0f} s; stopped writing after {stopped:.1f} s; led again {led:.1f} s after the end; "
        "counts equal"
    )
