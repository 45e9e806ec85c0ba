"""A zoo of real SavedModels, made once per session by TensorFlow in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


class Zoo:
    """The folders of the models, and what TensorFlow says of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth: dict[str, Any] = json.loads((folder / "truth.json").read_text())

    def pb(self, name: str) -> bytes:
        return (self.folder / name / "saved_model.pb").read_bytes()

    def index(self, name: str) -> bytes:
        return (self.folder / name / "variables" / "variables.index").read_bytes()

    def listing(self, name: str) -> dict[str, int]:
        root = self.folder / name
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.stat().st_size for path in files}


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo")
    script = Path(__file__).parent / "savedmodel" / "make_zoo.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return Zoo(folder)
