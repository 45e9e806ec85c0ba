"""A process with a wall clock of its own, by Debian's libfaketime: for tests of clocks that jump.

Neighbours: `packages` installs it. The monotonic clock stays the machine's, as it does when a real
clock is set.
"""

from dataclasses import dataclass
from pathlib import Path

from lab import packages


@dataclass(frozen=True)
class Clock:
    """A clock that processes read from `file` at each look. Right until it is shifted."""

    file: Path

    def __post_init__(self) -> None:
        self.shift(0.0)

    def shift(self, seconds: float) -> None:
        """From now on it is this much ahead of this machine's."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that shall have it. Raises LabError where it cannot be had."""
        packages.ensure(packages.FOR_TESTS)
        return {
            "LD_PRELOAD": str(packages.FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
