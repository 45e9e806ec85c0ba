"""A version directory on this machine: its listing and its files as the readers want them.

For the offline commands. Reads only what the readers ask for; it must not judge what it reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from savedmodel_operator.savedmodel import (
    BundleIndex,
    MalformedModel,
    ModelFacts,
    read_bundle_index,
    read_saved_model,
)
from savedmodel_operator.savedmodel.bundle import MAX_INDEX_BYTES
from savedmodel_operator.savedmodel.layout import INDEX, PB, Layout, check_layout

MAX_FILES = 100_000
"""Files of one version; more is a folder that is none."""


class NotReadableError(Exception):
    """The question could not be answered; the text says why and what to try."""


class FileSource:
    """A `Source` over an open file: byte ranges, nothing kept."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there; fewer only where the file became shorter meanwhile."""
        return os.pread(self._descriptor, length, offset)


@dataclass(frozen=True)
class LocalVersion:
    """What one look at the directory gave; None for a file that is missing or malformed."""

    path: Path
    listing: dict[str, int]
    facts: ModelFacts | None
    bundle: BundleIndex | None
    layout: Layout


def read_version(path: Path) -> LocalVersion:
    """Reads a version directory, or the one that the given saved_model.pb lies in.

    Raises NotReadableError for what is no version directory or may not be read.
    """
    folder = path.parent if path.name == PB and path.is_file() else path
    try:
        listing = dict(_walk(folder))
        facts = _facts(folder) if listing.get(PB) else None
        bundle = _bundle(folder) if listing.get(INDEX) else None
    except OSError as error:
        raise NotReadableError(f"{error.filename or folder}: {error.strerror or error}") from error
    _expect_version(folder, listing)
    layout = check_layout(listing, facts, bundle)
    return LocalVersion(
        folder,
        listing,
        facts if isinstance(facts, ModelFacts) else None,
        bundle if isinstance(bundle, BundleIndex) else None,
        layout,
    )


def _expect_version(folder: Path, listing: dict[str, int]) -> None:
    """A folder of versions is the usual slip; name what is in it."""
    if any(key.startswith(("saved_model.", "variables/")) for key in listing):
        return
    versions = sorted({key.split("/")[0] for key in listing if key.split("/")[0].isdecimal()})
    hint = (
        f"; it holds the versions {', '.join(versions[:5])}: name one of them" if versions else ""
    )
    raise NotReadableError(f"{folder} is no version directory: there is no {PB} in it{hint}")


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    if not folder.is_dir():
        raise NotReadableError(f"{folder} is no directory")
    count = 0
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            count += 1
            if count > MAX_FILES:
                raise NotReadableError(f"{folder} has more than {MAX_FILES} files")
            file = Path(parent, name)
            yield file.relative_to(folder).as_posix(), file.stat().st_size


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _opened(path: Path) -> Iterator[FileSource]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield FileSource(descriptor)
    finally:
        os.close(descriptor)


def _facts(folder: Path) -> ModelFacts | MalformedModel:
    with _opened(folder / PB) as source:
        try:
            return read_saved_model(source)
        except MalformedModel as error:
            return error


def _bundle(folder: Path) -> BundleIndex | MalformedModel:
    with _opened(folder / INDEX) as source:
        try:
            return read_bundle_index(source.read(0, min(source.size, MAX_INDEX_BYTES + 1)))
        except MalformedModel as error:
            return error
