"""The fetch engine: a lock becomes a model directory, or nothing does.

Runs in the init container of every model pod (`cli.fetch`). It asks the store only for what the
lock says (`transfer`), verifies sizes and checksums, writes into `.staging-FINGERPRINT` beside
the destination, has the tensors' own checksums compared (`tensors`), fsyncs, and renames to the
canonical version number. A run that was killed is
continued: files below `tree/` are whole (and verified again), those in `parts/` are not.

    DESTINATION/.staging-1a2b…/parts/17      being written, by index in the lock
    DESTINATION/.staging-1a2b…/tree/KEY      verified and fsynced
    DESTINATION/42                           = tree/, renamed when all of it is there

It must not list buckets, know the cluster or read the environment.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from threading import Event
from threading import Lock as Mutex

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.checksum import Checksum
from savedmodel_operator.storage.tensors import expect_whole_tensors
from savedmodel_operator.storage.transfer import Transfer
from savedmodel_operator.storage.versions import tree_fault

WORKERS = 8
PART_BYTES = 16 * 1024 * 1024
"""A range of one request. Memory does not depend on it: a worker holds one small chunk."""

READ_BYTES = 1024 * 1024

REPORT_SECONDS = 5.0
STAGING = ".staging-"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What a run did: the directory, bytes and objects copied (not those found), seconds."""

    path: Path
    bytes: int
    objects: int
    seconds: float


