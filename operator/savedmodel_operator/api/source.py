"""What the operator saw in the bucket, in the planner's words. Pure data.

`storage.discover` makes these, `plan` reads them, `workload.lock` writes a lock's ConfigMap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.savedmodel.facts import ModelFacts


@dataclass(frozen=True)
class LockedObject:
    """One object of a version: `key` is relative to the version directory, `size` in bytes.

    `checksum` is the store's full-object checksum as "ALGORITHM:BASE64", where there is one.
    """

    key: str
    size: int
    etag: str
    version_id: str | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Lock:
    """The exact bytes of one identity: pods fetch what stands here and nothing else."""

    bucket: str
    prefix: str  # of the version directory, ends in "/"
    number: int
    directory: str  # the name in the bucket, for example "00000001"
    fingerprint: str  # "sha256:…"
    objects: tuple[LockedObject, ...]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(o.size for o in self.objects)


@dataclass(frozen=True)
class VersionView:
    """One version directory as last listed."""

    number: int
    directory: str
    fingerprint: str
    bytes: int
    objects: int
    reason: Reason  # Complete, Incomplete, Settling, Ambiguous, MalformedModel, HostileKey, …
    message: str = ""
    facts: ModelFacts | None = None  # read for complete versions that may become candidates
    lock: Lock | None = None  # likewise
    warmup: str = ""  # what is wrong with its warm-up file: the server would refuse to load it

    @property
    def complete(self) -> bool:
        """Whether every byte of it is known to be there."""
        return self.reason is Reason.Complete


@dataclass(frozen=True)
class LockView:
    """Whether the bytes of one revision's lock can still be fetched. `here` None: not told."""

    revision: str
    here: bool | None
    reason: Reason  # Restorable, LockedBytesGone, MalformedLock or why it could not be told
    message: str
    key: str = ""  # the first locked object that is gone
    looks: int = field(default=0, compare=False)
    mark: str = field(default="", compare=False)  # fingerprint of the directory at the last look


@dataclass(frozen=True)
class SourceView:
    """One look at the bucket. With an error, `versions` are those of the last good look."""

    reason: Reason  # SourceReady, SourceEmpty, SourcePending or why it could not be read
    message: str
    versions: tuple[VersionView, ...] = ()  # newest first
    ignored: tuple[str, ...] = ()  # names that are no versions, bounded
    observed_at: float = 0.0  # Unix seconds by the API server's clock; 0: never
    locks: tuple[LockView, ...] = ()  # those that were asked about; with an error the last ones

    def lock(self, revision: str) -> LockView | None:
        """What was seen of this revision's lock."""
        return next((view for view in self.locks if view.revision == revision), None)
