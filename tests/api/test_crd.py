"""The CRD on a real API server: samples, refusals, defaults, pruning, scale, immutability."""

import re
from pathlib import Path

import pytest
import yaml

from api.bad_analysis import PROMETHEUS
from api.bad_manifests import CASES
from api.good_manifest import GOOD, STEP, manifest
from api_server import MERGE, STRICT

pytestmark = pytest.mark.api

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs/examples").glob("*.yaml"))
STRANGE = manifest({"spec.rollout.step": [{"weight": 5}], "spec.serving.replica": 3})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_samples_are_accepted_as_they_stand(api, models, path):
    for document in yaml.safe_load_all(path.read_text()):
        answer = api.call("POST", models, document, STRICT)
        assert answer.accepted()["metadata"]["name"] == document["metadata"]["name"]
        assert answer.warnings == ()


def test_there_are_samples():
    assert {"minimal", "canary", "gpu", "strict-gate"} <= {path.stem for path in EXAMPLES}


def test_there_are_enough_bad_ones():
    assert len(CASES) >= 25


@pytest.mark.parametrize("name", CASES)
def test_bad_manifests_are_refused_in_words_that_help(api, models, name):
    changes, texts = CASES[name]
    answer = api.call("POST", models, manifest(changes), {**STRICT, "dryRun": "All"})
    assert answer.code == 422, answer.message
    for text in texts:
        assert text in answer.message
    assert "rule evaluation error" not in answer.message
    assert not re.search(r"should match '\^", answer.message), "a pattern is no help"


def test_unknown_fields_are_pruned_with_a_warning_by_a_plain_post(api, models):
    answer = api.call("POST", models, STRANGE)
    assert "replica" not in answer.accepted()["spec"]["serving"]
    assert "step" not in answer.body["spec"]["rollout"]
    assert sorted(re.findall(r'unknown field \\"([^"]*)\\"', " ".join(answer.warnings))) == [
        "spec.rollout.step",
        "spec.serving.replica",
    ]


def test_unknown_fields_are_refused_under_strict_validation(api, models):
    answer = api.call("POST", models, STRANGE, STRICT)
    assert answer.code == 400
    assert 'unknown field "spec.serving.replica"' in answer.message


def test_unknown_fields_are_refused_by_server_side_apply(api, models):
    answer = api.apply(STRANGE, models)
    assert answer.code == 500
    assert ".spec.serving.replica: field not declared in schema" in answer.message


def test_defaults_are_filled_in(api, models):
    spec = api.call("POST", models, GOOD, STRICT).accepted()["spec"]
    assert spec["source"] | {"uri": 0, "secretRef": 0} == {
        "uri": 0,
        "secretRef": 0,
        "addressing": "Auto",
        "anonymous": False,
        "pollInterval": "30s",
        "region": "us-east-1",
    }
    assert spec["versions"] == {"policy": "Latest", "onOverwrite": "Alert", "keep": 0}
    assert spec["serving"] | {"image": 0} == {
        "image": 0,
        "drain": "15s",
        "loadDeadline": "10m",
        "options": {"sessionParallelism": 0, "tags": ["serve"], "warmup": True},
    }
    assert spec["gate"] == {
        "compatibility": {"clients": ["RESTRow", "RESTColumn", "GRPC"], "mode": "Backward"},
        "ops": {"python": "Forbid"},
    }
    assert spec["rollout"] == {"capacity": "Surge", "deadline": "30m", "scaleDownDelay": "30s"}
    assert spec["traffic"] == {"provider": "Router", "router": {"replicas": 2}}


def test_null_means_left_out(api, models):
    changes = {"spec.source.pollInterval": None, "spec.modelName": None, "spec.rollout": None}
    spec = api.call("POST", models, manifest(changes), STRICT).accepted()["spec"]
    assert spec["source"]["pollInterval"] == "30s"
    assert "modelName" not in spec
    assert spec["rollout"]["deadline"] == "30m"


def test_a_token_may_go_to_a_prometheus_over_https(api, models):
    wanted = {
        "address": "https://prometheus.monitoring:9091",
        "secretRef": {"name": "metrics-token"},
        "caBundle": {"configMap": "ca", "key": "ca.crt"},
    }
    changes = {
        "spec.rollout.steps": [STEP],
        "spec.rollout.analysis": {**PROMETHEUS, "prometheus": wanted},
    }
    spec = api.call("POST", models, manifest(changes), STRICT).accepted()["spec"]
    assert spec["rollout"]["analysis"]["prometheus"] == wanted


