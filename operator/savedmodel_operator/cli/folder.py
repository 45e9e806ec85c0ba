"""A version directory on this machine: its listing, and its files as byte ranges.

One of the places of `target`. Reads only what it is asked for; it must not judge what it reads.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from savedmodel_operator.cli.reading import (
    GRAPH_FILES,
    MAX_FILES,
    NotReadableError,
    looks_like_version,
    no_version,
)


class FileSource:
    """A `Source` over a file: byte ranges, nothing kept. The file is closed with the object."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there; fewer only where the file became shorter meanwhile."""
        with _readable(None):
            return os.pread(self._descriptor, length, offset)


class FolderPlace:
    """See `target.Place`."""

    chunk = 1024 * 1024

    def __init__(self, text: str) -> None:
        path = Path(text)
        self._folder = path.parent if path.name in GRAPH_FILES and path.is_file() else path

    @property
    def name(self) -> str:
        """The path."""
        return str(self._folder)

    def listing(self) -> dict[str, int]:
        """Relative path → size in bytes of all files."""
        with _readable(self._folder):
            listing = dict(self._walk())
        if not any(map(looks_like_version, listing)):
            raise no_version(self.name, [key.split("/")[0] for key in listing])
        return listing

    def open(self, key: str) -> FileSource:
        """A file of the listing."""
        with _readable(self._folder / key):
            return FileSource(self._folder / key)

    def _walk(self) -> Iterator[tuple[str, int]]:
        if not self._folder.is_dir():
            raise NotReadableError(f"{self._folder} is no directory")
        count = 0
        for parent, _, names in os.walk(self._folder, onerror=_raise):
            for name in names:
                count += 1
                if count > MAX_FILES:
                    raise NotReadableError(f"{self._folder} has more than {MAX_FILES} files")
                file = Path(parent, name)
                yield file.relative_to(self._folder).as_posix(), file.stat().st_size


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _readable(path: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = error.filename or path or "the file"
        raise NotReadableError(f"{named}: {error.strerror or error}") from error
