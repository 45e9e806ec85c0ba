"""A Prometheus beside one SavedModelDeployment: a pod of Debian's package that reads its routers.

Neighbours: `recipes` builds the image, `install` lets the operator ask it. Must not ask or judge.
"""

from string import Template

from lab import images
from lab.cluster import MANIFESTS, Cluster
from lab.instance import Instance
from lab.progress import step

NAME = "prometheus"
#: What the chart's prometheus.allowedAddresses has on the development cluster.
ALLOWED = "*.svc.cluster.local:9090"


def start(instance: Instance, namespace: str, name: str) -> str:
    """Prometheus for the routers of `name`, ready; its address."""
    cluster, image = Cluster(instance), images.ensure(NAME, instance)
    values = {"NAMESPACE": namespace, "NAME": name, "IMAGE": image.reference}
    with step("starting Prometheus"):
        cluster.apply(Template((MANIFESTS / "prometheus.yaml").read_text()).substitute(values))
        cluster.wait_rolled_out(namespace, NAME)
    return f"http://{NAME}.{namespace}.svc.cluster.local:9090"


def stop(instance: Instance, namespace: str) -> None:
    """No Prometheus any more: its address refuses."""
    at = ("-n", namespace)
    Cluster(instance).kubectl(*at, "scale", f"deployment/{NAME}", "--replicas=0")
    Cluster(instance).kubectl(*at, "wait", "--for=delete", "pod", "-l", f"app={NAME}")


def resume(instance: Instance, namespace: str) -> None:
    """The same Prometheus again, with nothing of what it knew; ready."""
    cluster = Cluster(instance)
    cluster.kubectl("-n", namespace, "scale", f"deployment/{NAME}", "--replicas=1")
    cluster.wait_rolled_out(namespace, NAME)
