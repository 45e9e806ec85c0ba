"""Faults on demand between real programs: a proxy of ours before a real server, driven by tests.

`ApiProxy` stands before an API server. Tests say what goes wrong (`faults`), for which requests
(`Match`) and how often, and get a handle that counts. Must not know what the product expects: what
passes unharmed is passed on byte for byte.
"""

from lab.injection.api_proxy import ApiProxy
from lab.injection.calls import Call, Match
from lab.injection.faults import (
    CutWatch,
    Delay,
    DropField,
    ExpireWatch,
    Hold,
    LoseAnswer,
    MuteWatch,
    OldList,
    Partition,
    Refuse,
    ShiftDate,
)
from lab.injection.injections import Injection

__all__ = [
    "ApiProxy",
    "Call",
    "CutWatch",
    "Delay",
    "DropField",
    "ExpireWatch",
    "Hold",
    "Injection",
    "LoseAnswer",
    "Match",
    "MuteWatch",
    "OldList",
    "Partition",
    "Refuse",
    "ShiftDate",
]
