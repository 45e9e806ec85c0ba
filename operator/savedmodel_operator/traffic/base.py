"""What a traffic provider tells about one pod of its data plane: a noun and a protocol.

`router` is the first provider. `observe` asks, `plan` judges; an answer is never an exception,
because a pod that does not answer is a fact about the world and not a fault of the cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import aiohttp


class Answer(NamedTuple):
    """One pod's word. `revision`: hash of the route table it uses; None: no answer.

    `members`: backend revision → addresses that it holds healthy for every protocol.
    """

    revision: str | None
    members: Mapping[str, frozenset[str]]


class Probe(Protocol):
    """Asks one pod, bounded in time."""

    async def __call__(self, session: aiohttp.ClientSession, pod_ip: str) -> Answer:
        """The pod's answer; never raises for what the pod or the network does."""
