"""The kubelet's place on a control plane without a node: pods become ready, and answer.

    pod seen ─► an address 127.N.x.y of its own ─► listeners ─► status Running, Ready
    pod gone ─► listeners closed

Model pods answer what TensorFlow Serving says of one version; router pods say that they carry the
route that is written, as Envoy does a moment after it. No client is ever served and no container
runs: this is for the operator's own work at sizes for which no machine has pods. All of it is on
loopback. Neighbours: `fleet` makes the objects; nothing of the operator is used here.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from aiohttp import web
from many_requests import MERGE, Body, ManyRequests, connect

Key = tuple[str, str]

MANAGED = "app.kubernetes.io/managed-by=savedmodel-operator"
OWNER = "savedmodel.dev/deployment"
COMPONENT = "savedmodel.dev/component"
REVISION = "savedmodel.dev/revision"
ROUTE = "savedmodel.dev/route"
CONFIG = "savedmodel.dev/router-config"
PORTS = {"model": (8501,), "router": (8501, 9902)}
AT_ONCE = 16
"""Pods that are started at a time."""

PATIENCE = 60.0


@dataclass
class Pod:
    """A pod that answers. `ready`: its status says so, too."""

    owner: Key
    component: str
    revision: str
    address: str
    sites: list[web.TCPSite] = field(default_factory=list)
    ready: bool = False


class PodWorld:
    """All pods of one control plane, in a thread of its own.

    signatures: of the model that every version is, as TensorFlow Serving tells them.
    """

    def __init__(self, kubeconfig: Path, signatures: Body) -> None:
        self._kubeconfig = kubeconfig
        self._signatures = signatures
        self._mark, self._next = _take_network()
        self._pods: dict[str, Pod] = {}  # by uid
        self._by_address: dict[str, Pod] = {}
        self._owned: dict[Key, dict[str, Pod]] = {}
        self._routes: dict[Key, dict[str, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="pods")
        self.failure: BaseException | None = None

    def __enter__(self) -> PodWorld:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        self._mark.close()
        if self.failure is not None:
            raise self.failure

    @property
    def ready(self) -> int:
        """Pods whose status says ready now."""
        return sum(pod.ready for pod in list(self._pods.values()))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:
            self.failure = error
        finally:
            self._loop.close()

    async def _live(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        async with connect(self._kubeconfig) as self._api:
            follow: Callable[..., Any] = self._api.follow
            watches = [
                asyncio.create_task(follow("/api/v1/pods", MANAGED, self._heard_pod)),
                asyncio.create_task(follow("/api/v1/configmaps", MANAGED, self._heard_map)),
            ]
            await self._stop.wait()
            for task in (*watches, *self._tasks):
                task.cancel()
            await asyncio.gather(*watches, *self._tasks, return_exceptions=True)
        await self._runner.cleanup()

    def _heard_map(self, kind: str, body: Body) -> None:
        meta = body["metadata"]
        notes = meta.get("annotations") or {}
        key = (meta["namespace"], meta["labels"][OWNER])
        if CONFIG in notes and kind != "DELETED":
            self._routes[key] = notes

    def _heard_pod(self, kind: str, body: Body) -> None:
        meta = body["metadata"]
        if kind == "DELETED":
            pod = self._pods.pop(meta["uid"], None)
            if pod is not None:
                del self._owned[pod.owner][meta["uid"]]
                self._spawn(self._end(pod))
        elif meta["uid"] not in self._pods and "deletionTimestamp" not in meta:
            labels, address = meta["labels"], str(IPv4Address(self._next))
            self._next += 1
            pod = Pod(
                (meta["namespace"], labels[OWNER]),
                labels[COMPONENT],
                labels.get(REVISION, ""),
                address,
            )
            self._pods[meta["uid"]] = self._by_address[address] = pod
            self._owned.setdefault(pod.owner, {})[meta["uid"]] = pod
            self._spawn(self._begin(pod, body))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, pod: Pod, body: Body) -> None:
        async with self._turn:
            for port in PORTS[pod.component]:
                site = web.TCPSite(self._runner, pod.address, port)
                await site.start()
                pod.sites.append(site)
            await _tell_ready(self._api, pod, body)
            pod.ready = True

    async def _end(self, pod: Pod) -> None:
        pod.ready = False
        self._by_address.pop(pod.address, None)
        for site in pod.sites:
            await site.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        pod = self._by_address.get(request.transport.get_extra_info("sockname")[0])
        if pod is None:
            return web.Response(status=503)
        path = request.path
        if pod.component == "router":
            if path == "/_revision":
                return web.Response(text=self._routes.get(pod.owner, {}).get(CONFIG, ""))
            return web.json_response(self._members(pod.owner))
        return web.json_response(self._served(path))

    def _members(self, owner: Key) -> Body:
        """Envoy's /clusters?format=json: the ready pods of each revision in the route."""
        route = json.loads(self._routes.get(owner, {}).get(ROUTE, '{"weights": {}}'))
        clusters = []
        for revision in route["weights"]:
            hosts = [
                {"address": {"socket_address": {"address": pod.address}}, "health_status": {}}
                for pod in self._owned.get(owner, {}).values()
                if pod.ready and pod.revision == revision
            ]
            clusters += [
                {"name": f"{revision}/{protocol}", "host_statuses": hosts}
                for protocol in ("rest", "grpc")
            ]
        return {"cluster_statuses": clusters}

    def _served(self, path: str) -> Body:
        """Of /v1/models/NAME/versions/N and …/metadata."""
        _, _, _, name, _, number, *rest = path.split("/")
        if not rest:
            good = {"error_code": "OK", "error_message": ""}
            state = {"version": number, "state": "AVAILABLE", "status": good}
            return {"model_version_status": [state]}
        return {
            "model_spec": {"name": name, "signature_name": "", "version": number},
            "metadata": {"signature_def": {"signature_def": self._signatures}},
        }


def _take_network() -> tuple[socket.socket, int]:
    """A 127.N.0.0/16 that no other world on this machine has: (what holds it, its first address)."""
    for octet in random.sample(range(2, 255), 253):
        mark = socket.socket()
        try:
            mark.bind((f"127.{octet}.255.254", PORTS["model"][0]))
        except OSError:
            mark.close()
        else:
            return mark, int(IPv4Address(f"127.{octet}.0.1"))
    raise AssertionError("every network on loopback is taken")


async def _tell_ready(api: ManyRequests, pod: Pod, body: Body) -> None:
    """What a kubelet writes of a pod whose containers run and whose probes pass."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for container in body["spec"]["containers"]
    ]
    status = {
        "phase": "Running",
        "podIP": pod.address,
        "podIPs": [{"ip": pod.address}],
        "startTime": now,
        "containerStatuses": containers,
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
    }
    meta = body["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
    code, answer = await api.call("PATCH", path, {"status": status}, MERGE)
    if code not in (200, 404):  # it may have been deleted meanwhile
        raise AssertionError(f"the status of pod {meta['name']}: {code} {answer.get('message')}")
