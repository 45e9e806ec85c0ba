"""`dev/bench fetch`: our fetcher beside s5cmd and cp, from a real S3 server on loopback.

Neighbours: `measured`, `build` (versitygw). The workloads are those of the budgets: W1 one large
shard, W2 eight middle ones, W3 two thousand small files and a shard. Ours verifies CRC32C and
fsyncs, the others do neither. Server and client share the machine, so seconds of CPU tell more
than seconds. s5cmd takes part where it is on the PATH.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import click
import google_crc32c
from rich.console import Console
from rich.table import Table

from lab import build
from lab.errors import LabError
from lab.measured import Series, quiet_environment, take_peak, take_time
from lab.progress import step
from savedmodel_operator.api.lock import encode
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.lock import fingerprint_objects

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
KEY = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret"}
COMMAND = "from savedmodel_operator.cli.__main__ import main; main()"

WORKLOADS: dict[str, dict[str, int]] = {
    "w1": {"variables/data-0": 2048 * MIB},
    "w2": {f"variables/data-{n}": 256 * MIB for n in range(8)},
    "w3": {**{f"assets/{n}": 20 * 1024 for n in range(2000)}, "variables/data-0": 10 * MIB},
}
"""Name → relative key → bytes."""


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--workload", "names", multiple=True, type=click.Choice(list(WORKLOADS)))
@click.option("--scale", default=1.0, show_default=True, type=click.FloatRange(0.001, 10))
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where server and destination are; a folder in memory keeps the disk out of it.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def run(
    rounds: int, names: tuple[str, ...], scale: float, folder: Path | None, output: str
) -> None:
    """Fetch a version from S3, beside s5cmd and cp."""
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-fetch-", dir=folder) as made:
        base = Path(made)
        try:
            with _server(base / "objects") as endpoint:
                for name in names or WORKLOADS:
                    results.append(_measure(base, name, endpoint, scale, rounds))
        except LabError as error:
            raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps(results, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(_table(results))


@contextlib.contextmanager
def _server(objects: Path) -> Iterator[str]:
    """The endpoint of a versitygw over this folder."""
    objects.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [build.binary("versitygw"), "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}"]
    key = {"ROOT_ACCESS_KEY_ID": "bench", "ROOT_SECRET_ACCESS_KEY": "bench-secret"}
    with subprocess.Popen(
        [*map(str, argv), "posix", str(objects)],
        env={**os.environ, **key},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
    raise LabError("versitygw does not listen")


def _measure(base: Path, name: str, endpoint: str, scale: float, rounds: int) -> dict[str, Any]:
    with step(f"{name}: writing the objects"):
        lock = _place(base / "objects", name, endpoint, scale)
    (base / "lock").write_bytes(encode(lock))
    target, source = base / "destination", base / "objects" / lock.bucket / lock.prefix
    env = quiet_environment(**KEY, PYTHONPATH=str(ROOT / "operator"), AWS_REGION="us-east-1")
    ours = ["fetch", "--lock", str(base / "lock"), "--destination", str(target)]
    programs = {"savedmodel fetch": [sys.executable, "-c", COMMAND, *ours, "--endpoint", endpoint]}
    if shutil.which("s5cmd"):
        url = f"s3://{lock.bucket}/{lock.prefix}*"
        programs["s5cmd"] = ["s5cmd", "--endpoint-url", endpoint, "cp", url, f"{target}/"]
    programs["cp"] = ["cp", "-r", str(source), str(target)]
    series = {program: Series() for program in programs}
    for number in range(rounds):
        with step(f"{name}: round {number + 1} of {rounds}"):
            for program, argv in programs.items():
                _once(series[program], argv, target, env)
    shutil.rmtree(source)
    return {"workload": name, "bytes": lock.size, "objects": len(lock.objects)} | {
        program: {
            "seconds": found.median,
            "spread": found.spread,
            "cpu": found.median_cpu,
            "mib": found.peak,
        }
        for program, found in series.items()
    }


def _once(series: Series, argv: list[str], target: Path, env: Mapping[str, str]) -> None:
    """One timed run and one watched run, each into an empty place."""
    shutil.rmtree(target, ignore_errors=True)
    seconds, cpu = take_time(argv, env)
    series.seconds.append(seconds)
    series.cpu.append(cpu)
    shutil.rmtree(target, ignore_errors=True)
    series.peaks.append(take_peak(argv, env))
    shutil.rmtree(target, ignore_errors=True)


def _place(objects: Path, name: str, endpoint: str, scale: float) -> Lock:
    """The workload's objects as files where versitygw finds them, and their lock."""
    bucket = f"bench-{name}"
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEY["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=bucket)
    prefix = "model/1/"
    locked = tuple(
        _object(objects / bucket / prefix, key, int(size * scale))
        for key, size in sorted(WORKLOADS[name].items())
    )
    return Lock(bucket, prefix, 1, "1", fingerprint_objects(locked), locked)


def _object(folder: Path, key: str, size: int) -> LockedObject:
    file = folder / key
    file.parent.mkdir(parents=True, exist_ok=True)
    block = random.Random(key).randbytes(min(size, MIB))
    crc, left = 0, size
    with file.open("wb") as out:
        while left:
            piece = block[:left]
            out.write(piece)
            crc, left = google_crc32c.extend(crc, piece), left - len(piece)
    etag = hashlib.sha256(key.encode()).hexdigest()[:32] + "-2"
    os.setxattr(file, "user.etag", etag.encode())
    checksum = base64.b64encode(crc.to_bytes(4, "big")).decode()
    return LockedObject(key, size, etag, None, f"crc32c:{checksum}")


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("workload", "program", "seconds (min-max)", "CPU s", "MiB", "MB/s")
    for result in results:
        for program, found in result.items():
            if not isinstance(found, dict):
                continue
            low, high = found["spread"]
            table.add_row(
                f"{result['workload']}: {result['objects']} objects",
                program,
                f"{found['seconds']:.2f} ({low:.2f}-{high:.2f})",
                f"{found['cpu']:.2f}",
                f"{found['mib']:.0f}",
                f"{result['bytes'] / 1e6 / found['seconds']:.0f}",
            )
    return table
