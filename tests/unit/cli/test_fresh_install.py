"""The command line in an environment of its own, as a pipeline has it: no TensorFlow, no checkout.

Builds the source archive and from it the wheel, installs the wheel and the pinned requirements
into a new virtual environment, and runs the example pipeline of the documentation there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lab.instance import cache_root

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "docs/examples/ci-check.sh"
SECONDS = 300

Done = subprocess.CompletedProcess[str]


def call(*command: object, **settings: str) -> Done:
    return subprocess.run(
        list(map(str, command)),
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **kept(), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def kept() -> dict[str, str]:
    """How this machine reaches its package index; nothing that leads to the checkout."""
    names = ("UV_", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy", "REQUESTS_")
    return {k: v for k, v in os.environ.items() if k.startswith(names)}


def done(*command: object, **settings: str) -> str:
    result = call(*command, **settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


class Fresh:
    """A virtual environment that has the wheel of this tree and the pinned requirements."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv/bin"
        self.work = folder / "work"
        self.work.mkdir()
        uv = max(cache_root().glob("uv/*/bin/uv"))
        done(uv, "build", "-q", "--python", sys.executable, "--out-dir", folder / "dist", ROOT)
        done(uv, "venv", "-q", "--python", sys.executable, folder / "venv")
        here = {"VIRTUAL_ENV": str(folder / "venv")}
        pins = ROOT / "dev/requirements/operator.txt"
        done(uv, "pip", "sync", "-q", "--require-hashes", pins, **here)
        wheel = next((folder / "dist").glob("*.whl"))
        done(uv, "pip", "install", "-q", "--no-deps", "--compile-bytecode", wheel, **here)
        done(uv, "pip", "check", **here)

    def run(self, *command: object) -> Done:
        return subprocess.run(
            list(map(str, command)),
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.work)},
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    return Fresh(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "smd.yaml"
    shutil.copy(ROOT / "docs/examples/canary.yaml", file)
    return file


def test_there_is_no_tensorflow_and_no_checkout(fresh):
    missing = fresh.run("python", "-c", "import tensorflow")
    assert "No module named 'tensorflow'" in missing.stderr
    where = fresh.run("python", "-c", "import savedmodel_operator as s; print(s.__file__)").stdout
    assert where.startswith(str(fresh.bin.parent))
    assert fresh.run("savedmodel", "--version").stdout.startswith("savedmodel, version ")
    assert "inspect" in fresh.run("kubectl-savedmodel", "--help").stdout


def test_the_pipeline_lets_a_compatible_version_pass(fresh, zoo, manifest):
    folder = zoo.folder / "two_signatures"
    result = fresh.run(SCRIPT, folder, folder, manifest)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ci: passed\n", "")
    report = json.loads((fresh.work / "check.json").read_text())
    assert report["passed"] is True
    assert report["terms"]["image"] == "tensorflow/serving:2.20.0"


def test_the_pipeline_stops_an_incompatible_and_a_damaged_version(fresh, zoo, manifest, tmp_path):
    stable = zoo.folder / "two_signatures"
    result = fresh.run(SCRIPT, zoo.folder / "defaults", stable, manifest)
    assert result.returncode == 1
    assert result.stdout.startswith("no: IncompatibleSignature: ")
    assert "break  wide is gone" in result.stdout
    damaged = tmp_path / "3"
    shutil.copytree(stable, damaged)
    shard = next(damaged.glob("variables/variables.data*"))
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    result = fresh.run(SCRIPT, damaged, stable, manifest)
    assert result.returncode == 1
    assert "no: TensorDamaged: " in result.stdout


def test_the_pipeline_tells_a_wrong_manifest_from_a_wrong_model(fresh, zoo, manifest):
    folder = zoo.folder / "module"
    text = manifest.read_text()
    manifest.write_text(text.replace("pollInterval", "pollinterval"))
    result = fresh.run(SCRIPT, folder, folder, manifest)
    assert result.returncode == 2
    assert 'unknown field "spec.source.pollinterval"; did you mean pollInterval?' in result.stdout
    manifest.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod"}))
    assert fresh.run(SCRIPT, folder, folder, manifest).returncode == 2
    assert fresh.run("savedmodel", "check").returncode == 2


def test_the_pipeline_tells_no_from_could_not_tell(fresh, zoo, manifest, tmp_path):
    folder = zoo.folder / "module"
    result = fresh.run(SCRIPT, folder, tmp_path / "nothing", manifest)
    assert result.returncode == 4
    assert result.stdout == "ci: could not tell, this is no verdict\n"
    assert f"{tmp_path / 'nothing'}" in result.stderr
    assert fresh.run(SCRIPT, folder, folder, tmp_path / "missing.yaml").returncode == 4
    closed = "http://127.0.0.1:9"
    options = ("--endpoint-url", closed, "--anonymous", "--region", "x")
    bucket = fresh.run("savedmodel", "check", folder, "--against", "s3://models/1", *options)
    assert (bucket.returncode, bucket.stdout) == (4, "")
    assert "Traceback" not in bucket.stderr


def test_diff_and_inspect_end_as_they_say(fresh, zoo):
    a, b = zoo.folder / "two_signatures", zoo.folder / "defaults"
    codes = [fresh.run("savedmodel", "diff", a, other).returncode for other in (a, b, a.parent)]
    assert codes == [0, 1, 4]
    codes = [fresh.run("savedmodel", "inspect", x).returncode for x in (a, a.parent)]
    assert codes == [0, 4]


def test_an_interrupt_ends_with_130(fresh, tmp_path):
    """Ctrl-C while a manifest is being read from a pipe that nobody writes to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [fresh.bin / "savedmodel", "lint", pipe],
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin"},
    )
    writer = writer_of(pipe, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=SECONDS) == 130
    os.close(writer)


def writer_of(pipe: Path, reader: subprocess.Popen[bytes]) -> int:
    """The pipe's other end, which can be opened only once the reader has opened its own."""
    while reader.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:  # ENXIO until then
            if error.errno != errno.ENXIO:
                raise
        time.sleep(0.01)
    raise AssertionError("the command ended before it read")
