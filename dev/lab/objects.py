"""Manifests that demo and cluster tests apply, small enough for two cores.

Neighbours: `install` says which images and store there are, `kube` applies. Each value that is not a
default of the product is here for a reason that its comment tells. Pure.
"""

from dataclasses import dataclass
from typing import Any

from lab.s3 import Store

Object = dict[str, Any]

BUCKET = "models"
SECRET = "savedmodel-storage"
#: The stand-in's image is named by a hash, which tells no version; this is its TensorFlow's.
RUNTIME = "2.21"


@dataclass(frozen=True)
class Step:
    """A step of a rollout; `hold` in seconds."""

    weight: int
    hold: float = 0.0
    pause: bool = False

    def manifest(self) -> Object:
        """As in spec.rollout.steps."""
        whole = float(self.hold).is_integer()
        hold = f"{self.hold:g}s" if whole else f"{round(self.hold * 1000)}ms"
        body: Object = {"weight": self.weight, "hold": hold}
        return {**body, "pause": True} if self.pause else body


def namespace(name: str) -> Object:
    """A namespace that admits restricted pods only, so that ours prove to be that."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def secret(namespace: str, store: Store, name: str = SECRET) -> Object:
    """The store's keys, in the form of an AWS environment."""
    keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": keys,
    }


SERVING_REQUESTS = {"cpu": "50m", "memory": "400Mi"}
"""The stand-in for TF Serving is Python with TensorFlow in it: 350 MB before its first model."""


def _source(store: Store, prefix: str) -> Object:
    return {
        "uri": f"s3://{BUCKET}/{prefix}",
        "endpoint": store.endpoint,
        "secretRef": {"name": SECRET},
        "pollInterval": "1s",
    }


def deployment(
    name: str,
    namespace: str,
    store: Store,
    image: str,
    *,
    prefix: str,
    replicas: int = 1,
    steps: tuple[Step, ...] = (),
    deadline: str = "3m",
    analysis: Object | None = None,
) -> Object:
    """A SavedModelDeployment with quick settings: polls each second, drains in ten."""
    serving = {"requests": dict(SERVING_REQUESTS), "limits": {"memory": "1Gi"}}
    router = {"requests": {"cpu": "50m", "memory": "64Mi"}}
    return {
        "apiVersion": "savedmodel.dev/v1alpha1",
        "kind": "SavedModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": _source(store, prefix),
            "serving": {
                "image": image,
                "replicas": replicas,
                "resources": serving,
                "drain": "10s",
            },
            "gate": {"ops": {"servingVersion": RUNTIME}},
            "rollout": {
                "steps": [step.manifest() for step in steps],
                "deadline": deadline,
                "scaleDownDelay": "2s",
                **({"analysis": analysis} if analysis else {}),
            },
            "traffic": {"router": {"replicas": 2, "resources": router}},
        },
    }
