"""What the operator made and took away, counted so that two runs compare: Sieve's differential oracle.

Neighbours: the proxy's log is where it comes from. Names lose what differs from version to version.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from lab.injection import Call

_REVISION = re.compile(r"-v\d+-[0-9a-f]{8}")
_COUNTED = ("create", "delete")
_APART = ("events", "leases")
"""Events have names by chance, and how often a Lease is renewed says nothing."""


def made_and_deleted(calls: Iterable[Call]) -> Counter[tuple[str, str, str]]:
    """(verb, resource, name) of what the API server did, the deployment's own answers lost or not."""
    return Counter(
        (call.verb, call.resource, _REVISION.sub("-vN", call.name))
        for call in calls
        if call.verb in _COUNTED and call.resource not in _APART and 200 <= call.code < 300
    )


def busiest(calls: Iterable[Call], seconds: float = 5.0) -> float:
    """The greatest rate in requests per second over any such window; watches count by opening."""
    times = sorted(call.at for call in calls)
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most / seconds
