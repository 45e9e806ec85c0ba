"""S3 servers and buckets for tests, and a real SavedModel to put there.

A pytest plugin that the conftest of each folder which needs it registers. `bucket_server` has the
server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucket_server import Bucket, S3Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    started = S3Server(tmp_path_factory.mktemp("s3"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def versioned_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    started = S3Server(tmp_path_factory.mktemp("s3-versioned"), versioned=True)
    yield started
    started.stop()


def _bucket_name(request: pytest.FixtureRequest) -> str:
    return f"b{abs(hash(request.node.nodeid)) % 10**12}"


@pytest.fixture
def bucket(server: S3Server, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    made = Bucket(server, _bucket_name(request))
    yield made
    made.client.close()


@pytest.fixture
def versioned_bucket(
    versioned_server: S3Server, request: pytest.FixtureRequest
) -> Iterator[Bucket]:
    made = Bucket(versioned_server, _bucket_name(request), versioned=True)
    yield made
    made.client.close()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel by TensorFlow (in a process of its own), and its graph as text beside it."""
    folder = tmp_path_factory.mktemp("model")
    script = Path(__file__).parent / "storage" / "make_model.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="session")
def model(exported: Path) -> dict[str, bytes]:
    """The SavedModel: relative key → bytes."""
    files = (path for path in exported.rglob("*") if path.is_file())
    return {str(path.relative_to(exported)): path.read_bytes() for path in files}
