"""The API server for demo and tests: read, write, watch, wait; plain dicts in and out.

Neighbours: everything of the laboratory that writes to the cluster from Python. A thin layer over the
dynamic client of the `kubernetes` package, with waits that are watches with a deadline, so that
nothing here sleeps and hopes. Must not know what a SavedModelDeployment means.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from urllib3.exceptions import HTTPError

from kubernetes import client, config
from lab.errors import LabError
from lab.instance import Instance, current

Object = dict[str, Any]

FIELD_MANAGER = "lab"
GROUP = "savedmodel.dev/v1alpha1"
SMD = "SavedModelDeployment"
_API = {
    "SavedModelDeployment": GROUP,
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "ControllerRevision": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "NetworkPolicy": "networking.k8s.io/v1",
    "APIService": "apiregistration.k8s.io/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Lease": "coordination.k8s.io/v1",
    "Event": "v1",
}
MISSING = 404


class NotInTime(LabError):
    """A wait that ended without what was waited for; the message has the last that was seen."""


class Kube:
    """One connection pool with the administrator's rights."""

    def __init__(self, instance: Instance | None = None) -> None:
        self.instance = instance or current()
        self._raw: Any = config.new_client_from_config(str(self.instance.kubeconfig))  # type: ignore[no-untyped-call]
        self._dynamic: Any = DynamicClient(self._raw)  # type: ignore[no-untyped-call]
        self.core = client.CoreV1Api(self._raw)

    def kind(self, kind: str) -> Any:
        """The resource of a kind; a CRD that came later is found by asking again."""
        return self._dynamic.resources.get(api_version=_API.get(kind, "v1"), kind=kind)

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return dict(self.kind(kind).get(name=name, namespace=namespace).to_dict())
        except ApiException as error:
            if error.status == MISSING:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all."""
        found = self.kind(kind).get(namespace=namespace, label_selector=labels)
        return [dict(item) for item in found.to_dict()["items"]]

    def apply(self, *manifests: Object | str) -> None:
        """Server-side apply; a string is YAML of one or more objects."""
        for manifest in manifests:
            if isinstance(manifest, str):
                bodies = [body for body in yaml.safe_load_all(manifest) if body]
            else:
                bodies = [manifest]
            for body in bodies:
                self.kind(body["kind"]).server_side_apply(
                    body=body,
                    name=body["metadata"]["name"],
                    namespace=body["metadata"].get("namespace"),
                    field_manager=FIELD_MANAGER,
                    force_conflicts=True,
                )

    def patch(self, kind: str, namespace: str | None, name: str, change: Mapping[str, Any]) -> None:
        """A JSON merge patch."""
        self.kind(kind).patch(
            name=name,
            namespace=namespace,
            body=dict(change),
            content_type="application/merge-patch+json",
        )

    def put(self, path: str, body: Object) -> None:
        """A PUT to any path of the API, an aggregated server's own ones included."""
        self._dynamic.request("PUT", path, body=body, serialize=False)

    def annotate(self, name: str, namespace: str, **annotations: str | None) -> None:
        """Annotations of a SavedModelDeployment; `action` means savedmodel.dev/action."""
        keys = {f"savedmodel.dev/{key}": value for key, value in annotations.items()}
        self.patch(SMD, namespace, name, {"metadata": {"annotations": keys}})

    def delete(self, kind: str, namespace: str | None, name: str, grace: int | None = None) -> None:
        """Delete in the background; fine where it is not there."""
        body = {"propagationPolicy": "Background"} | (
            {} if grace is None else {"gracePeriodSeconds": grace}
        )
        try:
            self.kind(kind).delete(name=name, namespace=namespace, body=body)
        except ApiException as error:
            if error.status != MISSING:
                raise

    def evict(self, namespace: str, pod: str) -> None:
        """What `kubectl drain` does to a pod: asks the disruption budget first."""
        wanted = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace=namespace))
        self.core.create_namespaced_pod_eviction(pod, namespace, wanted)

    def watch(
        self, kind: str, namespace: str | None, name: str, timeout: float
    ) -> Iterator[Object | None]:
        """The object as it is now and at every change, None while it is not there, until timeout."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.kind(kind).get(namespace=namespace, field_selector=f"metadata.name={name}")
            items = found.to_dict()["items"]
            yield dict(items[0]) if items else None
            yield from self._changes(
                kind, namespace, name, found.metadata.resourceVersion, deadline
            )

    def _changes(
        self, kind: str, namespace: str | None, name: str, version: str, deadline: float
    ) -> Iterator[Object | None]:
        left = max(1, int(deadline - time.monotonic()) + 1)
        answer = self.kind(kind).get(
            namespace=namespace,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            watch=True,
            timeout_seconds=left,
            serialize=False,
            _request_timeout=left + 5,
        )
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return  # too old: the caller lists again
                yield None if event["type"] == "DELETED" else event["object"]
        except (HTTPError, OSError):
            return  # the connection broke: the caller lists again
        finally:
            answer.close()

    def wait(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        done: Callable[[Object | None], bool],
        timeout: float,
        what: str = "",
    ) -> Object | None:
        """Until `done` holds for the object. Raises NotInTime with its last message."""
        last: Object | None = None
        for last in self.watch(kind, namespace, name, timeout):
            if done(last):
                return last
        status = (last or {}).get("status", {})
        words = json.dumps(status, indent=1, default=str)[:3000] if last else "it is not there"
        raise NotInTime(
            f"{kind} {namespace}/{name}: {what or 'what was waited for'} "
            f"did not come within {timeout:.0f} s; last seen: {words}"
        )

    def log(self, namespace: str, pod: str, lines: int = 200, *, previous: bool = False) -> str:
        """The tail of a pod's log; empty where there is none."""
        try:
            text = self.core.read_namespaced_pod_log(
                pod, namespace, tail_lines=lines, previous=previous
            )
        except ApiException:
            return ""
        return str(text)


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(amt=None, decode_content=False):
        rest += chunk
        *whole, rest = rest.split(b"\n")
        yield from (line for line in whole if line.strip())
