"""Names in a bucket, judged before any path exists: version directories, keys, fingerprints.

Pure. `discover.py` feeds it listings, `lock.py` and `fetch.py` ask it again about every key they
are handed, so a hostile key has to pass three independent checks to become a path. It must not
list, read or write anything.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

MAX_NUMBER = 2**63 - 1
"""TF Serving reads a version as int64."""

MAX_KEY_BYTES = 1024
"""S3 allows 1,024 bytes of UTF-8 for a whole key, so no honest relative key is longer."""

MAX_SEGMENT_BYTES = 255
"""NAME_MAX of every Linux file system a model volume may have."""

MAX_SEGMENTS = 32
"""A SavedModel needs 2 (`variables/x`); assets may nest. 32 keeps a path far below PATH_MAX."""

IGNORED_NAMES_KEPT = 10
"""Names of ignored directories go to status: 10 × 64 characters stay below 1 KiB."""

IGNORED_NAME_CHARACTERS = 64

_DIGITS = re.compile(r"[0-9]{1,255}", re.ASCII)
_ETAG = re.compile(r"[\x21\x23-\x7e]{1,256}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Directory:
    """One version directory: its canonical number and its name as the bucket spells it."""

    number: int
    name: str


@dataclass(frozen=True)
class Directories:
    """A listing sorted out: served numbers newest first, doubled numbers, and what is no version.

    `ignored` is bounded and made printable for status; `ignored_count` counts all of them.
    """

    versions: tuple[Directory, ...] = ()
    ambiguous: tuple[tuple[int, tuple[str, ...]], ...] = ()
    ignored: tuple[str, ...] = ()
    ignored_count: int = 0


def parse_number(name: str) -> int | None:
    """The version number that a directory name spells, or None where it is no version.

    Non-negative decimal int64, leading zeros allowed, ASCII digits only: `+1`, `-1`, ` 1`,
    2^63 and other scripts' digits are no versions (design.md §2; TF Serving would take some).
    """
    if not _DIGITS.fullmatch(name):
        return None
    number = int(name)
    return number if number <= MAX_NUMBER else None


def sort_directories(names: Iterable[str]) -> Directories:
    """Sorts a listing's directory names (without slash) into versions, doubles and the rest."""
    by_number: defaultdict[int, list[str]] = defaultdict(list)
    ignored: list[str] = []
    for name in names:
        number = parse_number(name)
        if number is None:
            ignored.append(name)
        elif name not in by_number[number]:  # a listing may repeat a key
            by_number[number].append(name)
    ordered = sorted(by_number.items(), reverse=True)
    return Directories(
        versions=tuple(Directory(number, found[0]) for number, found in ordered if len(found) == 1),
        ambiguous=tuple((number, tuple(sorted(found))) for number, found in ordered if found[1:]),
        ignored=tuple(printable(name) for name in sorted(ignored)[:IGNORED_NAMES_KEPT]),
        ignored_count=len(ignored),
    )


def printable(name: str) -> str:
    """A name from a bucket made fit for a status field: bounded, and no control characters."""
    shown = "".join(c if c.isprintable() else "?" for c in name[:IGNORED_NAME_CHARACTERS])
    return shown + "…" if len(name) > IGNORED_NAME_CHARACTERS else shown


def key_fault(relative: str) -> str | None:
    """What is wrong with a relative object key, in words, or None where it can become a path.

    The words never repeat the key: it may be 2 kB of anything.
    """
    try:
        encoded = relative.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if not encoded:
        return "is empty"
    if len(encoded) > MAX_KEY_BYTES:
        return f"is {len(encoded)} bytes long; {MAX_KEY_BYTES} is the limit"
    if _CONTROL.search(relative):
        return "contains a control character"
    if "\\" in relative:
        return "contains a backslash"
    if relative.startswith("/"):
        return "is absolute"
    return _segment_fault(relative.split("/"))


def _segment_fault(segments: list[str]) -> str | None:
    if len(segments) > MAX_SEGMENTS:
        return f"is nested {len(segments)} deep; {MAX_SEGMENTS} is the limit"
    for segment in segments:
        if segment == "":
            return "has an empty path segment"
        if segment in (".", ".."):
            return f"has the path segment “{segment}”"
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"has a path segment longer than {MAX_SEGMENT_BYTES} bytes"
    return None


def tree_fault(keys: Iterable[str]) -> str | None:
    """What keeps a set of keys from being a directory tree: a bad key, a double, file = folder."""
    seen: set[str] = set()
    for key in keys:
        fault = key_fault(key)
        if fault is not None:
            return f"object key “{printable(key)}” {fault}"
        if key in seen:
            return f"object key “{printable(key)}” is listed twice"
        seen.add(key)
    for key in seen:
        parent = key.rpartition("/")[0]
        while parent:
            if parent in seen:
                return f"object key “{printable(parent)}” is both a file and a folder"
            parent = parent.rpartition("/")[0]
    return None


def usable_etag(etag: str) -> bool:
    """Whether an ETag (without quotes) can identify bytes and stand in an If-Match header."""
    return _ETAG.fullmatch(etag) is not None


def fingerprint(objects: Iterable[tuple[str, int, str]]) -> str:
    """`sha256:` + SHA-256 over the sorted (relative key, size in bytes, ETag or checksum) triples.

    Each triple is one line of JSON, so that no choice of keys can imitate another list. The
    caller leaves the ready marker and folder placeholders out.
    """
    digest = hashlib.sha256()
    for triple in sorted(objects):
        digest.update(json.dumps(triple, separators=(",", ":")).encode())
        digest.update(b"\n")
    return "sha256:" + digest.hexdigest()
