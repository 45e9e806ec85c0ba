"""A control group of one's own with a limit of memory, in which the kernel kills.

As the kubelet limits a container, on this machine's own hierarchy (version 1 or 2). Root is needed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cgroups import ROOT

PATIENCE = 10.0


@dataclass(frozen=True)
class Group:
    """What it is told and asked by."""

    folder: Path
    limit: str
    counts: str

    def take(self, process: int, room: int) -> None:
        """What the process takes from now on counts, up to `room` bytes."""
        (self.folder / self.limit).write_text(str(room))
        (self.folder / "cgroup.procs").write_text(str(process))

    @property
    def kills(self) -> int:
        """How many processes the kernel killed for it."""
        lines = (self.folder / self.counts).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextmanager
def limited(name: str) -> Iterator[Group]:
    """A new group until it is left; by then its processes have ended."""
    if (ROOT / "cgroup.controllers").exists():
        (ROOT / "cgroup.subtree_control").write_text("+memory")
        group = Group(ROOT / name, "memory.max", "memory.events")
    else:
        group = Group(ROOT / "memory" / name, "memory.limit_in_bytes", "memory.oom_control")
    group.folder.mkdir()
    try:
        yield group
    finally:
        end = time.monotonic() + PATIENCE
        while group.folder.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):  # the kernel forgets the dead a moment later
                group.folder.rmdir()
            time.sleep(0.05)
