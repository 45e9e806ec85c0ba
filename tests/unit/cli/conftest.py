"""Served models for the commands that call them: the stand-in's own and those made here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from savedmodel_operator.cli.__main__ import main
from unit.serving_compatible.conftest import Server, model_entry, models, serving

__all__ = ["models"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def run_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of versions: echo/7, shapes/1, names/1."""
    folder = tmp_path_factory.mktemp("run_models")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("make_run_models.py")), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="session")
def served(
    models: Path, run_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server with all of them; half has two versions, 123 with the label stable."""
    folder = tmp_path_factory.mktemp("served")
    entries = [
        model_entry("half", models / "half", "model_version_policy { all {} } "
                    'version_labels { key: "stable" value: 123 }'),
        *(model_entry(name, models / name) for name in ("zoo", "defaulted", "dense")),
        *(model_entry(name, run_models / name) for name in ("echo", "shapes", "names")),
    ]  # fmt: skip
    config = folder / "models.txt"
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    with serving(
        folder,
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        "--file_system_poll_wait_seconds=0",
    ) as running:
        yield running


@pytest.fixture
def savedmodel() -> Run:
    """Calls the program in this process: (exit code, stdout, stderr)."""

    def call(*args: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    return call


@pytest.fixture
def program() -> Run:
    """Calls the program in a process of its own; TensorFlow may be imported there."""

    def call(*args: object, before: str = "") -> tuple[int, str, str]:
        start = f"import sys; {before}\nfrom savedmodel_operator.cli.__main__ import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start, *(str(a) for a in args)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return call