def test_status_is_there_from_create_on(api, models):
    assert api.call("POST", models, GOOD).accepted()["status"] == {"observedGeneration": -1}
    read = api.call("GET", f"{models}/flowers").accepted()
    assert read["status"] == {"observedGeneration": -1}
    assert read["metadata"]["generation"] == 1


def test_a_user_cannot_bring_a_status_along(api, models):
    brought = manifest({"status": {"observedGeneration": 7, "phase": "Serving"}})
    assert api.call("POST", models, brought).accepted()["status"] == {"observedGeneration": -1}


FULL_STATUS = {
    "observedGeneration": 1,
    "phase": "Progressing",
    "message": "m",
    "next": "n",
    "stable": {
        "number": 2**63 - 1,
        "fingerprint": "sha256:" + "a" * 64,
        "revision": "flowers-v1-1a2b3c4d",
        "since": "2026-11-20T10:00:00.123Z",
        "weight": 90,
        "readyReplicas": 2,
        "service": "flowers-v1-1a2b3c4d",
    },
    "candidate": {
        "number": 2,
        "fingerprint": "sha256:b",
        "revision": "flowers-v2-1a2b3c4d",
        "since": "2026-11-20T10:00:00Z",
        "weight": 10,
        "step": 0,
        "stepSince": "2026-11-20T10:00:00.5Z",
        "progressSince": "2026-11-20T10:00:00Z",
        "readyReplicas": 1,
        "service": "s",
        "paused": False,
        "suspended": False,
        "returning": True,
        "full": False,
        "liveChecked": True,
    },
    "versions": [
        {
            "number": 2,
            "fingerprint": "sha256:b",
            "bytes": 5_000_000_000,
            "verdict": "Candidate",
            "reason": "Complete",
            "message": "m",
        }
    ],
    "rejected": [
        {
            "number": 1,
            "fingerprint": "f",
            "revision": "r",
            "gate": "g",
            "kind": "Rejected",
            "reason": "PythonOps",
            "message": "m",
            "at": "2026-11-20T10:00:00Z",
        }
    ],
    "history": [
        {
            "number": 1,
            "fingerprint": "f",
            "revision": "r",
            "outcome": "Promoted",
            "reason": "Promoted",
            "message": "m",
            "at": "2026-11-20T10:00:00Z",
        }
    ],
    "highWaterMark": 3,
    "url": "http://flowers.shop.svc:8501/v1/models/flowers",
    "replicas": 2,
    "selector": "savedmodel.dev/deployment=flowers",
    "lastHandledAction": "promote #1",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-20T10:00:00Z",
            "reason": "Serving",
            "message": "m",
        }
    ],
}


def test_the_whole_status_is_kept_and_leaves_the_generation_alone(api, models):
    created = api.call("POST", models, GOOD).accepted()
    written = api.call(
        "PUT", f"{models}/flowers/status", {**created, "status": FULL_STATUS}, STRICT
    ).accepted()
    assert written["status"] == FULL_STATUS
    assert written["metadata"]["generation"] == 1


def test_printer_columns(api, models):
    created = api.call("POST", models, GOOD).accepted()
    api.call("PUT", f"{models}/flowers/status", {**created, "status": FULL_STATUS}).accepted()
    table = api.table(models)
    shown = {c["name"]: (c["priority"], cell) for c, cell in table}
    assert {name: cell for name, (priority, cell) in shown.items() if priority == 0} == {
        "Name": "flowers",
        "Phase": "Progressing",
        "Stable": 2**63 - 1,
        "Candidate": 2,
        "Weight": 10,
        "Ready": "True",
        "Age": shown["Age"][1],
    }
    assert [name for name, (priority, _) in shown.items() if priority] == ["Message", "URL"]


def test_short_name_and_category(api, crd):
    resources = api.call("GET", "/apis/savedmodel.dev/v1alpha1").accepted()["resources"]
    main = next(r for r in resources if r["name"] == "savedmodeldeployments")
    assert (main["shortNames"], main["categories"]) == (["smd"], ["all"])


