"""`savedmodel fetch` as the init container runs it: a process, its exit code, its last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bucket_server import KEY, Bucket
from savedmodel_operator.storage.fetch import PART_BYTES
from savedmodel_operator.storage.lock import encode_lock

from .proxy import Proxy
from .test_fetch import PREFIX, make_lock, noise, tree

RUN = "from savedmodel_operator.cli.fetch import fetch; fetch()"


def command(lock: Path, destination: Path, endpoint: str, *more: str, **env: str) -> dict[str, Any]:
    argv = [sys.executable, "-c", RUN, "--lock", str(lock), "--destination", str(destination)]
    argv += ["--endpoint", endpoint, "--termination-log", str(lock.with_name("last-words"))]
    key = {
        "AWS_ACCESS_KEY_ID": KEY.access_key_id,
        "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
    }
    return {"args": [*argv, *more], "env": {**os.environ, **key, **env}}


def run(*args: Any, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        **command(*args, **env), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def lock_file(bucket: Bucket, model: dict[str, bytes], tmp_path: Path) -> Path:
    bucket.put_tree(PREFIX, model)
    file = tmp_path / "lock.json.gz"
    file.write_bytes(encode_lock(make_lock(bucket)))
    return file


def last_words(lock_file: Path) -> Any:
    lines = lock_file.with_name("last-words").read_text().splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_success(bucket: Bucket, model: dict[str, bytes], lock_file: Path, tmp_path: Path):
    done = run(lock_file, tmp_path / "models", bucket.server.endpoint)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "models") == {f"7/{key}": body for key, body in model.items()}
    said = last_words(lock_file)
    assert (said["objects"], said["bytes"]) == (len(model), sum(map(len, model.values())))
    assert f"fetched {len(model)} objects" in done.stderr
    again = run(lock_file, tmp_path / "models", bucket.server.endpoint)
    assert (again.returncode, "nothing to fetch" in again.stderr) == (0, True)


@pytest.mark.parametrize(
    ("env", "more", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, (), "Forbidden"),
        ({"AWS_ACCESS_KEY_ID": ""}, (), "SecretMissing"),
        ({}, ("--anonymous",), "Forbidden"),
    ],
)
def test_could_not_tell(
    bucket: Bucket,
    lock_file: Path,
    tmp_path: Path,
    env: dict[str, str],
    more: tuple[str, ...],
    reason: str,
):
    done = run(lock_file, tmp_path / "models", bucket.server.endpoint, *more, **env)
    assert done.returncode == 4
    assert last_words(lock_file)["reason"] == reason
    assert "Traceback" not in done.stderr
    for secret in (KEY.secret_access_key, KEY.access_key_id, "wrong"):
        assert secret not in done.stderr


def test_the_verdict_is_no(bucket: Bucket, lock_file: Path, tmp_path: Path):
    bucket.put(f"{PREFIX}saved_model.pb", b"other bytes")
    done = run(lock_file, tmp_path / "models", bucket.server.endpoint)
    assert done.returncode == 1
    assert last_words(lock_file)["reason"] == "ObjectChanged"


def test_a_damaged_lock(bucket: Bucket, lock_file: Path, tmp_path: Path):
    lock_file.write_bytes(lock_file.read_bytes()[:-3])
    done = run(lock_file, tmp_path / "models", bucket.server.endpoint)
    assert (done.returncode, last_words(lock_file)["reason"]) == (1, "MalformedLock")


def test_killed_in_the_middle_then_run_again(bucket: Bucket, tmp_path: Path):
    """SIGKILL after some objects are whole: nothing is visible, the rest is all that is asked."""
    files = {f"assets/{n}": noise(n, PART_BYTES // 2) for n in range(12)}
    bucket.put_tree(PREFIX, files)
    file = tmp_path / "lock"
    file.write_bytes(encode_lock(make_lock(bucket)))
    models = tmp_path / "models"
    proxy = Proxy(bucket.server.port, limit=80 * 1024 * 1024)
    try:
        process = subprocess.Popen(**command(file, models, proxy.endpoint), stderr=subprocess.PIPE)
        assert proxy.reached.wait(60)
        process.kill()
        process.communicate(timeout=20)
    finally:
        proxy.close()
    assert not (models / "7").exists()
    whole = sum(1 for path in models.glob(".staging-*/tree/assets/*"))
    assert 0 < whole < 12
    done = run(file, models, bucket.server.endpoint)
    assert done.returncode == 0, done.stderr
    assert tree(models) == {f"7/{key}": body for key, body in files.items()}
    assert last_words(file)["objects"] == 12 - whole


def test_what_a_power_cut_left_is_not_believed(bucket: Bucket, tmp_path: Path):
    """A file of the right size but with lost bytes, in the tree of a run that did not end."""
    files = {"a": b"first", "b": b"other"}
    bucket.put_tree(PREFIX, files)
    lock = make_lock(bucket)
    left = tmp_path / "models" / f".staging-{lock.fingerprint[7:23]}" / "tree"
    left.mkdir(parents=True)
    (left / "a").write_bytes(b"first")
    (left / "b").write_bytes(b"\x00" * 5)
    (left / "foreign").write_bytes(b"x")
    file = tmp_path / "lock"
    file.write_bytes(encode_lock(lock))
    done = run(file, tmp_path / "models", bucket.server.endpoint)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "models") == {"7/a": b"first", "7/b": b"other"}
    assert last_words(file)["objects"] == 1
