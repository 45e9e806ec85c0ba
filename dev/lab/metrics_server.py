"""A stand-in for metrics-server: the API metrics.k8s.io/v1beta1 with figures that a test sets.

Runs in a pod, from a ConfigMap, with nothing but Python's standard library: `metrics` puts it there.
A namespace has a load in thousandths of a core; its ready model pods share it evenly, as they share
requests. So an autoscaler that adds pods sees the load of each go down. Everybody in the cluster is
answered. Must not run anywhere else.
"""

import json
import os
import re
import ssl
import threading
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

GROUP = "metrics.k8s.io/v1beta1"
ROOT = f"/apis/{GROUP}"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PODS = re.compile(rf"{ROOT}/namespaces/([a-z0-9-]+)/pods")
LOAD = re.compile(rf"{ROOT}/namespaces/([a-z0-9-]+)/load")
MODEL = "savedmodel.dev/component=model"

_loads: dict[str, int] = {}  # namespace → thousandths of a core
_guard = threading.Lock()


def list_pods(namespace: str, selector: str) -> list[dict[str, Any]]:
    """Ready pods by the API server, with the rights of this pod's account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = (
        f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods?labelSelector={quote(selector)}"
    )
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        return [pod for pod in json.load(answer)["items"] if _ready(pod)]


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    well = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return well and "deletionTimestamp" not in pod["metadata"]


def figures(namespace: str, selector: str) -> dict[str, Any]:
    """A PodMetricsList of the pods that the selector means."""
    sharing = {pod["metadata"]["name"] for pod in list_pods(namespace, MODEL)}
    with _guard:
        load = _loads.get(namespace, 0)
    each = load / len(sharing) if sharing else 0
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = []
    for pod in list_pods(namespace, selector):
        meta = {k: pod["metadata"].get(k) for k in ("name", "namespace", "labels")}
        cpu = f"{round(each * 1e6)}n" if pod["metadata"]["name"] in sharing else "0"
        usage = {"cpu": cpu, "memory": "1Mi"}
        containers = [{"name": c["name"], "usage": usage} for c in pod["spec"]["containers"]]
        items.append({"metadata": meta, "timestamp": now, "window": "1s", "containers": containers})
    return {"kind": "PodMetricsList", "apiVersion": GROUP, "metadata": {}, "items": items}


def resources() -> dict[str, Any]:
    """What the API server asks to know whether we are there, and clients to know what we have."""
    pods = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics"}
    listed = [{**pods, "verbs": ["get", "list"]}]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP,
        "resources": listed,
    }


class Handler(BaseHTTPRequestHandler):
    """GET the API, PUT {"millicores": N} to a namespace's `load`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path in ("/healthz", ROOT):
            self._answer(200, resources())
        elif found := PODS.fullmatch(url.path):
            selector = parse_qs(url.query).get("labelSelector", [""])[0]
            self._answer(200, figures(found[1], selector))
        else:
            self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure"})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = LOAD.fullmatch(urlsplit(self.path).path)
        if found is None:
            self._answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure"})
            return
        with _guard:
            _loads[found[1]] = int(body["millicores"])
        self._answer(200, body)

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server = ThreadingHTTPServer(("", 6443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
