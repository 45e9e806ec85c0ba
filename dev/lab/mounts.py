"""What is mounted below the folders of the cluster, and how it goes away again.

Neighbours: `native` calls this when a cluster ends. Must not look outside the folders it is given.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from lab.command import run

_OCTAL = re.compile(r"\\([0-7]{3})")


def below(folders: Sequence[Path], table: str | None = None) -> list[str]:
    """Mount points at or below `folders`, innermost (last mounted) first.

    `table` is the text of /proc/self/mountinfo, read afresh when None.
    """
    text = Path("/proc/self/mountinfo").read_text() if table is None else table
    escaped = [line.split()[4] for line in text.splitlines()]
    points = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), point) for point in escaped]
    prefixes = [str(folder) for folder in folders]
    mine = [
        point
        for point in points
        if any(point == prefix or point.startswith(prefix + "/") for prefix in prefixes)
    ]
    return mine[::-1]


def release(folders: Sequence[Path]) -> None:
    """Unmount everything at or below `folders`; lazily, because its users were killed just now."""
    for point in below(folders):
        run(["umount", "--lazy", point])
