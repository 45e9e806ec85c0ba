"""For the tests of the storage room: what `bucket_fixtures` has, a server with TLS, a graph as text."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bucket_server import S3Server


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("bucket_fixtures")


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
