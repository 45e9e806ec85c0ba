"""Looks for planted secrets in everything that the operator writes, shows or starts.

Neighbours: `test_s_security` plants its own and searches all; `watch_for_secrets`, a fixture that the
conftest takes over, searches after every case on the cluster for the laboratory's own key, which is
in the Secret of every namespace. Secrets themselves and the S3 server, which must know its keys, are
not searched. Reads only.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from lab import install, s3
from lab.cluster import Cluster
from lab.errors import LabError
from lab.instance import current

OPERATOR = "app.kubernetes.io/name=savedmodel-operator"
CHILDREN = "app.kubernetes.io/managed-by=savedmodel-operator"
OBJECTS = (
    "savedmodeldeployments,configmaps,controllerrevisions,deployments,replicasets,pods,services,"
    "poddisruptionbudgets,horizontalpodautoscalers,networkpolicies"
)
PATHS = {
    "operator": ("8080/proxy/metrics",),
    "router": ("9902/proxy/stats", "9902/proxy/clusters", "9902/proxy/stats/prometheus"),
    "model": ("8501/proxy/monitoring/prometheus/metrics",),
}
"""What pods show of themselves, by component."""


EVERYWHERE = {
    "objects": "/apis/savedmodel.dev/v1alpha1/savedmodeldeployments",
    "events": "/api/v1/events",
    "pods": f"/api/v1/pods?labelSelector={CHILDREN.replace('=', '%3D')}",
}
"""What is searched after every case, in all namespaces."""


@dataclass(frozen=True)
class Hit:
    """A secret where none may be."""

    place: str
    secret: str
    form: str


@dataclass
class Canary:
    """Secrets by what they are called. `searched`: characters looked through, by kind of place."""

    secrets: Mapping[str, str]
    searched: dict[str, int] = field(default_factory=dict)

    def look(self, place: str, text: str) -> list[Hit]:
        """`place`: kind of place, a colon, and which."""
        kind = place.partition(":")[0]
        self.searched[kind] = self.searched.get(kind, 0) + len(text)
        return [
            Hit(place, name, form)
            for name, secret in self.secrets.items()
            for form, words in forms(secret)
            if words in text
        ]

    def told(self) -> str:
        """What was searched, for the table."""
        return ", ".join(f"{n / 1000:,.0f} kB of {kind}" for kind, n in self.searched.items())


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """The ways in which a text may hold it."""
    data = secret.encode()
    yield "plain", secret
    yield "hexadecimal", data.hex()
    if (quoted := quote(secret, safe="")) != secret:
        yield "quoted", quoted
    for shift in range(3):
        # Of base64 only the middle is the same whatever stands before and after.
        whole = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        yield f"base64 at {shift}", whole[4 if shift else 0 : -2]


def search(canary: Canary, cluster: Cluster, namespaces: tuple[str, ...]) -> list[Hit]:
    """Everything there is of these namespaces and of the operator."""
    system = install.NAMESPACE
    found = [*_logs(canary, cluster, system, OPERATOR), *_shown(canary, cluster, system, OPERATOR)]
    found += _processes(canary, cluster, system, OPERATOR)
    for namespace in (*namespaces, system):
        objects = cluster.kubectl("get", OBJECTS, "-n", namespace, "-o", "json")
        found += canary.look(f"objects:{namespace}", objects)
        found += canary.look(f"locks:{namespace}", "\n".join(unpacked(json.loads(objects))))
        events = cluster.kubectl("get", "events", "-n", namespace, "-o", "json")
        found += canary.look(f"events:{namespace}", events)
    for namespace in namespaces:
        found += _logs(canary, cluster, namespace, CHILDREN)
        found += _shown(canary, cluster, namespace, CHILDREN)
        found += _processes(canary, cluster, namespace, CHILDREN)
    return found


def unpacked(objects: Mapping[str, object]) -> Iterator[str]:
    """The binary data of ConfigMaps, as text."""
    items = objects["items"]
    assert isinstance(items, list)
    for item in items:
        for value in (item.get("binaryData") or {}).values():
            data = base64.b64decode(value)
            yield (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("latin-1")


def _pods(cluster: Cluster, namespace: str, labels: str) -> list[dict[str, dict[str, object]]]:
    words = ("get", "pods", "-n", namespace, "-l", labels, "-o", "json")
    found: list[dict[str, dict[str, object]]] = json.loads(cluster.kubectl(*words))["items"]
    return found


def _logs(canary: Canary, cluster: Cluster, namespace: str, labels: str) -> Iterator[Hit]:
    for pod in _pods(cluster, namespace, labels):
        name = str(pod["metadata"]["name"])
        words = ("logs", "-n", namespace, name, "--all-containers", "--ignore-errors")
        yield from canary.look(f"logs:{name}", cluster.kubectl(*words))


def _shown(canary: Canary, cluster: Cluster, namespace: str, labels: str) -> Iterator[Hit]:
    for pod in _pods(cluster, namespace, labels):
        name, marks = str(pod["metadata"]["name"]), pod["metadata"]["labels"]
        assert isinstance(marks, dict)
        for path in PATHS[marks.get("savedmodel.dev/component", "operator")]:
            raw = f"/api/v1/namespaces/{namespace}/pods/{name}:{path}"
            try:
                text = cluster.kubectl("get", "--raw", raw)
            except LabError:
                continue  # it is not serving now
            yield from canary.look(f"metrics:{name}", text)


def _processes(canary: Canary, cluster: Cluster, namespace: str, labels: str) -> Iterator[Hit]:
    """Arguments and environment of what runs; the fetcher, which alone has the key, has ended."""
    for pod in _pods(cluster, namespace, labels):
        for folder in processes(str(pod["metadata"]["uid"])):
            for file in ("cmdline", "environ"):
                try:
                    text = (folder / file).read_bytes().decode("latin-1")
                except OSError:
                    continue  # it ended meanwhile
                yield from canary.look(f"processes:{pod['metadata']['name']} {file}", text)


def processes(uid: str) -> list[Path]:
    """The folders in /proc of a pod's processes: the node's are this machine's."""
    marks = (uid, uid.replace("-", "_"))
    found = []
    for folder in Path("/proc").iterdir():
        try:
            group = (folder / "cgroup").read_text() if folder.name.isdigit() else ""
        except OSError:
            continue
        if any(mark in group for mark in marks):
            found.append(folder)
    return found


@pytest.fixture(autouse=True)
def watch_for_secrets(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a case on the cluster: the operator's log, all Events and objects of ours."""
    yield
    if "installed" not in request.fixturenames:
        return
    canary, cluster = Canary({"the laboratory's key": s3.SECRET_KEY}), Cluster(current())
    found: list[Hit] = []
    for what, path in EVERYWHERE.items():
        answer = cluster.get(path)
        if answer is None:  # what a case leaves behind may be in the way: that is no leak
            request.node.user_properties.append(("secrets", f"{what} not searched"))
        else:
            found += canary.look(f"{what}:all", _without_store(answer))
    try:
        found += _logs(canary, cluster, install.NAMESPACE, OPERATOR)
    except LabError as error:
        request.node.user_properties.append(("secrets", f"logs not searched: {error}"))
    assert not found, f"a secret is in the open: {found}"


def _without_store(listed: Mapping[str, list[dict[str, dict[str, object]]]]) -> str:
    """The S3 server and who speaks to it in its pod know the keys."""
    items = listed["items"]
    return json.dumps([i for i in items if i["metadata"].get("namespace") != s3.NAMESPACE])
