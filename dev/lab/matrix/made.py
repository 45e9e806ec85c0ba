"""The families' SavedModels, made once and kept outside the tree.

Neighbours: `make` writes them in a process with TensorFlow, `lab.cache` finds them again by the
hash of what they are made from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.cache import digest, file_parts, publish
from lab.errors import LabError
from lab.instance import cache_root
from lab.matrix.variants import Family, describe

ROOT = Path(__file__).resolve().parents[3]

MAKERS = ("dev/lab/matrix/make*.py", "dev/requirements/dev.txt")
"""What the bytes depend on beside the families: the programs and TensorFlow's version."""


def made(families: Sequence[Family]) -> Path:
    """The folder with FAMILY/VERSION/1. Raises LabError with the maker's last words."""
    described = describe(tuple(families))
    key = digest([("families", described.encode()), *file_parts(ROOT, MAKERS)])
    return publish(cache_root(os.environ) / "matrix" / key, lambda into: _make(into, described))


def _make(folder: Path, described: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.matrix.make", str(folder)],
        input=described,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT / "dev")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"the models were not made: {done.stderr[-2000:]}")


def versions(families: Sequence[Family], root: Path) -> list[Path]:
    """The base path of every version."""
    return [root / family.name / name for family in families for name in family.members]
