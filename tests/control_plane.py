"""A control plane of one's own: etcd, API server and controllers, on loopback, without a node.

For tests of the operator as a whole process, which an operator installed in the shared cluster
would disturb (both would act on the same objects). The programs are those of dev/cluster; nothing
of the product is used here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab import build
from lab.components import audit_policy
from lab.pki import Authority, Subject, issue, make_authority

PATIENCE = 60.0
CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "deployment-controller",
    "replicaset-controller",
    "serviceaccount-controller",
)


class ControlPlane:
    """Three processes in a folder; `kubeconfig` has the administrator's rights.

    `audit_log` has a JSON line for each request that was answered, as on the shared cluster.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._etcd, self._peer, self._api = _free_ports(3)
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.jsonl"
        self._make_keys()

    def start(self) -> None:
        """Returns when the API server is ready."""
        self._start_etcd()
        self._start_api_server()
        self._run(
            "kube-controller-manager",
            {
                "kubeconfig": self.kubeconfig,
                "controllers": ",".join(CONTROLLERS),
                "leader-elect": "false",
                "secure-port": "0",
                # Thousands of pods are made within minutes; 20 and 30 are the defaults.
                "kube-api-qps": "500",
                "kube-api-burst": "1000",
            },
        )

    def _start_etcd(self) -> None:
        url, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._run(
            "etcd",
            {
                "data-dir": self._folder / "etcd",
                "listen-client-urls": url,
                "advertise-client-urls": url,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": f"default={peer}",
                "unsafe-no-fsync": "true",
                "log-level": "warn",
            },
        )
        with httpx.Client(trust_env=False) as client:
            _until(lambda: client.get(f"{url}/health").status_code == 200, self._folder)
            # A past, as every used cluster has: resourceVersion 1 is expired from the beginning.
            for _ in range(10):
                client.post(f"{url}/v3/kv/put", json={"key": "cGFzdA==", "value": ""})

    def _start_api_server(self) -> None:
        policy = self._folder / "audit-policy.json"
        policy.write_text(json.dumps(audit_policy()))
        self._run(
            "kube-apiserver",
            {
                "etcd-servers": f"http://127.0.0.1:{self._etcd}",
                "bind-address": "127.0.0.1",
                "advertise-address": "127.0.0.1",
                "endpoint-reconciler-type": "none",
                "secure-port": self._api,
                "tls-cert-file": self._folder / "server.crt",
                "tls-private-key-file": self._folder / "server.key",
                "client-ca-file": self._folder / "ca.crt",
                "service-account-issuer": "https://kubernetes.default",
                "service-account-key-file": self._folder / "signer.key",
                "service-account-signing-key-file": self._folder / "signer.key",
                "service-cluster-ip-range": "10.77.0.0/24",
                "authorization-mode": "RBAC",
                "audit-policy-file": policy,
                "audit-log-path": self.audit_log,
            },
        )
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        context.load_cert_chain(self._folder / "admin.crt", self._folder / "admin.key")
        url = f"https://127.0.0.1:{self._api}/readyz"
        with httpx.Client(verify=context, trust_env=False) as client:
            _until(lambda: client.get(url, timeout=5).status_code == 200, self._folder)

    def stop(self) -> None:
        """Ends all processes."""
        for process in reversed(self._processes):
            process.kill()
            process.wait(PATIENCE)

    def _run(self, program: str, flags: dict[str, object]) -> None:
        argv = [str(build.binary("kube")), program]
        argv += [f"--{name}={value}" for name, value in flags.items()]
        with (self._folder / f"{program}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(argv, stdout=log, stderr=log))

    def _make_keys(self) -> None:
        authority = make_authority("tests")
        _write(self._folder / "ca.crt", authority.certificate.public_bytes(_PEM))
        server = Subject("server", "kube-apiserver", hosts=("127.0.0.1", "localhost", "10.77.0.1"))
        self._issue(authority, server)
        self._issue(authority, Subject("admin", "admin", ("system:masters",)))
        signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write(self._folder / "signer.key", _private(signer))
        self.kubeconfig.write_text(json.dumps(self._config()))

    def _issue(self, authority: Authority, subject: Subject) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue(authority, subject, key)
        _write(self._folder / f"{subject.file}.crt", certificate.public_bytes(_PEM))
        _write(self._folder / f"{subject.file}.key", _private(key))

    def _config(self) -> dict[str, object]:
        cluster = {
            "server": f"https://127.0.0.1:{self._api}",
            "certificate-authority-data": self._inline("ca.crt"),
        }
        user = {
            "client-certificate-data": self._inline("admin.crt"),
            "client-key-data": self._inline("admin.key"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests",
        }

    def _inline(self, file: str) -> str:
        return base64.b64encode((self._folder / file).read_bytes()).decode()


_PEM = serialization.Encoding.PEM


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def _until(ready: Callable[[], bool], logs: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if ready():
                return
        time.sleep(0.1)
    raise AssertionError(f"not ready after {PATIENCE} s; logs: {logs}")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for opened in sockets:
        opened.close()
    return ports
