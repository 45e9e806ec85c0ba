"""A real S3 server (versitygw, posix backend) on loopback, and a real SavedModel to put there."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
    script = Path(__file__).with_name("make_model.py")
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


@pytest.fixture(scope="session")
def text_model(exported: Path, model: dict[str, bytes]) -> dict[str, bytes]:
    """The same, with its graph as text only."""
    rest = {
        key: data for key, data in model.items() if key not in ("saved_model.pb", "fingerprint.pb")
    }
    return {**rest, "saved_model.pbtxt": exported.with_suffix(".pbtxt").read_bytes()}


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    ca: bool,
    address: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """A certificate for a day, by the authority of `signer`."""
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if address is not None:
        made = made.add_extension(address, critical=False)
    return made.sign(signer, hashes.SHA256())


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, bytes]]:
    """An S3 server with a certificate of an authority that nobody knows, and that authority."""
    folder = tmp_path_factory.mktemp("s3-tls")
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    authority = certificate("authority", authority_key, authority_key, ca=True)
    leaf = certificate("s3", server_key, authority_key, ca=False, address=address)
    pem = authority.public_bytes(serialization.Encoding.PEM)
    (folder / "crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = S3Server(folder, tls=(folder / "crt", folder / "key"))
    yield server, pem
    server.stop()
