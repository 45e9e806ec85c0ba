"""Things that are made once: found again by the hash of what they are made from.

Neighbours: `build` (programs), `images` (image archives). A half-made thing is never visible: it
is made in a folder of another name, which is then renamed. Must not know what it stores.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

#: Sixteen hexadecimal digits: 2^64 values, so that two of a few thousand entries never meet.
DIGITS = 16


def digest(parts: Iterable[tuple[str, bytes]]) -> str:
    """The hash of named parts; names and lengths are in it, so that no two lists look alike."""
    total = hashlib.sha256()
    for name, content in parts:
        total.update(f"{len(name)}:{name}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()[:DIGITS]


def file_parts(root: Path, patterns: Iterable[str]) -> list[tuple[str, bytes]]:
    """Files under `root` by glob, sorted, as (relative name, content); no compiled Python."""
    found: set[Path] = set()
    for pattern in patterns:
        found.update(path for path in root.glob(pattern) if path.is_file())
    return [
        (path.relative_to(root).as_posix(), path.read_bytes())
        for path in sorted(found)
        if "__pycache__" not in path.parts
    ]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time holds `path`; another one waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def publish(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder `target`, made by `make(folder)` if it is not there; whole or not at all."""
    if target.is_dir():
        return target
    with locked(target.parent / f".{target.name}.lock"):
        if target.is_dir():
            return target
        unfinished = target.parent / f".{target.name}.{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            make(unfinished)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target
