"""The installed operator as a process of this machine, on the cluster of dev/cluster.

    with outside(kube, folder) as post:              # the chart's Deployment has no pods meanwhile
        operator = post.start("outside-0", proxy)    # its image's code, variables and ServiceAccount
        operator.kill(); operator = post.start("outside-0", proxy)

It is what the chart installed but for the container: the tree's code, the Deployment's variables, its
ServiceAccount by a token, the cluster's names by the cluster's DNS. The node is a set of processes of
this machine, so pods and Services are reached as from a pod. Neighbours: `replica` is the process.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from replica import Replica

from kubernetes import client
from lab.cluster import until
from lab.injection import ApiProxy
from lab.install import NAMESPACE, RELEASE
from lab.kube import Kube

PATIENCE = 120.0
TOKEN_SECONDS = 7200
OPERATOR = "app.kubernetes.io/name=savedmodel-operator"
_IN_A_POD = ("POD_NAME", "POD_NAMESPACE")


@dataclass
class OperatorProcess:
    """Where replicas are started from. Made by `outside`."""

    kube: Kube
    folder: Path
    environment: Mapping[str, str]
    token: str
    replicas: list[Replica] = field(default_factory=list)

    def start(
        self, name: str = "outside-0", proxy: ApiProxy | None = None, **environment: str
    ) -> Replica:
        """A replica that has begun, through `proxy` or not; further variables (LD_PRELOAD) as given."""
        config = self._direct() if proxy is None else proxy.kubeconfig(self.token)
        given = {**self.environment, "POD_NAME": name, "POD_NAMESPACE": NAMESPACE}
        found = Replica(
            config, NAMESPACE, self.folder, name, {**given, **environment}, self._with_dns()
        )
        self.replicas.append(found)
        return found

    def end_all(self) -> None:
        """Kills whatever is left."""
        for replica in self.replicas:
            replica.kill()

    def _with_dns(self) -> list[str]:
        """Words before a command that give it a pod's view of names, and nobody else."""
        resolver = self.folder / "resolv.conf"
        address = self.kube.instance.addresses.dns_service
        resolver.write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(resolver)]

    def _direct(self) -> Path:
        config: dict[str, Any] = yaml.safe_load(self.kube.instance.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.token}
        path = self.folder / f"direct-{uuid.uuid4().hex[:8]}.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(config))
        return path


@contextmanager
def outside(kube: Kube, folder: Path) -> Iterator[OperatorProcess]:
    """The installed operator's pods are gone until it is left; then there are as many as before."""
    folder.mkdir(parents=True, exist_ok=True)
    deployment = kube.get("Deployment", NAMESPACE, RELEASE)
    assert deployment is not None, "the operator is not installed"
    pod = deployment["spec"]["template"]["spec"]
    variables = {
        item["name"]: item["value"]
        for item in pod["containers"][0]["env"]
        if item["name"] not in _IN_A_POD and "value" in item
    }
    # It watches what the chart says: everything, where that says nothing.
    variables = {"SAVEDMODEL_NAMESPACES": "", "ALLOWED_ENDPOINTS": "", **variables}
    _scale(kube, 0)
    made = OperatorProcess(kube, folder, variables, _token(kube, pod["serviceAccountName"]))
    try:
        yield made
    finally:
        made.end_all()
        _scale(kube, deployment["spec"]["replicas"])


def _scale(kube: Kube, replicas: int) -> None:
    kube.patch("Deployment", NAMESPACE, RELEASE, {"spec": {"replicas": replicas}})

    def done() -> bool:
        status = (kube.get("Deployment", NAMESPACE, RELEASE) or {}).get("status", {})
        pods = kube.list("Pod", NAMESPACE, OPERATOR)
        return len(pods) == replicas == status.get("readyReplicas", 0)

    assert until(done, patience=PATIENCE), f"the operator did not get {replicas} pods"


def _token(kube: Kube, account: str) -> str:
    """Of the ServiceAccount, as the kubelet would ask for it."""
    wanted = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=None, expiration_seconds=TOKEN_SECONDS)
    )
    made = kube.core.create_namespaced_service_account_token(account, NAMESPACE, wanted)
    return str(made.status.token)