def test_scale(api, models):
    created = api.call("POST", models, manifest({"spec.serving.replicas": 2})).accepted()
    api.call("PUT", f"{models}/flowers/status", {**created, "status": FULL_STATUS}).accepted()
    scale = api.call("GET", f"{models}/flowers/scale").accepted()
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 2, "selector": "savedmodel.dev/deployment=flowers"}
    api.call(
        "PATCH", f"{models}/flowers/scale", {"spec": {"replicas": 5}}, content_type=MERGE
    ).accepted()
    changed = api.call("GET", f"{models}/flowers").accepted()
    assert changed["spec"]["serving"]["replicas"] == 5
    assert changed["metadata"]["generation"] == 2


def test_scale_keeps_the_bounds(api, models):
    api.call("POST", models, manifest({"spec.serving.replicas": 2})).accepted()
    answer = api.call(
        "PATCH", f"{models}/flowers/scale", {"spec": {"replicas": 5000}}, content_type=MERGE
    )
    assert answer.code == 422
    assert "less than or equal to 1000" in answer.message


def test_scale_without_replicas_can_be_set_but_not_read(api, models):
    # What the reference page says about autoscalers; kubectl scale only writes.
    api.call("POST", models, GOOD).accepted()
    unread = api.call("GET", f"{models}/flowers/scale")
    assert '".spec.serving.replicas" does not exist' in unread.message
    patch = {"spec": {"replicas": 3}}
    api.call("PATCH", f"{models}/flowers/scale", patch, content_type=MERGE).accepted()
    assert api.call("GET", f"{models}/flowers/scale").accepted()["spec"] == {"replicas": 3}


def test_scale_of_an_autoscaled_object_is_refused_with_the_reason(api, models):
    limits = {"minReplicas": 2, "maxReplicas": 10}
    api.call("POST", models, manifest({"spec.serving.autoscaling": limits})).accepted()
    patch = {"spec": {"replicas": 5}}
    answer = api.call("PATCH", f"{models}/flowers/scale", patch, content_type=MERGE)
    assert answer.code == 422
    assert "kubectl scale cannot scale an autoscaled object" in answer.message
    spec = api.call("GET", f"{models}/flowers").accepted()["spec"]
    assert spec["serving"]["autoscaling"] == {**limits, "targetCPUUtilizationPercentage": 80}
    assert "replicas" not in spec["serving"]


RENAMES = {
    "another name": ("roses", "tulips", False),
    "presence to absence": ("roses", None, False),
    "absence to presence": (None, "roses", False),
    "absence to the same effective name": (None, "flowers", True),
    "the effective name to absence": ("flowers", None, True),
    "no change": ("roses", "roses", True),
}


@pytest.mark.parametrize("name", RENAMES)
def test_the_effective_model_name_never_changes(api, models, name):
    before, after, allowed = RENAMES[name]
    api.call("POST", models, manifest({"spec.modelName": before})).accepted()
    patch = {"spec": {"modelName": after, "rollout": {"deadline": "10m"}}}
    answer = api.call("PATCH", f"{models}/flowers", patch, content_type=MERGE)
    assert (answer.code == 200) is allowed
    if not allowed:
        assert (
            "spec.modelName never changes, because clients put it into their URLs" in answer.message
        )
        assert "create a second SavedModelDeployment for the new name" in answer.message


def test_lists_of_signatures_merge_by_name(api, models):
    def offer(manager, signature):
        body = manifest({"spec.gate.signatures": [signature]})
        query = {"fieldManager": manager}
        path = f"{models}/flowers"
        return api.call("PATCH", path, body, query, "application/apply-patch+yaml").accepted()

    offer("one", {"name": "a"})
    signatures = offer("two", {"name": "b", "method": "Classify"})["spec"]["gate"]["signatures"]
    assert signatures == [
        {"name": "a", "method": "Predict"},
        {"name": "b", "method": "Classify"},
    ]


def test_an_unchanged_sample_applied_again_writes_nothing(api, models):
    # The second apply still writes: the server stores the status default of the first with it.
    versions = [api.apply(GOOD, models).accepted()["metadata"]["resourceVersion"] for _ in range(4)]
    assert len(set(versions[1:])) == 1
