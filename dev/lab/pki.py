"""The cluster's certificates: one authority, one certificate per speaker, kubeconfigs.

Neighbours: `native` asks for a `Pki` before it starts anything, `components` names its files. The
folder appears whole or not at all, so that a killed `up` leaves no key without its certificate.
Must not be used outside the laboratory: the authority's key lies beside the certificates.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import cache
from lab.instance import Instance

#: A year: longer than any development cluster lives, shorter than a forgotten one.
LIFETIME = timedelta(days=365)
#: Certificates begin in the past by this much, so that a clock put back does not refuse them.
CLOCK_SLACK = timedelta(hours=1)


@dataclass(frozen=True)
class Subject:
    """Whom a certificate speaks for: Kubernetes reads the name as user, the groups as groups."""

    file: str
    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True)
class Pki:
    """Where the files are. Paths only; nothing here holds a key in memory."""

    folder: Path

    def certificate(self, file: str) -> Path:
        return self.folder / f"{file}.crt"

    def key(self, file: str) -> Path:
        return self.folder / f"{file}.key"

    def kubeconfig(self, file: str) -> Path:
        return self.folder / f"{file}.kubeconfig"

    @property
    def authority(self) -> Path:
        return self.certificate("ca")


def subjects(instance: Instance) -> list[Subject]:
    """Every certificate of the cluster. Users and groups are those of Kubernetes' default RBAC."""
    node, loopback = str(instance.addresses.node), "127.0.0.1"
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    api_hosts = [*names, "kubernetes.default.svc.cluster.local", "localhost"]
    api_hosts += [loopback, node, str(instance.addresses.api_service)]
    return [
        Subject("apiserver", "kube-apiserver", hosts=tuple(api_hosts)),
        Subject("node", instance.node_name, hosts=(instance.node_name, node, loopback)),
        Subject("etcd", "etcd", hosts=("localhost", loopback, node)),
        Subject("apiserver-kubelet", "kube-apiserver-kubelet-client", ("system:masters",)),
        Subject("admin", "dev-admin", ("system:masters",)),
        Subject("kube-controller-manager", "system:kube-controller-manager"),
        Subject("kube-scheduler", "system:kube-scheduler"),
        Subject("kube-proxy", "system:kube-proxy"),
        Subject("kubelet", f"system:node:{instance.node_name}", ("system:nodes",)),
    ]


#: Who talks to the API server from a kubeconfig rather than from flags.
KUBECONFIGS = ("admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")


def ensure(instance: Instance) -> Pki:
    """The cluster's certificates, made on first use; kept until `down`."""
    folder = cache.publish(instance.state / "pki", lambda unfinished: _make(instance, unfinished))
    return Pki(folder)


def _make(instance: Instance, folder: Path) -> None:
    pki = Pki(folder)
    authority = make_authority(f"savedmodel-{instance.name}")
    _write(pki, "ca", authority.key, authority.certificate)
    for subject in subjects(instance):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(pki, subject.file, key, issue(authority, subject, key))
    _write_signer(pki)
    for file in KUBECONFIGS:
        config = kubeconfig(instance, pki, file)
        pki.kubeconfig(file).write_text(json.dumps(config, indent=1))
        pki.kubeconfig(file).chmod(0o600)


def make_authority(name: str) -> Authority:
    """A self-signed authority that may sign certificates, but no further authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(key, _name(name), _name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identity, critical=False)
    )
    return Authority(key, builder.sign(key, hashes.SHA256()))


def issue(
    authority: Authority, subject: Subject, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """A certificate for `subject`; with hosts it may serve, and it may always be a client."""
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if subject.hosts:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(key, _name(subject.name, subject.groups), authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(signer, critical=False)
    )
    if subject.hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in subject.hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def kubeconfig(instance: Instance, pki: Pki, file: str) -> dict[str, object]:
    """A kubeconfig with everything inside, so that it can be copied anywhere."""
    name = f"savedmodel-{instance.name}"
    cluster = {"server": instance.server, "certificate-authority-data": _inline(pki.authority)}
    user = {
        "client-certificate-data": _inline(pki.certificate(file)),
        "client-key-data": _inline(pki.key(file)),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": file, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": file}}],
        "current-context": name,
    }


def _builder(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + LIFETIME)
    )


def _name(name: str, groups: Iterable[str] = ()) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        address = ip_address(host)
    except ValueError:
        return x509.DNSName(host)
    assert isinstance(address, IPv4Address)
    return x509.IPAddress(address)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(
    pki: Pki, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    pki.certificate(file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pki.key(file).write_bytes(_private(key))
    pki.key(file).chmod(0o600)


def _write_signer(pki: Pki) -> None:
    """The pair that signs service account tokens; no certificate, only its public half."""
    key = ec.generate_private_key(ec.SECP256R1())
    pki.key("service-account").write_bytes(_private(key))
    pki.key("service-account").chmod(0o600)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (pki.folder / "service-account.pub").write_bytes(public)


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
