"""Sample models from TensorFlow to the S3 server.

Neighbours: `models` builds, `s3` is the server, `samples` the table. Uploads as a careful training
job does: `saved_model.pb` last, so that a reader never sees a version that looks whole and is not.
Must not know the operator.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.samples import ALL, Sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Seconds. Importing TensorFlow and saving all samples takes 8 on two idle cores.
PATIENCE = 180


def build(folder: Path, samples: Iterable[Sample] = ALL) -> None:
    """Have the samples in `folder`, made in a process of its own. Raises LabError with its words."""
    keys = [one.key for one in samples]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-m", "lab.models", str(folder), *keys],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise LabError(f"the sample models could not be made:\n{done.stderr[-2000:]}")


def ensure_bucket(client: "S3Client", bucket: str) -> None:
    """A bucket of this name, made if it is not there."""
    if bucket not in {b.get("Name") for b in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)


def upload(
    client: "S3Client", folder: Path, sample: Sample, bucket: str, prefix: str, directory: str = ""
) -> None:
    """Bring one version to `bucket`/`prefix`/DIRECTORY, whose default is the sample's own."""
    root = folder / sample.key
    base = f"{prefix.strip('/')}/{directory or sample.directory}"
    files = sorted(p for p in root.rglob("*") if p.is_file())
    if not files:
        raise LabError(f"{root} holds no model; build it first")
    files.sort(key=lambda path: path.name == "saved_model.pb")
    for path in files:
        key = f"{base}/{path.relative_to(root).as_posix()}"
        client.upload_file(str(path), bucket, key)


def empty(client: "S3Client", bucket: str, prefix: str) -> None:
    """Delete everything below `prefix`."""
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=f"{prefix.strip('/')}/"
    )
    for page in pages:
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=entry["Key"])