@dataclass
class _Job:
    """One object on its way. `sums`: checksum and length of each range by its offset."""

    index: int
    item: LockedObject
    checksum: Checksum | None
    file: int = -1
    open_ranges: int = 0
    sums: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    retried: bool = False

    def close(self) -> None:
        """Closes its file where that is open."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def fetch(lock: Lock, destination: Path, transfer: Transfer, workers: int = WORKERS) -> Fetched:
    """Makes `destination/NUMBER` hold exactly the lock's objects. Idempotent.

    Raises StorageError: ObjectChanged, ObjectGone, ChecksumMismatch, TensorDamaged, DiskFull,
    Forbidden, NoSuchBucket, StorageUnavailable, HostileKey.
    """
    fault = tree_fault(o.key for o in lock.objects)
    if fault is not None:
        raise StorageError(Reason.HostileKey, f"the lock is refused: {fault}")
    started = time.monotonic()
    final = destination / str(lock.number)
    staging = destination / f"{STAGING}{lock.fingerprint.removeprefix('sha256:')[:16]}"
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if _holds(final, lock):
            _sweep(destination, keep=None)
            _log.info("version %d is already there: %d objects", lock.number, len(lock.objects))
            return Fetched(final, 0, 0, time.monotonic() - started)
        run = _Run(lock, staging, transfer, workers)
        _sweep(destination, keep=staging)
        copied, objects = run.execute()
        expect_whole_tensors(staging / "tree", lock.number, workers)
        if final.exists():  # there, but not what the lock says
            final.rename(staging / "replaced")
        (staging / "tree").rename(final)
        _fsync(destination)
        _sweep(destination, keep=None)
    except OSError as error:
        raise _disk_error(error, lock, destination) from error
    return Fetched(final, copied, objects, time.monotonic() - started)


def _holds(final: Path, lock: Lock) -> bool:
    """Whether the directory has every object with its size and nothing else.

    Sizes suffice: the directory got its name only after every file was verified and fsynced.
    """
    if not final.is_dir():
        return False
    found = {
        str(path.relative_to(final)): path.stat().st_size
        for path in final.rglob("*")
        if not path.is_dir()
    }
    return found == {o.key: o.size for o in lock.objects}


def _sweep(destination: Path, keep: Path | None) -> None:
    """Removes stagings of other versions or of finished runs."""
    for path in destination.glob(f"{STAGING}*"):
        if path != keep:
            shutil.rmtree(path)


class _Run:
    """One download: hands ranges to workers, verifies whole objects, moves them into the tree."""

    def __init__(self, lock: Lock, staging: Path, transfer: Transfer, workers: int) -> None:
        self._lock = lock
        self._parts = staging / "parts"
        self._tree = staging / "tree"
        self._transfer = transfer
        self._workers = workers
        self._stop = Event()
        self._again: deque[_Job] = deque()
        self._counting = Mutex()
        self._done_bytes = 0
        self._reported = time.monotonic()

    def execute(self) -> tuple[int, int]:
        """Bytes and number of the objects copied."""
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir(parents=True)
        self._tree.mkdir(exist_ok=True)
        with ThreadPoolExecutor(self._workers, "fetch") as pool:
            jobs = self._missing(pool)
            self._make_room(jobs)
            for folder in sorted({(self._tree / job.item.key).parent for job in jobs}):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                self._drive(pool, jobs)
            finally:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                for job in jobs:
                    job.close()
        for folder in [self._tree, *(p for p in self._tree.rglob("*") if p.is_dir())]:
            _fsync(folder)
        return sum(job.item.size for job in jobs), len(jobs)

    def _missing(self, pool: ThreadPoolExecutor) -> list[_Job]:
        """Objects that an earlier run did not leave behind whole. Foreign files are removed."""
        jobs = [
            _Job(index, item, Checksum(item.checksum) if item.checksum else None)
            for index, item in enumerate(self._lock.objects)
        ]
        wanted = {item.key for item in self._lock.objects}
        for path in self._tree.rglob("*"):
            if not path.is_dir() and str(path.relative_to(self._tree)) not in wanted:
                path.unlink()
        whole = pool.map(self._is_whole, jobs)
        missing = [job for job, there in zip(jobs, whole, strict=True) if not there]
        if len(missing) < len(jobs):
            _log.info("found %d objects of an earlier run", len(jobs) - len(missing))
        return missing

    def _is_whole(self, job: _Job) -> bool:
        path = self._tree / job.item.key
        if not path.is_file() or path.stat().st_size != job.item.size:
            return False
        return job.checksum is None or _sum_file(path, job.checksum) == job.checksum.expected

    def _make_room(self, jobs: list[_Job]) -> None:
        needed = sum(job.item.size for job in jobs)
        disk = os.statvfs(self._tree)
        free = disk.f_bavail * disk.f_frsize
        if needed > free:
            raise StorageError(
                Reason.DiskFull,
                f"version {self._lock.number} needs {_mib(needed)} MiB more and the model volume "
                f"has {_mib(free)} MiB free: give the node or the volume more room",
            )

    def _drive(self, pool: ThreadPoolExecutor, jobs: list[_Job]) -> None:
        """Keeps every worker busy with ranges in order; at most 2 × workers are in flight."""
        self._total = sum(job.item.size for job in jobs)
        ranges = self._ranges(jobs)
        running: set[Future[None]] = set()
        while True:
            while len(running) < 2 * self._workers:
                upcoming = next(ranges, None)
                if upcoming is None:
                    break
                running.add(pool.submit(self._copy, *upcoming))
            if not running:
                if not self._again:
                    return
                ranges = self._ranges([self._again.popleft()])
                continue
            finished, running = wait(running, timeout=REPORT_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            self._report()

    def _ranges(self, jobs: list[_Job]) -> Iterator[tuple[_Job, int, int]]:
        for job in jobs:
            spans = list(_spans(job))
            job.file = os.open(
                self._parts / str(job.index), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644
            )
            job.open_ranges = len(spans)
            if len(spans) > 1:
                _preallocate(job.file, job.item.size)
            for start, end in spans:
                yield job, start, end

    def _copy(self, job: _Job, start: int, end: int) -> None:
        """One range; the last one of an object also finishes it."""
        if self._stop.is_set():
            return
        whole = (start, end) == (0, job.item.size)
        running = (
            job.checksum.start() if job.checksum and (whole or job.checksum.combines) else None
        )
        if end > start:
            self._transfer.copy(job.item, job.file, (start, end), running, self._stop)
        with self._counting:
            job.sums[start] = (running.digest() if running else b"", end - start)
            self._done_bytes += end - start
            last = len(job.sums) == job.open_ranges
        if last:
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        part = self._parts / str(job.index)
        good = job.checksum is None or self._sum(job, job.checksum, part) == job.checksum.expected
        if good:
            os.fsync(job.file)
        job.close()
        if good:
            part.rename(self._tree / job.item.key)
        elif not job.retried:
            _log.warning("%s came with a wrong checksum; asking once more", job.item.key)
            job.retried, job.sums = True, {}
            self._again.append(job)
        else:
            raise StorageError(
                Reason.ChecksumMismatch,
                f"{job.item.key[-128:]} came twice with another {job.checksum.algorithm} than the "  # type: ignore[union-attr]  # good without one
                "store recorded for it: the stored bytes are damaged; upload the version again "
                "under a new number",
            )

    def _sum(self, job: _Job, checksum: Checksum, part: Path) -> bytes:
        if checksum.combines:
            return checksum.combine(job.sums[start] for start in sorted(job.sums))
        if job.open_ranges == 1:
            return job.sums[0][0]
        return _sum_file(part, checksum)

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            _log.info("fetched %d of %d MiB", _mib(self._done_bytes), _mib(self._total))


def _spans(job: _Job) -> Iterator[tuple[int, int]]:
    """The ranges that an object is asked for; an empty one has one empty range."""
    size = job.item.size
    if job.checksum is not None and job.checksum.part_bytes is not None:
        yield from job.checksum.spans(size, PART_BYTES)
    else:
        for start in range(0, max(1, size), PART_BYTES):
            yield start, min(start + PART_BYTES, size)


def _sum_file(path: Path, checksum: Checksum) -> bytes:
    """The checksum of a file in one pass."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        if not checksum.combines:
            return _sum_range(file, checksum, size)
        spans = checksum.spans(size, PART_BYTES)
        return checksum.combine(
            (_sum_range(file, checksum, end - start), end - start) for start, end in spans
        )


def _sum_range(file: RawIOBase, checksum: Checksum, length: int) -> bytes:
    running = checksum.start()
    while length > 0 and (chunk := file.read(min(READ_BYTES, length))):
        running.update(chunk)
        length -= len(chunk)
    return running.digest()


def _preallocate(file: int, size: int) -> None:
    """Room for a large file at once: a full disk shows before the bytes travel."""
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(file, size)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(error: OSError, lock: Lock, destination: Path) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            Reason.DiskFull,
            f"the model volume is full: version {lock.number} takes {_mib(lock.size)} MiB",
        )
    return StorageError(
        Reason.DiskFailed,
        f"{destination} cannot be written ({error.strerror or type(error).__name__}): check the "
        "volume and its owner",
    )


def _mib(count: int) -> int:
    return -(-count // (1024 * 1024))
