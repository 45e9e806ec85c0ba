"""The fetcher dies in the middle of a version. `savedmodel fetch` as the process of the init container.

Against a real S3 server through a proxy; no cluster. `test_c_store_bytes` has what the store does wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from campaign_case import Seen, case
from replica import until

from bucket_server import KEY, Bucket
from lab.injection.store_faults import Delay, Match
from lab.injection.store_proxy import StoreProxy
from savedmodel_operator.storage.discover import discover
from savedmodel_operator.storage.lock import encode_lock

PREFIX = "flowers/"
SHARD = "variables/variables.data-00000-of-00001"
FETCH = "from savedmodel_operator.cli.fetch import fetch; fetch()"
KEYS = {"AWS_ACCESS_KEY_ID": KEY.access_key_id, "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key}


def command(bucket: Bucket, endpoint: str, folder: Path) -> list[str]:
    """Of a fetch of version 1 into `folder`/models."""
    first = discover(bucket.store(), PREFIX)
    lock = discover(bucket.store(), PREFIX, previous=first).versions[0].lock
    assert lock is not None
    file = folder / "lock.json.gz"
    file.write_bytes(encode_lock(lock))
    words = [sys.executable, "-c", FETCH, "--lock", str(file), "--endpoint", endpoint]
    words += ["--destination", str(folder / "models")]
    return [*words, "--termination-log", str(folder / "last-words")]


@case(
    "B2",
    injection="SIGKILL of the fetcher while one object's bytes are awaited and others are there; then "
    "run again, as the kubelet does",
    expected="no partial copy is ever visible; it resumes: what is whole is not asked for again; the "
    "copy is that of the bucket, byte for byte",
    where="process",
)
def test_b2_killed_in_the_middle_of_a_fetch(
    bucket: Bucket, model: dict[str, bytes], tmp_path: Path, seen: Seen
) -> None:
    bucket.put_tree(f"{PREFIX}1/", model)
    models, weights = tmp_path / "models", Match(("GET",), key=f"*/{SHARD}")
    environment = {**os.environ, **KEYS}
    with StoreProxy(bucket.server.endpoint) as proxy:
        argv = command(bucket, proxy.endpoint, tmp_path)
        with proxy.inject(Delay(600), weights, times=1) as asked:
            process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
            try:
                until(lambda: asked.hits, "the weights to be asked for")
                until(lambda: whole(models) >= len(model) - 1, "all others to be there")
            finally:
                process.kill()
                process.wait(60)
        visible = [path.name for path in models.glob("[!.]*")]
        kept = whole(models)
        done = subprocess.run(
            argv, env=environment, stderr=subprocess.PIPE, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
    assert not visible
    told = json.loads((tmp_path / "last-words").read_text())
    found = {p.relative_to(models / "1").as_posix(): p for p in (models / "1").rglob("*")}
    assert {n: p.read_bytes() for n, p in found.items() if p.is_file()} == model
    assert told["objects"] == len(model) - kept == 1
    seen.say(
        f"killed with {kept} of {len(model)} objects: nothing visible; again: {told['objects']} "
        "fetched, all bytes equal"
    )


def whole(models: Path) -> int:
    """Objects in the staging folder that have their own names."""
    return sum(path.is_file() for path in models.glob(".staging-*/tree/**/*"))
