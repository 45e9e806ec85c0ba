"""What a person would look at when something did not happen, as one text.

Neighbours: demo and cluster tests call it on failure. Reads only; a part that cannot be had says so
instead of hiding the others.
"""

from lab.cluster import Cluster
from lab.errors import LabError
from lab.install import NAMESPACE
from lab.instance import Instance
from lab.kube import Kube

TAIL = 40


def explain(kube: Kube, namespace: str, name: str, instance: Instance | None = None) -> str:
    """The object as described, its pods, late events and the operator's last lines."""
    cluster = Cluster(instance or kube.instance)
    parts = (
        ("SavedModelDeployment", ("describe", "smd", name), 60),
        ("pods", ("get", "pods", "-o", "wide"), TAIL),
        ("events", ("get", "events", "--sort-by=.lastTimestamp"), TAIL),
    )
    texts = [_part(title, _ask(cluster, namespace, words), keep) for title, words, keep in parts]
    operator = ("logs", "deployment/savedmodel-operator", f"--tail={TAIL}")
    texts.append(_part("operator's log", _ask(cluster, NAMESPACE, operator), TAIL))
    return "\n".join(texts)


def _ask(cluster: Cluster, namespace: str, words: tuple[str, ...]) -> str:
    try:
        return cluster.kubectl("--namespace", namespace, *words)
    except LabError as error:
        return f"(could not be had: {error})"


def _part(title: str, text: str, keep: int) -> str:
    lines = [line[:400] for line in text.splitlines()[-keep:]]
    return "\n".join([f"── {title} (last {keep} lines)", *lines, ""])
