"""What a cluster test works with: one namespace, one SavedModelDeployment, its clients and pods.

Neighbours: `cluster_fixtures` makes it, the laboratory does the work. Waits are watches with a
deadline; nothing here knows what a test expects.
"""

from __future__ import annotations

import os
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import objects, uploads
from lab.clients import Transport
from lab.cluster import Cluster, until
from lab.demo_report import Split, splits
from lab.follow import Follower, condition
from lab.install import NAMESPACE, Installed
from lab.kube import SMD, Kube, Object
from lab.load import Load, Stream
from lab.questions import CalcQuestion, Question
from lab.samples import Sample

#: Seconds for anything that starts pods: 8 on idle cores, and the machine may not be idle.
PATIENCE = 180.0
NAME = "calc"
#: An allowed host with an address behind which nobody listens.
NOBODY = "nobody.storage.svc.cluster.local:7070"
#: An allowed host whose address is a proxy of the test that wants one.
PROXIED = "proxied.storage.svc.cluster.local:7070"


@dataclass
class Shop:
    """One test's corner of the cluster."""

    kube: Kube
    installed: Installed
    models: Path
    follower: Follower
    namespace: str
    question: Question = field(default_factory=lambda: CalcQuestion(NAME))

    @property
    def prefix(self) -> str:
        return f"{self.namespace}/{NAME}"

    @property
    def status(self) -> Object:
        return self.follower.story.status

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kube.instance)

    def manifest(self, **settings: Any) -> Object:
        """A SavedModelDeployment as in lab.objects, over this test's part of the bucket."""
        image, store = self.installed.serving_image, self.installed.store
        return objects.deployment(
            NAME, self.namespace, store, image, **{"prefix": self.prefix, **settings}
        )

    def upload(self, sample: Sample) -> None:
        client = self.installed.store.client()
        uploads.upload(client, self.models, sample, objects.BUCKET, self.prefix)

    def serve(self, sample: Sample, **settings: Any) -> None:
        """The first version, until it serves."""
        self.upload(sample)
        self.kube.apply(self.manifest(**settings))
        self.wait(lambda s: condition(s, "Ready") == "True", f"version {sample.number} ready")

    def patch(self, **spec: Any) -> None:
        self.kube.patch(SMD, self.namespace, NAME, {"spec": spec})

    def act(self, text: str) -> None:
        """A verb, as a person sets it."""
        self.kube.annotate(NAME, self.namespace, action=text)

    def wait(self, done: Callable[[Object], bool], what: str, timeout: float = PATIENCE) -> Object:
        return self.follower.wait(done, timeout, what)

    def wait_stable(self, number: int) -> Object:
        """Until this version has all the traffic and its predecessor none left."""
        return self.wait(
            lambda s: (s.get("stable") or {}).get("number") == number and not s.get("candidate"),
            f"version {number} as stable",
        )

    def wait_paused(self, number: int) -> Object:
        """Until this version is the candidate and waits for a person."""
        return self.wait(
            lambda s: (s.get("candidate") or {}).get("number") == number and s["phase"] == "Paused",
            f"version {number} paused",
        )

    def load(self, *streams: Stream) -> Load:
        """Clients to the Service; by default one each of REST, REST one-shot and gRPC."""
        service = self.kube.get("Service", self.namespace, NAME)
        assert service is not None
        usual = (
            Stream("REST", Transport.REST, self.question, 15),
            Stream("one-shot", Transport.REST_ONE_SHOT, self.question, 3),
            Stream("gRPC", Transport.GRPC, self.question, 15),
        )
        return Load(service["spec"]["clusterIP"], streams or usual)

    def splits(self, load: Load, since: float) -> list[Split]:
        """What each step did with the clients' requests, from `since` (Unix seconds) on."""
        return splits(self.follower.story, load.record, since, time.time())

    def pods(self, component: str, revision: str = "") -> list[Object]:
        """Pods that are not leaving, oldest first."""
        labels = f"savedmodel.dev/component={component}"
        if revision:
            labels += f",savedmodel.dev/revision={revision}"
        found = self.kube.list("Pod", self.namespace, labels)
        staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(staying, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def wait_pods(self, component: str, count: int, without: str = "", revision: str = "") -> None:
        """Until `count` pods are ready, none of them the one with the uid `without`."""

        def done() -> bool:
            pods = self.pods(component, revision)
            uids = {pod["metadata"]["uid"] for pod in pods}
            return sum(map(is_ready, pods)) == count == len(pods) and without not in uids

        assert until(done, patience=PATIENCE), f"{count} ready {component} pods did not come"

    def wait_left(self) -> None:
        """Until every pod that is leaving has left, with the connections that it still served."""

        def done() -> bool:
            pods = self.kube.list("Pod", self.namespace)
            return not any("deletionTimestamp" in pod["metadata"] for pod in pods)

        assert until(done, patience=PATIENCE), "a pod did not leave"


@contextmanager
def open_shop(kube: Kube, installed: Installed, models: Path, title: str) -> Iterator[Shop]:
    """A namespace named by `title`, with a followed SavedModelDeployment to come, until it is left."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:24].strip("-")
    namespace = f"{words}-{uuid.uuid4().hex[:6]}"
    kube.apply(objects.namespace(namespace), objects.secret(namespace, installed.store))
    try:
        with Follower(kube, namespace, NAME) as follower:
            yield Shop(kube, installed, models, follower, namespace)
    finally:
        kube.delete("Namespace", None, namespace)


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def refusal(status: Object, number: int) -> Object | None:
    """The entry of rejected[] for a version."""
    return next((r for r in status.get("rejected") or () if r["number"] == number), None)


def operator_pod(kube: Kube) -> Object:
    """The operator's only pod, once it is ready and none is leaving."""
    found: list[Object] = []

    def done() -> bool:
        found[:] = kube.list("Pod", NAMESPACE, "app.kubernetes.io/name=savedmodel-operator")
        return len(found) == 1 and is_ready(found[0])

    assert until(done, patience=PATIENCE), f"one ready operator pod did not come: {found}"
    return found[0]


def process_of(pod: Object, word: str) -> int:
    """The process id, on this machine, of the process of a pod whose command has `word`.

    The node is a set of processes of this machine, so its containers' processes are too.
    """
    uid = pod["metadata"]["uid"]
    marks = (uid, uid.replace("-", "_"))
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            group = (folder / "cgroup").read_text()
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in command and any(mark in group for mark in marks):
            return int(folder.name)
    raise AssertionError(f"no process of pod {pod['metadata']['name']} has '{word}' in its command")


def kill_operator(kube: Kube) -> None:
    """SIGKILL to its process; returns once a new one is ready.

    The kubelet holds a container back that died several times within ten minutes (CrashLoopBackOff:
    10 s, doubled by each death). That answers the tests' own kills and says nothing of the
    operator, so such a pod is deleted and its Deployment makes the next one at once.
    """
    pod = operator_pod(kube)
    before = (pod["metadata"]["uid"], _restarts(pod))
    os.kill(process_of(pod, "savedmodel_operator"), signal.SIGKILL)

    def done() -> bool:
        pods = kube.list("Pod", NAMESPACE, "app.kubernetes.io/name=savedmodel-operator")
        for now in pods:
            if _is_held_back(now) and "deletionTimestamp" not in now["metadata"]:
                kube.delete("Pod", NAMESPACE, now["metadata"]["name"])
        alive = [p for p in pods if (p["metadata"]["uid"], _restarts(p)) != before]
        return any(is_ready(p) and "deletionTimestamp" not in p["metadata"] for p in alive)

    assert until(done, patience=PATIENCE), "the operator did not come back"


def _is_held_back(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    waiting = [(s.get("state") or {}).get("waiting") or {} for s in statuses]
    return any(w.get("reason") == "CrashLoopBackOff" for w in waiting)


def _restarts(pod: Object) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return sum(int(s.get("restartCount", 0)) for s in statuses)
