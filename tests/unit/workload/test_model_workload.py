"""The model pod: what it runs, what it may, and what a user cannot take from it."""

from __future__ import annotations

from typing import Any

import pytest

from savedmodel_operator.api.types import OWNED_FLAGS
from savedmodel_operator.cli.fetch import fetch
from savedmodel_operator.workload.model import build_deployment, build_pdb, with_replicas
from unit.workload import workload_cases as cases


def build_pod(size: int = 100 * cases.MIB, **parts: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec."""
    return build(size, **parts)["spec"]["template"]["spec"]


def build(size: int = 100 * cases.MIB, **parts: dict[str, Any]) -> dict[str, Any]:
    """The Deployment."""
    spec = cases.make_spec(**parts)
    return build_deployment(cases.OWNER, cases.CANARY, cases.make_lock(size), spec, cases.PLATFORM)


def main(pod: dict[str, Any]) -> dict[str, Any]:
    """The serving container."""
    [container] = pod["containers"]
    return container


def init(pod: dict[str, Any]) -> dict[str, Any]:
    """The fetching container."""
    [container] = pod["initContainers"]
    return container


def test_the_scale_is_not_frozen() -> None:
    frozen = build()
    assert "replicas" not in frozen["spec"]
    assert with_replicas(frozen, 3)["spec"]["replicas"] == 3
    assert "replicas" not in frozen["spec"]


def test_fetch_knows_every_option_that_the_init_container_passes() -> None:
    source = {
        "endpoint": "https://s3.example",
        "anonymous": True,
        "secretRef": None,
        "caBundle": {"configMap": "ca", "key": "x"},
    }
    container = init(build_pod(source=source))
    known = {option for parameter in fetch.params for option in parameter.opts}
    passed = [arg.partition("=")[0] for arg in container["args"]]
    assert container["command"] == ["savedmodel", "fetch"]
    assert set(passed) <= known
    assert {"--endpoint", "--anonymous", "--ca-bundle"} <= set(passed)
    assert "env" not in container


def test_server_flags_are_the_ones_that_users_may_not_repeat() -> None:
    args = main(
        build_pod(serving={"options": {"gpuMemoryFraction": "0.5", "sessionParallelism": 2}})
    )
    flags = {arg.removeprefix("--").partition("=")[0] for arg in args["args"]}
    assert flags <= set(OWNED_FLAGS)
    assert "--model_base_path=/models/flowers" in args["args"]


def test_the_model_name_is_what_clients_say() -> None:
    pod = build_pod(modelName="Rose.v-1")  # type: ignore[arg-type]
    assert "--model_name=Rose.v-1" in main(pod)["args"]
    assert "--model_base_path=/models/Rose.v-1" in main(pod)["args"]
    assert "--destination=/models/Rose.v-1" in init(pod)["args"]
    probe = main(pod)["startupProbe"]["httpGet"]
    assert probe == {"path": "/v1/models/Rose.v-1/versions/42/metadata", "port": 8501}


def test_credentials_are_in_the_init_container_only() -> None:
    pod = build_pod(serving={"env": [{"name": "A", "value": "b"}]})
    refs = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in init(pod)["env"]}
    assert set(refs) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert {r["name"] for r in refs.values()} == {"savedmodel-storage"}
    assert [k for k, r in refs.items() if r.get("optional")] == ["AWS_SESSION_TOKEN"]
    assert main(pod)["env"] == [{"name": "A", "value": "b"}]
    rest = {**pod, "initContainers": []}
    assert "savedmodel-storage" not in str(rest)


def test_the_pod_passes_restricted_pod_security() -> None:
    """The profile's rules, as the Kubernetes documentation lists them."""
    pod = build_pod()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (init(pod), main(pod)):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all("hostPath" not in volume for volume in pod["volumes"])
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("deadline", "tries"), [("10s", 5), ("11s", 6), ("10m", 300), ("5m1s", 151)]
)
def test_the_startup_probe_lasts_as_long_as_the_load_may(deadline: str, tries: int) -> None:
    probe = main(build_pod(serving={"loadDeadline": deadline}))["startupProbe"]
    assert probe["failureThreshold"] == tries
    assert probe["periodSeconds"] == 2


