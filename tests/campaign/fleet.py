"""Many SavedModelDeployments on a control plane of one's own, with all that they need to serve.

One API server, one S3 server with one model that all of them name, and `pod_world` in place of
kubelets; the operator is the test's to start. Everything is on loopback.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from many_requests import Body, ManyRequests, connect
from pod_world import PodWorld
from story_of_objects import Stories

from api_server import ApiServer, install_crd
from bucket_server import KEY, S3Server
from control_plane import ControlPlane
from lab import objects, uploads
from lab.s3 import Store
from unit.savedmodel.wire_builder import servable

CRD = Path(__file__).resolve().parents[2] / "crds/savedmodeldeployments.yaml"
NAMESPACE = "fleet"
PREFIX = "calc"
IMAGE = "localhost/nowhere/serving:2.21.0"
MODELS = f"/apis/savedmodel.dev/v1alpha1/namespaces/{NAMESPACE}/savedmodeldeployments"
AT_ONCE = 16
PATIENCE = 240.0
T = TypeVar("T")

_VECTOR = {"unknown_rank": False, "dim": [{"size": "-1", "name": ""}]}
SIGNATURES = {
    "serving_default": {
        "method_name": "tensorflow/serving/predict",
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": _VECTOR, "name": "x:0"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": _VECTOR, "name": "y:0"}},
    }
}
"""Of `servable`, as TensorFlow Serving tells them."""


@dataclass
class Fleet:
    """What a test works with."""

    plane: ControlPlane
    store: S3Server
    pods: PodWorld

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    def run(self, work: Callable[[ManyRequests], Awaitable[T]]) -> T:
        """Asynchronous work with the administrator's rights."""

        async def inside() -> T:
            async with connect(self.kubeconfig) as api:
                return await work(api)

        return asyncio.run(inside())

    def manifest(self, name: str, prefix: str = PREFIX, **given: Any) -> Body:
        """Of one object; the values that are no defaults are those of `lab.objects`."""
        store = address_of(self.store)
        found = objects.deployment(name, NAMESPACE, store, IMAGE, prefix=prefix, **given)
        found["spec"]["traffic"]["router"]["replicas"] = 1
        return found

    def upload(self, number: int, prefix: str = PREFIX) -> None:
        """One more version, which computes as the first one does."""
        with closing(address_of(self.store).client()) as client:
            key = f"{prefix}/{number}/saved_model.pb"
            client.put_object(Bucket=objects.BUCKET, Key=key, Body=servable())

    def apply(self, body: Body) -> None:
        """A new object."""
        code, answer = self.run(lambda api: api.call("POST", MODELS, body))
        assert code == 201, answer

    def many(self, index: int) -> Body:
        """One of many: its bucket is read as seldom as by default, and nothing hurries it."""
        found = self.manifest(name(index), deadline="30m")
        found["spec"]["source"]["pollInterval"] = "30s"
        return found

    def create(self, first: int, count: int) -> None:
        """Objects `first` to `first + count - 1`."""

        async def work(api: ManyRequests) -> None:
            turn = asyncio.Semaphore(AT_ONCE)

            async def one(index: int) -> None:
                async with turn:
                    code, body = await api.call("POST", MODELS, self.many(index))
                    assert code == 201, body

            await asyncio.gather(*(one(index) for index in range(first, first + count)))

        self.run(work)

    def stories(self) -> Stories:
        """Of all objects, for the time of a block."""
        return Stories(self.kubeconfig, MODELS)

    def clear(self) -> None:
        """Deletes all objects, until their children are gone, too; no operator is needed. With them
        go the versions that no others name, so that a later test may use the name again."""
        prefixes = {
            o["spec"]["source"]["uri"].partition(f"/{objects.BUCKET}/")[2] for o in self.objects()
        }

        async def work(api: ManyRequests) -> None:
            await api.call("DELETE", MODELS)

        self.run(work)
        until = time.monotonic() + PATIENCE
        while self.pods.ready:
            assert time.monotonic() < until, f"{self.pods.ready} pods are left"
            time.sleep(0.2)
        with closing(address_of(self.store).client()) as client:
            for prefix in prefixes - {PREFIX}:
                uploads.empty(client, objects.BUCKET, prefix)

    def objects(self) -> list[Body]:
        """All of them as they are."""
        return self.run(lambda api: api.call("GET", MODELS))[1]["items"]

    def phases(self) -> Counter[str]:
        return Counter((o.get("status") or {}).get("phase", "") for o in self.objects())

    def wait_serving(self, count: int, patience: float) -> None:
        """Until `count` objects serve and are idle."""
        until = time.monotonic() + patience
        while (found := self.phases())["Serving"] < count:
            assert time.monotonic() < until, f"after {patience:.0f} s: {dict(found)}"
            time.sleep(1.0)


def name(index: int) -> str:
    return f"m{index:04d}"


@contextmanager
def open_fleet(folder: Path) -> Iterator[Fleet]:
    """Everything but the objects and the operator, until it is left."""
    (folder / "plane").mkdir()
    plane = ControlPlane(folder / "plane")
    store = S3Server(folder / "store")
    try:
        with closing(address_of(store).client()) as client:
            client.create_bucket(Bucket=objects.BUCKET)
        plane.start()
        admin = ApiServer(plane.kubeconfig)
        install_crd(admin, yaml.safe_load(CRD.read_text()))
        admin.call("POST", "/api/v1/namespaces", objects.namespace(NAMESPACE)).accepted()
        secret = objects.secret(NAMESPACE, address_of(store))
        admin.call("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", secret).accepted()
        until = time.monotonic() + PATIENCE
        while admin.call("GET", MODELS).code != 200:  # a new kind is served a moment later
            assert time.monotonic() < until, "the new kind is not served"
            time.sleep(0.1)
        admin.close()
        with PodWorld(plane.kubeconfig, SIGNATURES) as pods:
            fleet = Fleet(plane, store, pods)
            fleet.upload(1)
            yield fleet
    finally:
        store.stop()
        plane.stop()


def address_of(store: S3Server) -> Store:
    """As the laboratory names a server."""
    return Store(store.endpoint, store.endpoint, KEY.access_key_id, KEY.secret_access_key)
