"""What can go wrong between a client and an API server, as values.

Neighbours: `passage` makes them happen, `injections` counts them. Data only.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Delay:
    """The request reaches the server `seconds` later."""

    seconds: float


@dataclass(frozen=True)
class Refuse:
    """The server is never asked; the answer is a Status with this code. `retry_after`: seconds."""

    code: int
    reason: str = ""
    retry_after: int | None = None
    message: str = "refused by the test"


@dataclass(frozen=True)
class LoseAnswer:
    """The server did it, and the client sees a reset connection."""


@dataclass(frozen=True)
class CutWatch:
    """A watch, open or new, is reset `after` seconds (from its opening or the injection)."""

    after: float = 0.0


@dataclass(frozen=True)
class MuteWatch:
    """A watch, open or new, stays open and says nothing any more, bookmarks included. It stays mute
    until the client leaves it, also when the injection is removed: what was lost is lost."""


@dataclass(frozen=True)
class ExpireWatch:
    """A watch, open or new, is told that its resourceVersion is too old (410) and ends."""


@dataclass(frozen=True)
class Partition:
    """Nothing passes: connections hang, new ones are not greeted. Of all requests; no match.

    When it ends, what hung is reset and forgotten. late: what hung goes on instead, as packets that
    were sent again and again would; also requests whose client has given up meanwhile.
    """

    late: bool = False


@dataclass(frozen=True)
class Hold:
    """Requests wait until the injection is removed, and go on then, even if their client left."""


@dataclass(frozen=True)
class ShiftDate:
    """The Date header of answers is this many seconds ahead."""

    seconds: float


@dataclass(frozen=True)
class OldList:
    """Lists are those of the moment of the injection (at most five minutes old: the server's own
    compaction). `version` is filled in by the proxy."""

    version: str = ""


@dataclass(frozen=True)
class DropField:
    """A field, "status.highWaterMark", is missing in the objects that are sent and answered.

    Not in watches, and in lists not in the items: as a schema that does not know the field would
    prune what is written.
    """

    path: str


Fault = (
    Delay
    | Refuse
    | LoseAnswer
    | CutWatch
    | MuteWatch
    | ExpireWatch
    | Partition
    | Hold
    | ShiftDate
    | OldList
    | DropField
)
WatchFault = CutWatch | MuteWatch | ExpireWatch