@pytest.mark.parametrize(
    ("mib", "deadline", "seconds"), [(0, "10m", 901), (1000, "10m", 1001), (1000, "1m", 461)]
)
def test_the_progress_deadline_covers_start_fetch_and_load(
    mib: int, deadline: str, seconds: int
) -> None:
    spec = build(mib * cases.MIB, serving={"loadDeadline": deadline})["spec"]
    assert spec["progressDeadlineSeconds"] == seconds


def test_draining_fits_into_the_grace_period() -> None:
    pod = build_pod(serving={"drain": "1m"})
    sleep = main(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert (sleep, pod["terminationGracePeriodSeconds"]) == (60, 90)
    assert pod["shareProcessNamespace"] is True


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, "167Mi"),
        ({"requests": {"cpu": "1"}}, "167Mi"),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "1Gi"),
        ({"limits": {"ephemeral-storage": "1Gi"}}, None),
    ],
    ids=["none", "other", "the user's", "only a limit, which is then the request"],
)
def test_disk_is_requested_for_the_model(resources: dict[str, Any], wanted: str | None) -> None:
    found = main(build_pod(serving={"resources": resources}))["resources"]
    assert found["requests"].get("ephemeral-storage") == wanted


@pytest.mark.parametrize(
    ("resources", "guaranteed"),
    [
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, True),
        (
            {
                "limits": {"cpu": "2", "memory": "1Gi"},
                "requests": {"cpu": "2000m", "memory": "1024Mi"},
            },
            True,
        ),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, False),
        ({"limits": {"memory": "1Gi"}}, False),
    ],
)
def test_the_init_container_keeps_a_guaranteed_pod_guaranteed(
    resources: dict[str, Any], guaranteed: bool
) -> None:
    found = init(build_pod(serving={"resources": resources}))["resources"]
    small = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    wanted = {"cpu": "2", "memory": "1Gi"}
    assert found == ({"requests": wanted, "limits": wanted} if guaranteed else small)


def test_gpus_and_claims_go_to_the_serving_container() -> None:
    pod = build_pod(
        serving={
            "resources": {"limits": {"nvidia.com/gpu": "2"}},
            "pod": {"resourceClaims": [{"name": "gpu", "resourceClaimName": "one"}]},
        }
    )
    assert main(pod)["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert main(pod)["resources"]["claims"] == [{"name": "gpu"}]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimName": "one"}]
    assert "nvidia.com/gpu" not in str(init(pod)["resources"])


def test_users_cannot_take_over_labels_volumes_or_mounts() -> None:
    deployment = build(
        serving={
            "pod": {
                "labels": {"savedmodel.dev/uid": "other", "savedmodel.dev/x": "y", "team": "shop"},
                "volumes": [
                    {"name": "savedmodel-models", "hostPath": {"path": "/"}},
                    {"name": "more", "emptyDir": {}},
                ],
                "volumeMounts": [
                    {"name": "more", "mountPath": path}
                    for path in ("/models/flowers", "/models/", "/", "/etc/savedmodel", "/more")
                ],
            }
        }
    )
    template = deployment["spec"]["template"]
    labels, selector = template["metadata"]["labels"], deployment["spec"]["selector"]["matchLabels"]
    assert labels["savedmodel.dev/uid"] == cases.OWNER.uid
    assert labels["team"] == "shop"
    assert "savedmodel.dev/x" not in labels
    assert selector.items() <= labels.items()
    volumes = {v["name"]: v for v in template["spec"]["volumes"]}
    assert volumes["savedmodel-models"] == {"name": "savedmodel-models", "emptyDir": {}}
    assert "more" in volumes
    added = [m["mountPath"] for m in main(template["spec"])["volumeMounts"] if m["name"] == "more"]
    assert added == ["/more"]


def test_a_users_security_context_lies_over_ours() -> None:
    pod = build_pod(
        serving={
            "pod": {
                "podSecurityContext": {"runAsUser": 1000, "supplementalGroups": [7]},
                "securityContext": {"readOnlyRootFilesystem": False},
            }
        }
    )
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["supplementalGroups"] == [7]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert main(pod)["securityContext"]["readOnlyRootFilesystem"] is False
    assert init(pod)["securityContext"]["readOnlyRootFilesystem"] is True


def test_one_replica_can_be_drained() -> None:
    budget = build_pdb(cases.OWNER, cases.CANARY)["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
