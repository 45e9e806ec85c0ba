"""The kernel kills the operator for its memory, in the middle of its work."""

from __future__ import annotations

import os
from collections import Counter

from audit_log import entries
from campaign_case import Seen, case
from fleet import Fleet
from fleet_fixtures import Start
from memory_limit import limited
from replica import until

ROOM = 8 * 1024 * 1024
"""Bytes that it may still take: reading its first bucket takes 20 MiB (boto3)."""


@case(
    "I6",
    injection="a limit of memory on the operator's control group, 8 MiB above its use, while it makes "
    "its first object: the kernel kills it; it is started again, as a kubelet would",
    expected="it goes on where the other ended: each child is made once, and the version serves",
    where="control plane",
)
def test_i6_the_kernel_kills_the_operator(fleet: Fleet, start: Start, seen: Seen) -> None:
    with fleet.stories() as stories, limited(f"campaign-{os.getpid()}") as group:
        first = start("i6")
        first.wait_leading()
        group.take(first.pid, ROOM)
        fleet.upload(1, "hungry")
        fleet.apply(fleet.manifest("hungry", "hungry"))
        until(lambda: first.code is not None, "the kernel to kill it")
        assert (first.code, group.kills) == (-9, 1)
        before = _made(fleet)
        start("i6").wait_leading()
        stories.wait("hungry", lambda m: m.phase == "Serving", "serving")
    made = _made(fleet)
    assert before, "it was killed before it had begun"
    assert set(made.values()) == {1}, made
    seen.say(
        f"killed by the kernel with {len(before)} of {len(made)} children made; the next one made the "
        "others, none twice, and version 1 served"
    )


def _made(fleet: Fleet) -> Counter[tuple[str, str]]:
    """(resource, name) of what was created for the object."""
    found = entries(fleet.plane.audit_log)
    return Counter(
        (e.resource, e.name)
        for e in found
        if e.verb == "create" and e.code == 201 and "hungry" in e.name and e.resource != "events"
    )
