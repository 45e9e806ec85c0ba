"""The zoo of real SavedModels and what TensorFlow says of each, kept outside the tree between runs.

Made again when one of its makers, or the pinned TensorFlow, is another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from lab.cache import digest, file_parts, publish
from lab.instance import cache_root

ROOT = Path(__file__).resolve().parents[3]
MAKERS = (
    "tests/unit/zoo/zoo_*.py",
    "tests/unit/zoo/make_great_zoo.py",
    "dev/requirements/dev.txt",
)


def _make(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/unit/zoo/make_great_zoo.py"), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@cache
def folder() -> Path:
    """NAME/ for each model, truth.json. The first time takes half a minute and 300 MB."""
    key = digest(file_parts(ROOT, MAKERS))
    return publish(cache_root(os.environ) / "zoo" / key, _make)


@cache
def truth() -> dict[str, Any]:
    """Model → what TensorFlow says."""
    return json.loads((folder() / "truth.json").read_text())
