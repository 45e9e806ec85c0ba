"""Which faults the campaign is about: their ids, and those that no case plays, each with its reason.

Groups A to G are the product's list of faults; H is the data plane under stress, I the operator under
stress and S security: these three may have any number of cases. Must not know how a case is played.
"""

from __future__ import annotations

import re

GROUPS = {
    "A": "API server",
    "B": "operator crash",
    "C": "object store",
    "D": "pods and GPU",
    "E": "traffic",
    "F": "users and GitOps",
    "G": "scale and time",
    "H": "data plane under stress",
    "I": "operator under stress",
    "S": "security",
}

_COUNTS = {"A": 12, "B": 10, "C": 17, "D": 11, "E": 8, "F": 16, "G": 6}

LISTED = tuple(f"{group}{number}" for group, n in _COUNTS.items() for number in range(1, n + 1))

NOT_HERE = {
    "E3": "the one traffic provider is the operator's own router, which needs no CRD of others",
}
"""Listed faults without a case, and why."""

LEFT: frozenset[str] = frozenset()
"""Listed faults whose case is still to be written; this set only shrinks."""


def order(found: str) -> tuple[str, int]:
    """A key to sort ids by.

    >>> sorted(["B2", "A10", "A9"], key=order)
    ['A9', 'A10', 'B2']
    """
    match = re.fullmatch(r"([A-Z])(\d+)", found)
    if match is None:
        raise ValueError(f"{found} is no id of a case: say A3")
    return match[1], int(match[2])
