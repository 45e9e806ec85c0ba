"""The operator on the development cluster, by its own Helm chart, as a user would install it.

Neighbours: `images` and `s3` give what the chart's values name; demo and cluster tests call `ensure`.
The namespace enforces the Pod Security Standard `restricted`. Must not patch what the chart makes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lab import images, prometheus, provider, s3
from lab.build import binary
from lab.command import run
from lab.instance import REPOSITORY, Instance, current
from lab.kube import Kube
from lab.progress import step

NAMESPACE = "savedmodel-system"
RELEASE = "savedmodel-operator"
CHART = REPOSITORY / "charts" / "savedmodel-operator"
#: Seconds that Helm waits for the operator's pod: image there, so mostly Python's imports.
PATIENCE = 90


@dataclass(frozen=True)
class Installed:
    """What is on the cluster now, as the references that manifests name."""

    store: s3.Store
    serving_image: str
    values: Mapping[str, str]


def ensure(
    kube: Kube, instance: Instance | None = None, allowed: tuple[str, ...] = ()
) -> Installed:
    """Images, S3 server and operator from the tree as it is. Quick when nothing changed.

    `allowed`: further hosts inside the cluster that sources may name.
    """
    instance = instance or current()
    provider.running(instance)
    operator, envoy, serving = (
        images.ensure(name, instance).reference
        for name in ("savedmodel-operator", "envoy", "tensorflow-serving-compatible")
    )
    store = s3.ensure(instance)
    values = {
        **_image("image", operator),
        **_image("router.image", envoy),
    }
    for index, host in enumerate((store.endpoint.removeprefix("http://"), *allowed)):
        values[f"storage.allowedEndpoints[{index}]"] = host
    values["prometheus.allowedAddresses[0]"] = prometheus.ALLOWED
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
    )
    with step("installing the operator by its Helm chart"):
        upgrade(values, instance)
    return Installed(store, serving, values)


def upgrade(values: Mapping[str, str], instance: Instance | None = None) -> None:
    """`helm upgrade --install`, until the new operator is ready. Raises LabError with Helm's words."""
    instance = instance or current()
    words = ["upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE]
    # Tests of the CRD alone may have left it there without Helm's marks.
    words += ["--take-ownership", "--force-conflicts", "--wait", f"--timeout={PATIENCE}s"]
    words += [word for item in values.items() for word in ("--set-string", "=".join(item))]
    run(
        [binary("helm"), *words],
        env={**os.environ, "KUBECONFIG": str(instance.kubeconfig)},
        timeout=PATIENCE + 30,
    )


def uninstall(instance: Instance | None = None) -> None:
    """Remove the operator; its CRD and all SavedModelDeployments stay, as the chart has it."""
    instance = instance or current()
    run(
        [
            binary("helm"),
            "uninstall",
            RELEASE,
            "--namespace",
            NAMESPACE,
            "--ignore-not-found",
            "--wait",
        ],
        env={**os.environ, "KUBECONFIG": str(instance.kubeconfig)},
        timeout=PATIENCE,
    )


def _image(prefix: str, reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {f"{prefix}.repository": repository, f"{prefix}.tag": tag}
