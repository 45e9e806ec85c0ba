"""A cluster by kind, where a Docker engine answers.

Neighbours: `provider` chooses between this and `native` and asks both for the same things; `builder`
builds the same Dockerfiles with Docker. The node runs Kubernetes as kind ships it. Must not be
needed on a machine without Docker.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from lab import build, builder, cache
from lab.api import condition
from lab.cluster import PATIENCE, Cluster, until
from lab.command import run
from lab.components import audit_policy
from lab.errors import LabError
from lab.instance import Instance
from lab.progress import note, step
from lab.recipes import Image

#: Where the node sees the audit folder of the instance.
_AUDIT = "/etc/kubernetes/audit"


def engine_answers() -> bool:
    """Whether a Docker engine can be used. A client alone, without an engine, does not count."""
    if shutil.which("docker") is None:
        return False
    words = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        asked = subprocess.run(words, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def up(instance: Instance) -> None:
    """A kind cluster of one node with the audit log on the host and routes to pods and services."""
    with cache.locked(instance.state.parent / f"{instance.name}.lock"):
        if _name(instance) not in _kind("get", "clusters").split():
            _create(instance)
        node = f"{_name(instance)}-control-plane"
        run(["docker", "start", node])
        _kind(
            "export",
            "kubeconfig",
            "--name",
            _name(instance),
            "--kubeconfig",
            str(instance.kubeconfig),
        )
        _route(instance, node)
        with step("waiting for the node"):
            cluster = Cluster(instance)
            path = f"/api/v1/nodes/{node}"
            if not until(lambda: condition(cluster.get(path), "Ready")):
                raise LabError(
                    f"kind's node is not Ready after {PATIENCE:.0f} s: docker logs {node}"
                )


def down(instance: Instance, *, purge: bool = False) -> None:
    """Delete the cluster and its state. `purge` changes nothing: the images are Docker's."""
    del purge
    with cache.locked(instance.state.parent / f"{instance.name}.lock"):
        _kind("delete", "cluster", "--name", _name(instance))
        shutil.rmtree(instance.state, ignore_errors=True)


def load(instance: Instance, image: Image) -> None:
    """Have `image` on the node under both its names."""
    node = f"{_name(instance)}-control-plane"
    present = run(
        ["docker", "exec", node, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet"]
    )
    if image.reference in present.split():
        return
    builder.built_by_docker(image)
    with step(f"loading {image.reference}"):
        for reference in (image.reference, image.stable):
            _kind("load", "docker-image", "--name", _name(instance), reference)


def status(instance: Instance) -> list[tuple[str, bool, str]]:
    """One row per part: name, whether it is well, a word about it."""
    node = f"{_name(instance)}-control-plane"
    well = condition(Cluster(instance).get(f"/api/v1/nodes/{node}"), "Ready")
    return [("node", well, node)]


def log_command(instance: Instance, component: str, words: list[str]) -> list[str]:
    """The command that shows a component's log."""
    node = f"{_name(instance)}-control-plane"
    if component in ("kubelet", "containerd"):
        return ["docker", "exec", node, "journalctl", "--no-pager", "-u", component]
    path = f"/var/log/containers/{component}-*.log"
    return ["docker", "exec", node, "sh", "-c", f"tail {' '.join(words)} {path}"]


def configuration(instance: Instance) -> dict[str, object]:
    """kind's own description of the cluster, with the API server's audit log on the host."""
    arguments = {
        "runtime-config": "",
        "audit-policy-file": f"{_AUDIT}/policy.json",
        "audit-log-path": f"{_AUDIT}/{instance.audit_log.name}",
    }
    volume = {"name": "audit", "hostPath": _AUDIT, "mountPath": _AUDIT, "pathType": "Directory"}
    patch = {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": [{"name": name, "value": value} for name, value in arguments.items()],
            "extraVolumes": [{**volume, "readOnly": False}],
        },
    }
    mount = {"hostPath": str(instance.audit_log.parent), "containerPath": _AUDIT}
    node = {
        "role": "control-plane",
        "extraMounts": [mount],
        "kubeadmConfigPatches": [json.dumps(patch)],
    }
    networking = {
        "podSubnet": str(instance.addresses.pods),
        "serviceSubnet": str(instance.addresses.services),
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": networking,
        "nodes": [node],
    }


def _create(instance: Instance) -> None:
    instance.audit_log.parent.mkdir(parents=True, exist_ok=True)
    (instance.audit_log.parent / "policy.json").write_text(json.dumps(audit_policy()))
    path = instance.state / "kind.json"
    path.write_text(json.dumps(configuration(instance), indent=1))
    words = ["create", "cluster", "--name", _name(instance), "--config", str(path)]
    words += ["--kubeconfig", str(instance.kubeconfig), "--wait", "0s"]
    if own := os.environ.get("SAVEDMODEL_KIND_IMAGE"):
        words += ["--image", own]
    with step("creating the kind cluster", "1 min, more when its image is pulled"):
        _kind(*words, log=instance.logs / "kind.log")


def _route(instance: Instance, node: str) -> None:
    """Routes from the host to pods and services through the node's container.

    On Linux as root only; elsewhere the tests that call pods from the host cannot run.
    """
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    address = run(["docker", "inspect", "--format", template, node]).split()[0]
    if os.geteuid() != 0 or shutil.which("ip") is None:
        note("pods and services are not reachable from this host: that needs root on Linux")
        return
    for target in (instance.addresses.pods, instance.addresses.services):
        run(["ip", "route", "replace", str(target), "via", address])


def _name(instance: Instance) -> str:
    return f"savedmodel-{instance.name}"


def _kind(*words: str, log: Path | None = None) -> str:
    own = shutil.which("kind")
    return run([own or str(build.binary("kind")), *words], log=log)
