"""The whole operator as a process against the real API server: start, act, rest, hand over, die.

There is no node, so no pod ever runs: this is about the operator's own behaviour.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

pytestmark = pytest.mark.api

PATIENCE = 30.0
QUIET = 12.0  # seconds in which an idle operator is watched; six renewals of its Lease


class Operator:
    """One replica as a process of its own."""

    def __init__(self, kubeconfig, namespace, folder, name="pod-0"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "SAVEDMODEL_NAMESPACES": namespace,
            "OPERATOR_IMAGE": "localhost/nowhere/operator:none",
            "ROUTER_IMAGE": "localhost/nowhere/envoy:none",
            "IMAGE_PULL_POLICY": "Never",
            "ALLOWED_ENDPOINTS": "127.0.0.1",
            "POD_NAMESPACE": namespace,
            "POD_NAME": name,
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "savedmodel_operator"],
                env={**os.environ, **environment},
                stderr=log,
            )

    def until(self, path, wanted):
        """Waits until the answer is as wanted."""
        return wait_for(lambda: wanted(self.get(path)), f"{path}; log: {self.log.read_text()}")

    def get(self, path):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(self.url + path, timeout=5)
        except httpx.TransportError:
            return None

    def ready(self):
        self.until("/readyz", lambda answer: answer is not None and answer.status_code == 200)

    def leads(self):
        self.until("/metrics", lambda answer: answer is not None and "_leader 1.0" in answer.text)

    def calls(self):
        """Requests to the API server so far, watches and the Lease left out."""
        lines = self.get("/metrics").text.splitlines()
        return sorted(
            line
            for line in lines
            if line.startswith("savedmodel_api_requests_total")
            and 'verb="watch"' not in line
            and "leases" not in line
        )

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def wait_for(question, what):
    """The first true answer; fails after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = question()
        if answer:
            return answer
        time.sleep(0.1)
    pytest.fail(f"waited {PATIENCE} s for {what}")


@pytest.fixture
def start(kubeconfig, namespace, crd, tmp_path):
    """start(name) → a running replica; all are killed in the end."""
    started = []

    def one(name="pod-0"):
        started.append(Operator(kubeconfig, namespace, tmp_path, name))
        return started[-1]

    yield one
    for operator in started:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait(PATIENCE)


MODEL = {
    "apiVersion": "savedmodel.dev/v1alpha1",
    "kind": "SavedModelDeployment",
    "metadata": {"name": "flowers"},
    "spec": {
        "source": {
            "uri": "s3://models/flowers",
            "endpoint": "http://127.0.0.1:9",
            "anonymous": True,
        },
        "serving": {"image": "localhost/nowhere/serving:2.20.0", "replicas": 0},
    },
}


def status_of(api, models):
    return api.call("GET", f"{models}/flowers").accepted()["status"]


def condition(status, kind):
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})


def children(api, namespace):
    """Everything of ours in the namespace but pods and replica sets, by path."""
    found = {}
    for path in (
        "api/v1/namespaces/{}/services",
        "api/v1/namespaces/{}/configmaps",
        "apis/apps/v1/namespaces/{}/deployments",
        "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
        "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    ):
        query = {"labelSelector": "app.kubernetes.io/managed-by=savedmodel-operator"}
        listed = api.call("GET", "/" + path.format(namespace), query=query).accepted()
        found |= {f"{path.rpartition('/')[2]}/{i['metadata']['name']}": i for i in listed["items"]}
    return found


def lease(api, namespace):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/savedmodel-operator"
    return api.call("GET", path).accepted()["spec"]


def test_it_acts_rests_heals_hands_over_and_is_not_needed_to_delete(api, namespace, models, start):
    operator = start()
    operator.ready()
    operator.leads()
    api.call("POST", models, MODEL).accepted()
    wait_for(
        lambda: condition(status_of(api, models), "SourceReady").get("reason") == "Unreachable",
        "an unreachable store to be told",
    )
    assert "127.0.0.1:9" in condition(status_of(api, models), "SourceReady")["message"]
    made = children(api, namespace)
    assert {"services/flowers", "deployments/flowers-router"} <= set(made)
    assert all(
        o["metadata"]["ownerReferences"][0]["kind"] == "SavedModelDeployment" for o in made.values()
    )
    _rests(operator, api, models)
    _heals(api, namespace, made)
    assert operator.end() == 0
    assert lease(api, namespace)["holderIdentity"] == "", "a successor need not wait"
    api.call("DELETE", f"{models}/flowers").accepted()
    wait_for(lambda: not children(api, namespace), "the children to go without the operator")


def _rests(operator, api, models):
    """An idle operator asks nothing and writes nothing."""
    wait_for(lambda: _still(operator), "the operator to come to rest")
    version = api.call("GET", f"{models}/flowers").body["metadata"]["resourceVersion"]
    before = operator.calls()
    time.sleep(QUIET)  # the absence of calls can only be watched
    assert operator.calls() == before
    assert api.call("GET", f"{models}/flowers").body["metadata"]["resourceVersion"] == version
    assert operator.get("/healthz").status_code == 200


def _still(operator):
    before = operator.calls()
    time.sleep(2)
    return operator.calls() == before


def _heals(api, namespace, made):
    """What is deleted comes back, what is changed is put back."""
    services = f"/api/v1/namespaces/{namespace}/services"
    api.call("DELETE", f"{services}/flowers").accepted()
    former = made["services/flowers"]["metadata"]["uid"]
    wait_for(
        lambda: (
            api.call("GET", f"{services}/flowers").body.get("metadata", {}).get("uid")
            not in (None, former)
        ),
        "the Service to come back",
    )
    merge = "application/merge-patch+json"
    foreign = {"spec": {"selector": {"savedmodel.dev/component": "elsewhere"}}}
    api.call("PATCH", f"{services}/flowers", foreign, content_type=merge).accepted()
    wait_for(
        lambda: (
            api.call("GET", f"{services}/flowers").body["spec"]["selector"][
                "savedmodel.dev/component"
            ]
            == "router"
        ),
        "the selector to be put back",
    )


def test_a_second_replica_stands_by_and_takes_over(api, namespace, models, start):
    first = start("pod-0")
    first.leads()
    second = start("pod-1")
    second.ready()
    api.call("POST", models, MODEL).accepted()
    wait_for(lambda: "services/flowers" in children(api, namespace), "the leader to act")
    assert not any("create" in line for line in second.calls())
    assert first.end() == 0
    began = time.monotonic()
    second.leads()
    assert time.monotonic() - began < 6, "it did not wait for the Lease to run out"
    api.call("DELETE", f"/api/v1/namespaces/{namespace}/services/flowers").accepted()
    wait_for(lambda: "services/flowers" in children(api, namespace), "the successor to act")


def test_a_wrong_setting_ends_it_with_one_sentence(tmp_path):
    environment = {**os.environ, "WORKERS": "many"}
    for name in ("OPERATOR_IMAGE", "ROUTER_IMAGE", "POD_NAMESPACE", "POD_NAME"):
        environment[name] = "x"
    ended = subprocess.run(
        [sys.executable, "-m", "savedmodel_operator"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "savedmodel-operator: environment variable WORKERS is 'many': "
        "it must be a whole number from 1 to 64\n"
    )
