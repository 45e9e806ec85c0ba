"""What the places of a version have in common: counted reads, and the error of a question that
could not be answered. Stands below `target`, `folder` and `bucket`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from savedmodel_operator.savedmodel import Source
from savedmodel_operator.savedmodel.saved_model import FILE, TEXT_FILE

MAX_FILES = 100_000
"""Files of one version; more is a folder that is none."""


GRAPH_FILES = (FILE, TEXT_FILE)
"""Either may be named in place of its folder."""

_NAMED = 5


class NotReadableError(Exception):
    """The question could not be answered; the text says why and what to try."""


@dataclass
class Meter:
    """Counts what is read of files: bytes and ranges."""

    bytes: int = 0
    reads: int = 0


class Metered:
    """A `Source` that counts."""

    def __init__(self, source: Source, meter: Meter) -> None:
        self._source = source
        self._meter = meter

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """As the source itself."""
        data = self._source.read(offset, length)
        self._meter.bytes += len(data)
        self._meter.reads += 1
        return data


def no_version(name: str, names: Iterable[str]) -> NotReadableError:
    """For a place that is no version directory; `names` are those of its directories.

    A folder of versions is the usual slip, so what to name instead is said.
    """
    versions = sorted({n for n in names if n.isascii() and n.isdecimal()}, key=int, reverse=True)
    hint = ""
    if versions:
        more = ", …" * (len(versions) > _NAMED)
        shown = f"{', '.join(versions[:_NAMED])}{more}"
        hint = f"; it holds the versions {shown}: name one of them{_doubles(versions)}"
    text = f"{name} is no version directory: there is no saved_model.pb in it{hint}"
    return NotReadableError(text)


def _doubles(versions: Iterable[str]) -> str:
    """Two names of one number: the operator refuses both."""
    by_number: dict[int, list[str]] = {}
    for name in versions:
        by_number.setdefault(int(name), []).append(name)
    double = next((names for names in by_number.values() if names[1:]), None)
    return f" ({' and '.join(sorted(double)[:4])} are one number)" if double else ""


def looks_like_version(key: str) -> bool:
    """Whether only a version directory has a file of this relative key."""
    return key.startswith(("saved_model.", "variables/"))
