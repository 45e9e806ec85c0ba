"""`savedmodel fetch`: the init container of every model pod.

Reads the lock, hands it to `storage.fetch` and reports the outcome as one JSON line through the
container's termination message, where the operator reads it. The key comes from the environment
(mounted from the tenant's Secret), never from arguments. It must not know the cluster.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from savedmodel_operator.api.lock import MAX_ENCODED_BYTES
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.storage.base import Access, Addressing, Credentials, StorageError
from savedmodel_operator.storage.fetch import Fetched
from savedmodel_operator.storage.fetch import fetch as fetch_version
from savedmodel_operator.storage.lock import decode_lock
from savedmodel_operator.storage.transfer import Transfer

EXIT_NO, EXIT_COULD_NOT_TELL = 1, 4

_VERDICTS = frozenset(
    {
        Reason.ObjectChanged,
        Reason.ObjectGone,
        Reason.ChecksumMismatch,
        Reason.TensorDamaged,
        Reason.HostileKey,
        Reason.MalformedLock,
    }
)
"""The version itself is at fault: no other try of the same lock can succeed."""

TERMINATION_BYTES = 4096
"""The kubelet keeps this much of a termination message."""

_log = logging.getLogger(__name__)


@click.command("fetch")
@click.option(
    "--lock",
    "lock_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The lock of the version, as the operator wrote it.",
)
@click.option(
    "--destination",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory that gets the version directory.",
)
@click.option("--endpoint", help="URL of an S3-compatible store; none means AWS.")
@click.option("--region", default="us-east-1", show_default=True)
@click.option(
    "--addressing",
    type=click.Choice(["Auto", "Path", "Virtual"]),
    default="Auto",
    show_default=True,
)
@click.option("--anonymous", is_flag=True, help="Read a public bucket without a key.")
@click.option(
    "--ca-bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM certificates to trust beside the public ones.",
)
@click.option(
    "--termination-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the outcome goes as one JSON line, in a pod /dev/termination-log.",
)
def fetch(
    lock_file: Path,
    destination: Path,
    endpoint: str | None,
    region: str,
    addressing: Addressing,
    anonymous: bool,
    ca_bundle: Path | None,
    termination_log: Path | None,
) -> None:
    """Copy exactly the objects of a lock into DESTINATION/NUMBER, verified, or nothing.

    The key is read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
    Ends with 0 (it is there), 1 (the bucket holds other bytes) or 4 (it could not be done).
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        lock = decode_lock(_read(lock_file))
        access = Access(
            bucket=lock.bucket,
            endpoint=endpoint,
            region=region,
            addressing=addressing,
            anonymous=anonymous,
            credentials=None if anonymous else _credentials(),
            ca_bundle=ca_bundle.read_bytes() if ca_bundle else None,
        )
        done = fetch_version(lock, destination, Transfer(access, lock.prefix))
    except StorageError as error:
        _report(termination_log, {"reason": error.reason.value, "message": error.message})
        click.echo(f"{error.reason.value}: {error.message}", err=True)
        sys.exit(EXIT_NO if error.reason in _VERDICTS else EXIT_COULD_NOT_TELL)
    _report(termination_log, _outcome(done))
    _log.info("%s", _sentence(done))


def _read(lock_file: Path) -> bytes:
    with lock_file.open("rb") as file:
        return file.read(MAX_ENCODED_BYTES + 1)


def _credentials() -> Credentials | None:
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    return Credentials(key.strip(), secret.strip(), os.environ.get("AWS_SESSION_TOKEN") or None)


def _outcome(done: Fetched) -> dict[str, Any]:
    return {"bytes": done.bytes, "objects": done.objects, "seconds": round(done.seconds, 3)}


def _sentence(done: Fetched) -> str:
    if not done.objects:
        return f"{done.path} is complete; nothing to fetch"
    rate = done.bytes / 1e6 / max(done.seconds, 1e-6)
    return (
        f"fetched {done.objects} objects, {done.bytes} bytes in {done.seconds:.2f} s "
        f"({rate:.0f} MB/s) to {done.path}"
    )


def _report(termination_log: Path | None, outcome: dict[str, Any]) -> None:
    """One JSON line; a message too long for the kubelet is cut, the JSON stays whole."""
    if termination_log is None:
        return
    line = json.dumps(outcome, ensure_ascii=False)
    while len(line.encode()) > TERMINATION_BYTES:
        outcome = {**outcome, "message": outcome["message"][: len(outcome["message"]) // 2] + "…"}
        line = json.dumps(outcome, ensure_ascii=False)
    try:
        termination_log.write_text(line + "\n", encoding="utf-8")
    except OSError as error:
        _log.warning("the termination message could not be written: %s", error.strerror)
