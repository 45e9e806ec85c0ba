"""What must not get through: bad versions, bad sources, candidates that never stand."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cluster_shop import NOBODY, PATIENCE, Shop, refusal
from lab.follow import condition
from lab.kube import SMD, Object
from lab.objects import SECRET, Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster

V1, V2, V3, OF_INTEGERS, CRASHES = CALC


def test_an_incompatible_version_is_refused_before_any_pod(shop: Shop) -> None:
    shop.serve(V1)
    with shop.load() as load:
        shop.upload(OF_INTEGERS)
        status = shop.wait(lambda s: refusal(s, 4) is not None, "version 4's refusal")
        shop.upload(V2)
        shop.upload(V3)
        # A lower number is no way out: stable serves until something above 4 is there.
        shop.wait(lambda s: "version 4" in s.get("message", ""), "the sentence on version 4")
    entry = refusal(status, 4)
    assert entry is not None
    assert entry["reason"] == "IncompatibleSignature"
    for word in ("inputs.x", "DT_FLOAT → DT_INT32"):
        assert word in entry["message"]
    assert condition(status, "Ready") == "True"
    assert condition(status, "UpToDate") == "False"
    made = shop.kube.list("Deployment", shop.namespace, "savedmodel.dev/component=model")
    assert [d["metadata"]["name"] for d in made] == [status["stable"]["revision"]]
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1}


def test_a_bad_source_says_what_is_wrong_and_serving_goes_on(shop: Shop) -> None:
    shop.serve(V1)
    endpoint = shop.installed.store.endpoint
    other = {
        "no-bucket": ({"uri": "s3://no-such-bucket-here/x"}, "NoSuchBucket"),
        "unreachable": (
            {"endpoint": f"http://{NOBODY}"},
            "Unreachable",
        ),
        "forbidden-host": ({"endpoint": "http://169.254.169.254"}, "EndpointForbidden"),
        "no-secret": ({"secretRef": {"name": "savedmodel-absent"}}, "SecretNotPermitted"),
    }
    for name, (source, _) in other.items():
        shop.kube.apply(_variant(shop, name, source))
    with shop.load() as load:
        for name, (source, reason) in other.items():
            found = _wait_reason(shop, name, reason)
            told = next(iter(source.values()))
            host = told["name"] if isinstance(told, dict) else told.split("//")[-1].split("/")[0]
            assert host.split(":")[0] in _message(found), _message(found)
        wrong = {"AWS_SECRET_ACCESS_KEY": base64.b64encode(b"not the key").decode()}
        shop.kube.patch("Secret", shop.namespace, SECRET, {"data": wrong})
        # The Secret is read when a source is opened and after a refusal, never at rest.
        shop.patch(source={"pollInterval": "2s"})
        status = shop.wait(lambda s: _reason(s) == "Forbidden", "refused credentials")
        assert endpoint in _message(status)
        key = base64.b64encode(shop.installed.store.secret_key.encode()).decode()
        shop.kube.patch("Secret", shop.namespace, SECRET, {"data": {"AWS_SECRET_ACCESS_KEY": key}})
        status = shop.wait(lambda s: _reason(s) == "SourceReady", "the bucket, read again")
        assert condition(status, "Ready") == "True"
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()


def test_a_candidate_that_cannot_start_is_taken_back(shop: Shop) -> None:
    """Unschedulable until the deadline; then a version that crashes whenever it loads."""
    shop.serve(V1, steps=(Step(50),))
    with shop.load() as load:
        nowhere = {"nodeSelector": {"savedmodel.dev/none": "here"}}
        shop.patch(serving={"pod": nowhere}, rollout={"deadline": "15s"})
        status = shop.wait(lambda s: bool(s.get("rejected")), "the rollback of the new pod fields")
        entry = status["rejected"][0]
        assert (entry["kind"], entry["reason"]) == ("RolledBack", "CandidateUnschedulable")
        assert "node" in entry["message"]
        shop.patch(serving={"pod": None}, rollout={"deadline": "10m"})
        shop.upload(CRASHES)
        # Four starts of TensorFlow, and the kubelet's pauses of 10 and 20 s between them.
        patience = 2 * PATIENCE
        status = shop.wait(lambda s: refusal(s, 5) is not None, "version 5's rollback", patience)
    entry = refusal(status, 5)
    assert entry is not None
    assert (entry["kind"], entry["reason"]) == ("RolledBack", "CrashLoop")
    assert status["stable"]["number"] == 1
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1}
    shop.wait_pods("model", 1, revision=status["stable"]["revision"])


def _variant(shop: Shop, name: str, source: dict[str, Any]) -> Object:
    """Another SavedModelDeployment beside ours, with one thing wrong in its source."""
    manifest = shop.manifest()
    manifest["metadata"]["name"] = name
    manifest["spec"]["source"].update(source)
    manifest["spec"]["traffic"]["router"]["replicas"] = 1
    return manifest


def _wait_reason(shop: Shop, name: str, reason: str) -> Object:
    found = shop.kube.wait(
        SMD,
        shop.namespace,
        name,
        lambda body: body is not None and _reason(body.get("status") or {}) == reason,
        PATIENCE,
        f"{reason} of {name}",
    )
    assert found is not None
    status: Object = found["status"]
    assert status["phase"] == "Pending"
    return status


def _source_ready(status: Object) -> Object:
    listed = status.get("conditions") or ()
    return next((c for c in listed if c["type"] == "SourceReady"), {})


def _reason(status: Object) -> str:
    return str(_source_ready(status).get("reason", ""))


def _message(status: Object) -> str:
    return str(_source_ready(status).get("message", ""))
