"""A real S3 server (versitygw, posix backend) on loopback, as a process of the tests.

Neighbours: `bucket_fixtures` makes servers and buckets for tests. Must not know what is put there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.client import Config

from lab import build
from savedmodel_operator.storage.base import Access, Credentials
from savedmodel_operator.storage.s3 import S3Store, open_s3
from savedmodel_operator.storage.transfer import Patience

KEY = Credentials("AKIDTEST", "a-secret-of-the-tests")
HASTY = Patience(attempts=2, retries=1, connect_seconds=1, stall_seconds=2, range_seconds=20)


class S3Server:
    """One versitygw process; objects are files below `root`/BUCKET."""

    def __init__(self, folder: Path, versioned: bool = False, tls: tuple[Path, Path] | None = None):
        self.root = folder / "objects"
        self.root.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        argv = [str(build.binary("versitygw")), "--quiet", "--keep-alive"]
        argv += ["--port", f"127.0.0.1:{self.port}", "--virtual-domain", f"s3.test:{self.port}"]
        if tls:
            argv += ["--cert", str(tls[0]), "--key", str(tls[1])]
        argv.append("posix")
        if versioned:
            (folder / "versions").mkdir()
            argv += ["--versioning-dir", str(folder / "versions")]
        env = {
            "ROOT_ACCESS_KEY_ID": KEY.access_key_id,
            "ROOT_SECRET_ACCESS_KEY": KEY.secret_access_key,
        }
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [*argv, str(self.root)], env={**os.environ, **env}, stdout=self._log, stderr=self._log
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            assert self._process.poll() is None, "versitygw ended"
            assert time.monotonic() < deadline, "versitygw does not listen"

    def stop(self) -> None:
        self._process.kill()  # asked politely it waits for idle connections
        self._process.wait(20)
        self._log.close()

    def access(self, bucket: str, **changes: Any) -> Access:
        given: dict[str, Any] = {"endpoint": self.endpoint, "credentials": KEY, "secret": "storage"}
        return Access(bucket=bucket, **{**given, **changes})

    def store(self, bucket: str, **changes: Any) -> S3Store:
        return open_s3(self.access(bucket, **changes), ["127.0.0.1"])


class Bucket:
    """A fresh bucket with the writer's client."""

    def __init__(
        self,
        server: S3Server,
        name: str,
        versioned: bool = False,
        ca_bundle: bytes | None = None,
        folder: Path | None = None,
    ) -> None:
        self.server = server
        self.name = name
        self._ca_bundle = ca_bundle
        trusted = None
        if ca_bundle is not None and folder is not None:
            trusted = folder / "trusted.pem"
            trusted.write_bytes(ca_bundle)
        self.client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY.access_key_id,
            aws_secret_access_key=KEY.secret_access_key,
            verify=str(trusted) if trusted else None,
            config=Config(request_checksum_calculation="when_required"),
        )
        self.client.create_bucket(Bucket=name)
        if versioned:
            self.client.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"}
            )

    @property
    def access(self) -> Access:
        return self.server.access(self.name, ca_bundle=self._ca_bundle)

    def store(self) -> S3Store:
        return self.server.store(self.name, ca_bundle=self._ca_bundle)

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def put_tree(self, prefix: str, tree: Mapping[str, bytes]) -> None:
        for key, body in tree.items():
            self.put(f"{prefix}{key}", body)

    def place_tree(self, prefix: str, tree: Mapping[str, bytes]) -> None:
        """Many small objects at once: as files, with the ETag where versitygw keeps it."""
        for key, body in tree.items():
            file = self.file(f"{prefix}{key}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            os.setxattr(file, "user.etag", hashlib.md5(body).hexdigest().encode())

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def file(self, key: str) -> Path:
        """The file behind an object: what a broken disk would damage."""
        return self.server.root / self.name / key
