"""At rest: ten objects, an idle minute, a restart; and what the operator may not do."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster_shop import NAME, PATIENCE, Shop, kill_operator, operator_pod, process_of
from lab.cluster import until
from lab.errors import LabError
from lab.follow import condition, unix
from lab.install import NAMESPACE
from lab.kube import SMD, Kube, Object
from lab.samples import CALC

pytestmark = pytest.mark.cluster

OBJECTS = 10
IDLE = 60.0
USER = f"system:serviceaccount:{NAMESPACE}:savedmodel-operator"
MIB = 1024 * 1024


def test_ten_objects_at_rest_cost_no_calls_and_a_restart_moves_nothing(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    shop.upload(CALC[0])
    names = [NAME, *(f"{NAME}-{index}" for index in range(1, OBJECTS))]
    for name in names:
        shop.kube.apply(_small(shop, name))
    for name in names:
        _wait_ready(shop, name)
    assert until(lambda: _others(shop) == set(), patience=PATIENCE), _others(shop)
    _wait_quiet(shop.kube)

    since = time.time()
    time.sleep(IDLE)  # what is measured is a minute in which nothing happens
    renewals = [e for e in _audit(shop.kube, since, time.time()) if _resource(e) == "leases"]
    assert len(renewals) > IDLE / 15, "the audit log does not show the operator at all"
    calls = _calls(shop.kube, since, time.time())
    resident = _resident(process_of(operator_pod(shop.kube), "savedmodel_operator"))
    record_property("idle minute, 10 objects", f"{dict(calls) or 'no calls but the Lease'}")
    record_property("operator's memory, 10 objects", f"{resident / MIB:.0f} MiB resident")
    writes = {call for call in calls if call[0] not in ("get", "list", "watch")}
    assert not writes, f"writes in an idle minute: {calls}"
    assert not {call for call in calls if call[0] != "watch"}, f"reads in an idle minute: {calls}"

    pods = _identities(shop)
    since = time.time()
    kill_operator(shop.kube)
    _wait_leader(shop.kube, since)
    _wait_quiet(shop.kube)
    calls = _calls(shop.kube, since, time.time())
    assert _identities(shop) == pods, "a restart of the operator changed pods"
    assert not {call for call in calls if call[0] not in ("get", "list", "watch")}, calls


def test_the_operator_reads_named_secrets_only(shop: Shop) -> None:
    def may(verb: str, what: str) -> bool:
        words = ("auth", "can-i", verb, what, "-n", shop.namespace, "--as", USER)
        try:
            return shop.cluster.kubectl(*words).strip() == "yes"
        except LabError:
            return False

    assert may("get", "secret/savedmodel-storage")
    assert not may("get", "secret/another")
    for verb in ("list", "watch", "create", "update", "delete"):
        assert not may(verb, "secrets"), verb
    assert not may("create", "pods/exec")
    assert not may("update", "savedmodeldeployments.savedmodel.dev"), "it never writes spec"


def test_pods_are_shielded_by_policies(shop: Shop) -> None:
    shop.serve(CALC[0])
    found = {
        p["metadata"]["name"]: p["spec"] for p in shop.kube.list("NetworkPolicy", shop.namespace)
    }
    assert set(found) == {f"{NAME}-model", f"{NAME}-router"}
    for component, spec in (("model", found[f"{NAME}-model"]), ("router", found[f"{NAME}-router"])):
        wanted = spec["podSelector"]["matchLabels"]
        for pod in shop.pods(component):
            assert wanted.items() <= pod["metadata"]["labels"].items()
    sources = found[f"{NAME}-model"]["ingress"][0]["from"]
    assert any("podSelector" in source for source in sources)
    mounted = [pod["spec"].get("automountServiceAccountToken") for pod in shop.pods("model")]
    assert mounted == [False]


def _others(shop: Shop) -> set[str]:
    """Namespaces of earlier tests that are not gone yet with their objects."""
    found = {body["metadata"]["namespace"] for body in shop.kube.list(SMD)}
    return found - {shop.namespace}


def _small(shop: Shop, name: str) -> Object:
    """One pod and one router; the bucket is read as seldom as by default."""
    manifest = shop.manifest()
    manifest["metadata"]["name"] = name
    manifest["spec"]["source"]["pollInterval"] = "30s" if name != NAME else "1s"
    manifest["spec"]["traffic"]["router"]["replicas"] = 1
    # Ten servers at once: TensorFlow starts slowly when ten of it share two cores.
    manifest["spec"]["rollout"]["deadline"] = "10m"
    return manifest


def _wait_ready(shop: Shop, name: str) -> None:
    shop.kube.wait(
        SMD,
        shop.namespace,
        name,
        lambda o: o is not None and condition(o.get("status") or {}, "Ready") == "True",
        2 * PATIENCE,
        "being ready",
    )


def _audit(kube: Kube, since: float, end: float) -> list[Object]:
    """The operator's finished requests between two times, from the API server's own log."""
    found = []
    log = Path(kube.instance.audit_log)
    with log.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line may be half written
            if entry.get("user", {}).get("username") != USER:
                continue
            at = unix(entry["requestReceivedTimestamp"])
            if since <= at <= end:
                found.append(entry)
    return found


def _resource(entry: Object) -> str:
    return str(entry.get("objectRef", {}).get("resource", entry["requestURI"]))


def _calls(kube: Kube, since: float, end: float) -> Counter[tuple[str, str]]:
    """(verb, resource) of the operator's requests, its Lease left out."""
    calls = ((entry["verb"], _resource(entry)) for entry in _audit(kube, since, end))
    return Counter(call for call in calls if call[1] != "leases")


def _wait_quiet(kube: Kube, calm: float = 5.0) -> None:
    """Until the operator has made no request but for its Lease for `calm` seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = time.time()
        if not _calls(kube, now - calm, now):
            return
        time.sleep(0.5)
    raise AssertionError(f"no calm: {_calls(kube, time.time() - calm, time.time())}")


def _wait_leader(kube: Kube, since: float) -> None:
    """Until the operator holds its Lease by a renewal after `since`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        renewed = [
            entry
            for entry in _audit(kube, since, time.time())
            if _resource(entry) == "leases" and entry["verb"] in ("update", "patch")
        ]
        if renewed:
            return
        time.sleep(0.5)
    raise AssertionError("the restarted operator never took the Lease")


def _identities(shop: Shop) -> set[tuple[str, str, int]]:
    """Every pod of the namespace: name, uid, restarts."""
    return {
        (
            pod["metadata"]["name"],
            pod["metadata"]["uid"],
            sum(s["restartCount"] for s in pod["status"].get("containerStatuses", ())),
        )
        for pod in shop.kube.list("Pod", shop.namespace)
    }


def _resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/{process}/status has no VmRSS")
