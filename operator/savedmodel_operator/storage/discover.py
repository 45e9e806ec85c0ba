"""From bucket to `SourceView`: which versions there are, which are complete, what to lock.

Called by `observe` in a worker thread, once per poll of one object. Everything known about a
version hangs on its fingerprint, so the previous view is the only memory: a version whose listing
did not change costs no request beyond that listing, and the older ones not even that. Reads
headers by ranges, never a graph's weights. It must not decide what to roll out.

    directories  → numbers, newest first          versions.sort_directories
    listing      → hostile? marker? settled?      _judge_listing
    headers      → facts, shard sizes             savedmodel.check_layout
    HEADs        → object versions, checksums     _lock
    held locks   → can they still be fetched?     held.look_at
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from savedmodel_operator.api.lock import MAX_OBJECTS
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import (
    Lock,
    LockedObject,
    LockView,
    SourceView,
    VersionView,
)
from savedmodel_operator.savedmodel import bundle, extras, saved_model
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.savedmodel.layout import check_layout
from savedmodel_operator.savedmodel.wire import MalformedModel
from savedmodel_operator.storage.base import StorageError, Store, StoredObject
from savedmodel_operator.storage.held import HEADS_AT_ONCE, Held, look_at, unusable
from savedmodel_operator.storage.lock import encode_lock, lock_fault
from savedmodel_operator.storage.s3 import md5_of_etag
from savedmodel_operator.storage.versions import (
    Directory,
    fingerprint,
    sort_directories,
    tree_fault,
)

NEWEST = 10
"""Versions that a view (and status) shows; kept ones come on top."""

READ = 2
"""Complete versions whose headers are read, newest first: the next candidate and one below."""

WARMUP_BYTES = 16 * 1024 * 1024
"""Warm-up files up to here are read whole, once, and no larger ones: their checksums need every
byte. A thousand requests of 16 KiB; `savedmodel inspect` and `check` read up to 256 MiB."""

SMALL_BYTES = 8 * 1024 * 1024
"""Up to here an MD5 costs the fetcher nothing that counts; above, a HEAD for a CRC pays."""


def discover(
    store: Store,
    prefix: str,
    *,
    ready_marker: str | None = None,
    keep: Iterable[int] = (),
    held: Mapping[str, Lock | None] | None = None,
    previous: SourceView | None = None,
) -> SourceView:
    """One look at the versions under `prefix` (ends in "/" or is empty).

    keep: numbers that are looked at however old they are (stable, candidate).
    held: locks by revision, of which the view tells whether they can still be fetched; None for
      one that cannot be read.
    previous: the last view of the same source; a version counts as settled once its listing is
      the same as there. After an error its versions are handed on.
    Never raises StorageError: it becomes the view's reason and message.
    """
    look = _Look(store, prefix, ready_marker, frozenset(keep), held or {}, previous)
    try:
        return look.view()
    except StorageError as error:
        last = previous or SourceView(error.reason, error.message)
        return replace(last, reason=error.reason, message=error.message, observed_at=0.0)


@dataclass(frozen=True)
class _Listing:
    """One version directory as listed: objects by relative key, without marker and folders."""

    directory: Directory
    prefix: str
    objects: dict[str, StoredObject]
    marker: bool
    whole: bool = True  # False: cut off at `MAX_OBJECTS`

    @property
    def sizes(self) -> dict[str, int]:
        return {key: item.size for key, item in self.objects.items()}


@dataclass(frozen=True)
class _Read:
    """What a look at one version came to; `warmup` as in `VersionView`."""

    reason: Reason
    message: str
    facts: ModelFacts | None = None
    lock: Lock | None = None
    warmup: str = ""


class _Look:
    def __init__(
        self,
        store: Store,
        prefix: str,
        ready_marker: str | None,
        keep: frozenset[int],
        held: Mapping[str, Lock | None],
        previous: SourceView | None,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._marker = ready_marker
        self._keep = keep
        self._asked = held
        self._held = {name: lock for name, lock in held.items() if lock is not None}
        self._known = {v.number: v for v in previous.versions} if previous else {}
        self._before = {v.revision: v for v in previous.locks} if previous else {}
        self._listed: dict[str, _Listing] = {}  # of the held locks' directories
        self._fresh: dict[str, Lock] = {}  # locks that were made in this look

    def view(self) -> SourceView:
        """Versions first: their listings serve the locks, too."""
        view = self._versions()
        return replace(view, locks=tuple(self._lock_view(r, k) for r, k in self._asked.items()))

    def _lock_view(self, revision: str, lock: Lock | None) -> LockView:
        if lock is None:
            return unusable(revision, "it is damaged")
        elsewhere = lock.bucket != self._store.access.bucket or lock_fault(lock) is not None
        listing = self._listed.get(lock.prefix)
        if listing is None and not elsewhere:
            listing, _ = self._list(Directory(lock.number, lock.directory), lock.prefix)
        listed = listing.objects if listing is not None and listing.whole else None
        fresh, before = self._fresh.get(lock.prefix), self._before.get(revision)
        return look_at(self._store, Held(revision, lock, listed, fresh, before))

    def _versions(self) -> SourceView:
        found = sort_directories(self._store.directories(self._prefix))
        where = f"{self._store.access.where}, {self._prefix or 'its root'}"
        if not found.versions and not found.ambiguous:
            other = f"; {found.ignored_count} other directories are ignored" * bool(found.ignored)
            text = f"no version directory (a number such as 1 or 00000001) in {where}{other}"
            return SourceView(Reason.SourceEmpty, text, (), found.ignored)
        views = self._views(found.versions)
        views += [_ambiguous(number, names) for number, names in found.ambiguous[:NEWEST]]
        views.sort(key=lambda v: v.number, reverse=True)
        count = len(found.versions) + len(found.ambiguous)
        text = f"{count} versions in {where}; the newest is {views[0].number}"
        return SourceView(Reason.SourceReady, text, tuple(views), found.ignored)

    def _views(self, directories: Sequence[Directory]) -> list[VersionView]:
        """Newest first; headers of the newest complete ones and of the kept ones are read."""
        views: list[VersionView] = []
        complete = 0
        for place, directory in enumerate(directories):
            kept = directory.number in self._keep
            if place >= NEWEST and not kept:
                continue
            known = self._known.get(directory.number)
            if complete >= READ and not kept and known is not None and known.reason in _AT_REST:
                views.append(known)
                continue
            view = self._look_at(directory, known, read=complete < READ or kept)
            complete += view.complete
            views.append(view)
        return views

    def _look_at(self, directory: Directory, known: VersionView | None, read: bool) -> VersionView:
        listing, fault = self._list(directory, f"{self._prefix}{directory.name}/")
        mark = fingerprint((k, o.size, o.etag) for k, o in listing.objects.items())
        same = known is not None and known.fingerprint == mark
        reason, message = self._judge_listing(listing, fault, same)
        found = _Read(reason, message)
        if reason is Reason.Complete:
            known = known if same and known and known.reason in _JUDGED_BY_HEADERS else None
            if known is not None and not self._is_stale(known):
                return known
            if not read:
                found = _Read(Reason.NotRead, "older than the newest complete versions")
            else:
                found = self._read(listing, mark)
        return VersionView(
            number=directory.number,
            directory=directory.name,
            fingerprint=mark,
            bytes=sum(listing.sizes.values()),
            objects=len(listing.objects),
            reason=found.reason,
            message=found.message,
            facts=found.facts,
            lock=found.lock,
            warmup=found.warmup,
        )

    def _is_stale(self, known: VersionView) -> bool:
        """Whether what was read before names object versions that are gone: a lock is made anew
        then, for the same bytes may have been uploaded again."""
        return known.lock is not None and any(
            view.here is False and self._held[revision].objects == known.lock.objects
            for revision, view in self._before.items()
            if revision in self._held
        )

    def _list(
        self, directory: Directory, prefix: str
    ) -> tuple[_Listing, tuple[Reason, str] | None]:
        objects: dict[str, StoredObject] = {}
        marker = False
        for item in self._store.objects(prefix):
            key = item.key.removeprefix(prefix)
            if key == self._marker:
                marker = True
            elif key and not (key.endswith("/") and item.size == 0):  # consoles' “folders”
                objects[key] = item
            if len(objects) > MAX_OBJECTS:
                text = f"version {directory.number} has more than {MAX_OBJECTS} objects"
                fault = (Reason.TooManyObjects, f"{text}: export it with fewer shards or assets")
                return self._seen(_Listing(directory, prefix, objects, marker, False)), fault
        listing = self._seen(_Listing(directory, prefix, objects, marker))
        hostile = tree_fault(objects)
        return listing, (Reason.HostileKey, hostile) if hostile else None

    def _seen(self, listing: _Listing) -> _Listing:
        if any(listing.prefix == lock.prefix for lock in self._held.values()):
            self._listed[listing.prefix] = listing
        return listing

    def _judge_listing(
        self, listing: _Listing, fault: tuple[Reason, str] | None, same: bool
    ) -> tuple[Reason, str]:
        if fault is not None:
            return fault
        # Only a missing graph file can be told without reading; it beats "still settling".
        files = check_layout(listing.sizes, None, None)
        graph = saved_model.graph_file(listing.objects)
        if graph is None or not listing.sizes[graph]:
            return files.reason, files.message
        if self._marker is not None and not listing.marker:
            return Reason.Settling, f"waiting for the ready marker {self._marker}"
        if self._marker is None and not same:
            return Reason.Settling, "its listing has to be the same in the next poll"
        return Reason.Complete, ""

    def _read(self, listing: _Listing, mark: str) -> _Read:
        try:
            facts = self._facts(listing)
            layout = check_layout(listing.sizes, facts, self._bundle(listing))
            if not layout.complete or not isinstance(facts, ModelFacts):
                return _Read(layout.reason, layout.message)
            warmup = self._warmup(listing)
            lock = self._lock(listing, mark)
        except StorageError as error:
            if error.reason in (Reason.ObjectChanged, Reason.ObjectGone):
                return _Read(Reason.Settling, error.message)
            if error.reason is Reason.TooManyObjects:
                return _Read(error.reason, error.message)
            raise
        return _Read(Reason.Complete, layout.message, facts, lock, warmup)

    def _facts(self, listing: _Listing) -> ModelFacts | MalformedModel:
        file = _graph_file(listing)
        try:
            return saved_model.read_graph_file(file, self._store.open(listing.objects[file]))
        except MalformedModel as error:
            return error

    def _bundle(self, listing: _Listing) -> bundle.BundleIndex | MalformedModel | None:
        item = listing.objects.get(bundle.FILE)
        if item is None or item.size == 0:
            return None
        if item.size > bundle.MAX_INDEX_BYTES:
            text = f"longer than {bundle.MAX_INDEX_BYTES} bytes"
            return MalformedModel(bundle.MAX_INDEX_BYTES, text, bundle.FILE)
        try:
            return bundle.read_bundle_index(self._store.open(item).read(0, item.size))
        except MalformedModel as error:
            return error

    def _warmup(self, listing: _Listing) -> str:
        """What would fail the load of a version with warm-up, in words."""
        item = listing.objects.get(extras.WARMUP)
        if item is None or item.size > WARMUP_BYTES:
            return ""
        return extras.read_warmup(self._store.open(item)).problem

    def _lock(self, listing: _Listing, mark: str) -> Lock:
        """The exact object list. HEADs: all objects of a versioned bucket, else the large ones."""
        items = sorted(listing.objects.items())
        first = listing.objects[_graph_file(listing)]
        versioned = self._store.detail(first).version_id is not None
        with ThreadPoolExecutor(HEADS_AT_ONCE, "head") as pool:
            objects = tuple(pool.map(lambda pair: self._locked(pair[0], pair[1], versioned), items))
        lock = Lock(
            bucket=self._store.access.bucket,
            prefix=listing.prefix,
            number=listing.directory.number,
            directory=listing.directory.name,
            fingerprint=mark,
            objects=objects,
        )
        encode_lock(lock)  # its size is checked before the gate (design.md §2)
        self._fresh[listing.prefix] = lock
        return lock

    def _locked(self, key: str, item: StoredObject, versioned: bool) -> LockedObject:
        md5 = md5_of_etag(item.etag)
        if not versioned and md5 is not None and item.size <= SMALL_BYTES:
            return LockedObject(key, item.size, item.etag, None, md5)
        detail = self._store.detail(item)
        return LockedObject(key, item.size, item.etag, detail.version_id, detail.checksum)


def _graph_file(listing: _Listing) -> str:
    """The file of the graph; only for a listing that has one."""
    file = saved_model.graph_file(listing.objects)
    assert file is not None
    return file


_JUDGED_BY_HEADERS = (
    Reason.Complete,
    Reason.Incomplete,
    Reason.MalformedModel,
    Reason.TooManyObjects,
)
"""Verdicts that the same fingerprint gives again."""

_AT_REST = (Reason.NotRead, Reason.Incomplete, Reason.MalformedModel, Reason.HostileKey)
"""An older version with one of these is not listed again while newer complete ones are there."""


def _ambiguous(number: int, names: tuple[str, ...]) -> VersionView:
    text = f"version {number} is there as {' and '.join(names[:4])}: delete all but one"
    return VersionView(number, names[0], "", 0, 0, Reason.Ambiguous, text)
