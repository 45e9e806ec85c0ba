"""The certificates: real TLS between them, and the identities that Kubernetes' RBAC expects."""

import json
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from lab import pki
from lab.instance import Instance


@pytest.fixture
def made(tmp_path: Path) -> pki.Pki:
    return pki.ensure(Instance("dev", tmp_path / "state", tmp_path / "cache"))


def handshake(made: pki.Pki, server: str, client: str, host: str) -> str:
    """What the server learns about the client in a mutual TLS handshake; raises ssl errors."""
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(made.authority))
    inside.load_cert_chain(str(made.certificate(server)), str(made.key(server)))
    inside.verify_mode = ssl.CERT_REQUIRED
    outside = ssl.create_default_context(cafile=str(made.authority))
    outside.load_cert_chain(str(made.certificate(client)), str(made.key(client)))
    near, far = socket.socketpair()
    seen: list[str] = []

    def serve() -> None:
        try:
            with inside.wrap_socket(far, server_side=True) as wrapped:
                subject = (wrapped.getpeercert() or {})["subject"]
                seen.extend(f"{name}={value}" for part in subject for name, value in part)
                wrapped.sendall(b".")
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with outside.wrap_socket(near, server_hostname=host) as wrapped:
            wrapped.recv(1)
    finally:
        near.close()
        thread.join()
    return " ".join(seen)


@pytest.mark.parametrize(
    "host", ["10.99.0.2", "10.96.0.1", "kubernetes.default.svc.cluster.local", "localhost"]
)
def test_the_api_server_is_trusted_under_all_its_names(made: pki.Pki, host: str) -> None:
    handshake(made, "apiserver", "admin", host)


def test_it_is_not_trusted_under_another_name(made: pki.Pki) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, "apiserver", "admin", "example.com")


def test_the_kubelet_is_a_node_and_the_admin_a_master(made: pki.Pki) -> None:
    kubelet = handshake(made, "apiserver", "kubelet", "10.99.0.2")
    assert kubelet == "organizationName=system:nodes commonName=system:node:dev-node"
    admin = handshake(made, "apiserver", "admin", "10.99.0.2")
    assert "organizationName=system:masters" in admin


def test_a_client_certificate_cannot_serve(made: pki.Pki) -> None:
    certificate = x509.load_pem_x509_certificate(made.certificate("kubelet").read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH not in usage


def test_keys_are_for_the_owner_only_and_are_made_once(made: pki.Pki) -> None:
    secret = [*made.folder.glob("*.key"), *made.folder.glob("*.kubeconfig")]
    assert len(secret) >= 12
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}
    state = made.folder.parent
    before = made.key("ca").read_bytes()
    again = pki.ensure(Instance("dev", state, state))
    assert again.key("ca").read_bytes() == before


def test_a_kubeconfig_stands_alone(made: pki.Pki) -> None:
    config = json.loads(made.kubeconfig("admin").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://10.99.0.2:6443"
    assert str(made.folder) not in made.kubeconfig("admin").read_text()
