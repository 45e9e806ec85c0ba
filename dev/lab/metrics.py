"""The stand-in for metrics-server: brought up in the cluster, aggregated into its API, and its loads.

Neighbours: `metrics_server` is what runs in the pod. The APIService goes before the pod does: while it
points at nobody, the API server's discovery fails and no namespace can be deleted.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import images, pki
from lab.cluster import MANIFESTS, Cluster, until
from lab.errors import LabError
from lab.kube import Kube, Object
from lab.metrics_server import ROOT
from lab.progress import step

NAMESPACE = "lab-metrics"
API_SERVICE = "v1beta1.metrics.k8s.io"
PROGRAM = Path(__file__).with_name("metrics_server.py")


@contextmanager
def serving(kube: Kube) -> Iterator[None]:
    """With figures for autoscalers, until it is left. Raises LabError."""
    image = images.ensure("savedmodel-operator", kube.instance).reference
    with step("starting the stand-in for metrics-server"):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        authority = _certificate(kube)
        program = PROGRAM.read_text()
        kube.apply(_named("ConfigMap", data={PROGRAM.name: program}))
        content = hashlib.sha256(f"{program}{authority}".encode()).hexdigest()[:12]
        values = {"NAMESPACE": NAMESPACE, "IMAGE": image, "CONTENT": content}
        cluster = Cluster(kube.instance)
        cluster.apply(Template((MANIFESTS / "metrics.yaml").read_text()).substitute(values))
        cluster.wait_rolled_out(NAMESPACE, "metrics")
    try:
        kube.apply(_api_service(authority))
        if not until(lambda: _available(kube)):
            found = kube.get("APIService", None, API_SERVICE)
            raise LabError(f"{API_SERVICE} is not available: {(found or {}).get('status')}")
        yield
    finally:
        kube.delete("APIService", None, API_SERVICE)
        until(lambda: kube.get("APIService", None, API_SERVICE) is None)
        kube.delete("Namespace", None, NAMESPACE)


def set_load(kube: Kube, namespace: str, millicores: int) -> None:
    """What all model pods of a namespace use together from now on."""
    kube.put(f"{ROOT}/namespaces/{namespace}/load", {"millicores": millicores})


def _available(kube: Kube) -> bool:
    found = kube.get("APIService", None, API_SERVICE) or {}
    conditions = found.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


def _certificate(kube: Kube) -> str:
    """The authority, base64, of the certificate that the Secret has; made if there is none."""
    held = kube.get("Secret", NAMESPACE, "metrics")
    if held is None:
        authority = pki.make_authority(NAMESPACE)
        key = ec.generate_private_key(ec.SECP256R1())
        host = f"metrics.{NAMESPACE}.svc"
        certificate = pki.issue(authority, pki.Subject("metrics", host, hosts=(host,)), key)
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        parts = {
            "ca.crt": authority.certificate.public_bytes(pem),
            "tls.crt": certificate.public_bytes(pem),
            "tls.key": private,
        }
        encoded = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        held = _named("Secret", data=encoded)
        kube.apply(held)
    return str(held["data"]["ca.crt"])


def _named(kind: str, **fields: object) -> Object:
    metadata = {"name": "metrics", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def _api_service(authority: str) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": API_SERVICE},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics", "namespace": NAMESPACE, "port": 443},
            "caBundle": authority,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
