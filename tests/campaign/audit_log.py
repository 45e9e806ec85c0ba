"""What an API server answered, from its own audit log: the witness that no client can talk to.

Neighbours: `control_plane` and the laboratory's cluster write it. Read only.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

OPERATOR = "savedmodel-operator"
READS = ("get", "list", "watch")


@dataclass(frozen=True)
class Entry:
    """One answered request. `at`: Unix seconds of its arrival at the server."""

    at: float
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    agent: str


def entries(log: Path, since: float = 0.0, agent: str = OPERATOR) -> list[Entry]:
    """Those of a program, from `since` on; its Lease left out."""
    found = []
    with log.open() as lines:
        for line in lines:
            try:
                entry = _entry(json.loads(line))
            except ValueError:
                continue  # the last line may be half written
            if entry.at >= since and entry.agent.startswith(agent) and entry.resource != "leases":
                found.append(entry)
    return found


def written_in(log: Path, namespace: str, since: float) -> list[Entry]:
    """The operator's writes into a namespace, oldest first; Events, which are told beside, left out."""
    found = (e for e in entries(log, since) if e.verb not in READS and e.resource != "events")
    return sorted((e for e in found if e.namespace == namespace), key=lambda e: e.at)


def writes(log: Path, since: float = 0.0) -> Counter[tuple[str, str]]:
    """(verb, resource) of what the operator wrote, refused or not."""
    found = (e for e in entries(log, since) if e.verb not in READS)
    return Counter((e.verb, e.resource) for e in found)


def _entry(line: dict[str, Any]) -> Entry:
    place = line.get("objectRef") or {}
    return Entry(
        at=datetime.fromisoformat(line["requestReceivedTimestamp"]).timestamp(),
        verb=str(line["verb"]),
        resource=str(place.get("resource", "")),
        subresource=str(place.get("subresource", "")),
        namespace=str(place.get("namespace", "")),
        name=str(place.get("name", "")),
        code=int((line.get("responseStatus") or {}).get("code", 0)),
        agent=str(line.get("userAgent", "")),
    )
