"""The fetcher's last look: do the tensors have the checksums that were saved with them?

What a store vouches for is what was uploaded to it. A bit that flipped before (on the disk of the
training job, in the memory of whoever copied) passes all of that, and TensorFlow would find it as
DATA_LOSS in a crash loop. The operator reads only headers, so it is here, where
every byte lies on a local disk and in its cache, that the check costs little: 0.22 s of CPU for a
GiB. Called by `fetch` before the version gets its name. It must not delete what is whole.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.savedmodel.bundle import (
    FILE,
    MAX_INDEX_BYTES,
    BundleEntry,
    BundleIndex,
    read_bundle_index,
)
from savedmodel_operator.savedmodel.checksum import Damage, check_shard, refuse_overlap
from savedmodel_operator.savedmodel.wire import MalformedModel
from savedmodel_operator.storage.base import StorageError

CHUNK_BYTES = 256 * 1024
"""Stays in the processor's cache between file and checksum (6.6 GB/s; with 8 MiB 4.1)."""

SHARE_BYTES = 32 * 1024 * 1024
"""Tensors of about that many bytes together are one worker's task."""

_NAMED = 3

_log = logging.getLogger(__name__)


def expect_whole_tensors(tree: Path, number: int, workers: int) -> None:
    """Compares every tensor of the version directory `tree` with its checksum.

    Shards with damage are removed, so that the next run asks the store for them again. A version
    without variables has nothing to compare. Raises StorageError(TensorDamaged) and OSError.
    """
    if not (tree / FILE).is_file():
        return
    started = time.monotonic()
    try:
        index = _index(tree)
        damaged = _damaged(tree, index, workers)
    except MalformedModel as error:
        (tree / FILE).unlink()
        raise StorageError(Reason.TensorDamaged, _sentence(number, str(error))) from error
    if damaged:
        for shard in {damage.shard for damage in damaged}:
            (tree / shard).unlink(missing_ok=True)
        more = f"; and {len(damaged) - _NAMED} more tensors" if len(damaged) > _NAMED else ""
        text = "; ".join(_shown(damage) for damage in damaged[:_NAMED]) + more
        raise StorageError(Reason.TensorDamaged, _sentence(number, text))
    tensors, size = len(index.entries), sum(index.shard_sizes)
    _log.info(
        "%d tensors, %d bytes have their checksums (%.2f s)",
        tensors,
        size,
        time.monotonic() - started,
    )


def _index(tree: Path) -> BundleIndex:
    with (tree / FILE).open("rb") as file:
        return read_bundle_index(file.read(MAX_INDEX_BYTES + 1))


def _damaged(tree: Path, index: BundleIndex, workers: int) -> list[Damage]:
    refuse_overlap(index)

    def check(share: tuple[str, list[BundleEntry]]) -> list[Damage]:
        key, entries = share
        with _Shard(tree / key) as shard:
            return list(check_shard(entries, key, shard, CHUNK_BYTES))

    with ThreadPoolExecutor(workers, "tensors") as pool:
        return [damage for found in pool.map(check, _shares(index)) for damage in found]


def _shares(index: BundleIndex) -> Iterator[tuple[str, list[BundleEntry]]]:
    """Tensors that lie beside each other in one shard, in tasks of about the same size."""
    keys = list(index.shards)
    share: list[BundleEntry] = []
    size = 0
    for entry in sorted(index.entries, key=lambda e: (e.shard, e.offset)):
        if share and (entry.shard != share[0].shard or size >= SHARE_BYTES):
            yield keys[share[0].shard], share
            share, size = [], 0
        if entry.size:
            share.append(entry)
            size += entry.size
    if share:
        yield keys[share[0].shard], share


class _Shard:
    """A file as a `Source`. One that is not there has no bytes."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY) if path.is_file() else -1
        self.size = os.fstat(self._file).st_size if self._file >= 0 else 0

    def __enter__(self) -> _Shard:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there."""
        return os.pread(self._file, length, offset)


def _shown(damage: Damage) -> str:
    """A name may have thousands of characters, a termination message has 4,096."""
    return str(damage).replace(damage.tensor, damage.tensor[:128], 1)


def _sentence(number: int, what: str) -> str:
    return (
        f"version {number} is damaged since before it was uploaded: {what}; upload it again from "
        "its origin under a new number"
    )
