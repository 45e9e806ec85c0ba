"""A revision's workload: Deployment, headless Service, disruption budget. Pure.

`revision` freezes these manifests in the revision's record, so everything here holds from the next
revision on and never restarts a pod that runs. The pod:

    init `fetch`   operator's image: the lock's objects → /models/MODEL/NUMBER; has the credentials
    main `model`   TF Serving as it is, exactly one version below its base path, never polls

The server handles no signals. As PID 1 it would sit out the grace period, so the pod shares its
process namespace and SIGTERM ends it at once, after the preStop sleep has drained it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from savedmodel_operator.api import lock as lock_form
from savedmodel_operator.api import names
from savedmodel_operator.api.source import Lock
from savedmodel_operator.api.types import Resources, Source, Spec, seconds
from savedmodel_operator.workload import pod
from savedmodel_operator.workload.lock import MONITORING_FILE
from savedmodel_operator.workload.owner import Owner, Platform
from savedmodel_operator.workload.quantity import MIB, parse_quantity

FETCH, MODEL = "fetch", "model"
MODELS, LOCK, TMP, CA = "/models", "/etc/savedmodel/lock", "/tmp", "/etc/savedmodel/ca"  # noqa: S108
TERMINATION_LOG = "/dev/termination-log"
VOLUME_MODELS, VOLUME_LOCK, VOLUME_TMP, VOLUME_CA = (
    "savedmodel-models",
    "savedmodel-lock",
    "savedmodel-tmp",
    "savedmodel-ca",
)

_TAGS = "--saved_model_tags="

PROBE_PERIOD = 2
AFTER_DRAIN = 30
"""Seconds between the end of the preStop sleep and SIGKILL; SIGTERM needs none of them."""

START_SECONDS = 300
"""Seconds for scheduling and pulling a serving image of some GB."""

FETCH_BYTES_PER_SECOND = 10 * MIB
"""Slower than this a fetch counts as stuck for the Deployment's progress deadline."""

EPHEMERAL_SLACK = 64 * MIB
"""Beside the model: logs, /tmp and the file system's own bookkeeping."""


def build_deployment(
    owner: Owner, revision: str, lock: Lock, spec: Spec, settings: Platform
) -> dict[str, Any]:
    """The Deployment without `replicas` (see `with_replicas`).

    Its template never changes, so it never rolls; the strategy matters only where somebody else
    edits it, and then nothing may be lost.
    """
    serving = spec.serving
    selector = owner.selector(names.COMPONENT_MODEL, revision)
    labels = owner.labels(revision, names.COMPONENT_MODEL) | {names.LABEL_VERSION: str(lock.number)}
    fetching = math.ceil(lock.size / FETCH_BYTES_PER_SECOND)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(revision, names.COMPONENT_MODEL, revision),
        "spec": {
            "selector": {"matchLabels": selector},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": START_SECONDS + fetching + _load_deadline(spec),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": pod.add_labels(labels, serving.pod.labels),
                    **pod.pick(annotations=dict(serving.pod.annotations)),
                },
                "spec": _pod_spec(owner, revision, lock, spec, settings),
            },
        },
    }


def with_replicas(frozen: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """The frozen Deployment at a scale."""
    return {**frozen, "spec": {**frozen["spec"], "replicas": replicas}}


def served_tags(deployment: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The tags that a frozen Deployment's server was told; None where none of its args says so."""
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers")
    for container in containers or ():
        for arg in container.get("args") or ():
            if str(arg).startswith(_TAGS):
                return tuple(str(arg).removeprefix(_TAGS).split(","))
    return None


def fetches_from(deployment: Mapping[str, Any], source: Source) -> bool:
    """Whether a frozen Deployment's pods ask the store that this source names."""
    template = deployment.get("spec", {}).get("template", {}).get("spec", {})
    containers = template.get("initContainers") or ()
    args = [str(a) for c in containers if c.get("name") == FETCH for a in c.get("args") or ()]
    asked = next((a.partition("=")[2] for a in args if a.startswith("--endpoint=")), None)
    return asked == source.endpoint


def build_service(owner: Owner, revision: str) -> dict[str, Any]:
    """The headless Service; the routers read the ready pods from its DNS name.

    `publishNotReadyAddresses` is left out: the API server drops a false one, which would look
    like drift for ever.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(revision, names.COMPONENT_MODEL, revision),
        "spec": {
            "clusterIP": "None",
            "selector": owner.selector(names.COMPONENT_MODEL, revision),
            "ports": service_ports(),
        },
    }


def build_pdb(owner: Owner, revision: str) -> dict[str, Any]:
    """At most one pod away at a time.

    Choice (2026-11): `maxUnavailable: 1`, not `minAvailable`. With one replica `minAvailable: 1`
    would block every node drain for ever; who wants no gap at a drain runs two. Pods that are not
    ready may always go: a candidate that cannot start must not hold a node.
    """
    selector = owner.selector(names.COMPONENT_MODEL, revision)
    metadata = owner.metadata(revision, names.COMPONENT_MODEL, revision)
    return build_budget(metadata, selector)


def build_budget(metadata: dict[str, Any], selector: dict[str, str]) -> dict[str, Any]:
    """A disruption budget of one pod."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector},
        },
    }


def service_ports() -> list[dict[str, Any]]:
    """REST and gRPC, the same numbers everywhere from client to server."""
    return [
        {
            "name": "rest",
            "port": names.PORT_REST,
            "targetPort": names.PORT_REST,
            "protocol": "TCP",
            "appProtocol": "http",
        },
        {
            "name": "grpc",
            "port": names.PORT_GRPC,
            "targetPort": names.PORT_GRPC,
            "protocol": "TCP",
            "appProtocol": "kubernetes.io/h2c",
        },
    ]


def _load_deadline(spec: Spec) -> int:
    return math.ceil(seconds(spec.serving.load_deadline))


def _drain(spec: Spec) -> int:
    return math.ceil(seconds(spec.serving.drain))


def _pod_spec(
    owner: Owner, revision: str, lock: Lock, spec: Spec, settings: Platform
) -> dict[str, Any]:
    asked = spec.serving.pod
    selector = owner.selector(names.COMPONENT_MODEL, revision)
    secrets = [*settings.image_pull_secrets, *(s.name for s in asked.image_pull_secrets)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": _drain(spec) + AFTER_DRAIN,
        "securityContext": pod.pod_security(asked.pod_security_context),
        "initContainers": [_fetch_container(owner, spec, settings)],
        "containers": [_model_container(owner, lock, spec, settings)],
        "volumes": pod.add_volumes(_volumes(revision, spec.source), asked.volumes),
        "topologySpreadConstraints": list(asked.topology_spread_constraints)
        or pod.spread(selector),
        **pod.pick(
            imagePullSecrets=[{"name": name} for name in dict.fromkeys(secrets)],
            nodeSelector=dict(asked.node_selector),
            tolerations=list(asked.tolerations),
            affinity=asked.affinity,
            runtimeClassName=asked.runtime_class_name,
            priorityClassName=asked.priority_class_name,
            schedulerName=asked.scheduler_name,
            serviceAccountName=asked.service_account_name,
            resourceClaims=list(asked.resource_claims),
            dnsConfig=asked.dns_config,
        ),
    }


def _volumes(revision: str, source: Source) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": VOLUME_MODELS, "emptyDir": {}},
        {"name": VOLUME_TMP, "emptyDir": {}},
        {"name": VOLUME_LOCK, "configMap": {"name": names.lock_name(revision)}},
    ]
    if source.ca_bundle is not None:
        bundle = source.ca_bundle
        items = [{"key": bundle.key, "path": "ca.crt"}]
        volumes.append(
            {"name": VOLUME_CA, "configMap": {"name": bundle.config_map, "items": items}}
        )
    return volumes


def _base_path(owner: Owner, spec: Spec) -> str:
    return f"{MODELS}/{spec.model_name or owner.name}"


def _fetch_container(owner: Owner, spec: Spec, settings: Platform) -> dict[str, Any]:
    mounts = [
        {"name": VOLUME_MODELS, "mountPath": MODELS},
        {"name": VOLUME_LOCK, "mountPath": LOCK, "readOnly": True},
        {"name": VOLUME_TMP, "mountPath": TMP},
    ]
    if spec.source.ca_bundle is not None:
        mounts.append({"name": VOLUME_CA, "mountPath": CA, "readOnly": True})
    return {
        "name": FETCH,
        "image": settings.operator_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["savedmodel", "fetch"],
        "args": _fetch_args(_base_path(owner, spec), spec.source),
        **pod.pick(env=_credentials(spec.source)),
        "resources": _fetch_resources(spec.serving.resources),
        "securityContext": pod.container_security(),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def _fetch_args(destination: str, source: Source) -> list[str]:
    args = [
        f"--lock={LOCK}/{lock_form.FILE}",
        f"--destination={destination}",
        f"--region={source.region}",
        f"--addressing={source.addressing}",
        f"--termination-log={TERMINATION_LOG}",
    ]
    if source.endpoint is not None:
        args.append(f"--endpoint={source.endpoint}")
    if source.anonymous:
        args.append("--anonymous")
    if source.ca_bundle is not None:
        args.append(f"--ca-bundle={CA}/ca.crt")
    return args


def _credentials(source: Source) -> list[dict[str, Any]]:
    """From the Secret into this container's environment, and nowhere else."""
    if source.secret_ref is None:
        return []
    name = source.secret_ref.name
    keys: tuple[tuple[str, dict[str, Any]], ...] = (
        ("AWS_ACCESS_KEY_ID", {}),
        ("AWS_SECRET_ACCESS_KEY", {}),
        ("AWS_SESSION_TOKEN", {"optional": True}),
    )
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key, **more}}}
        for key, more in keys
    ]


def _fetch_resources(main: Resources) -> dict[str, Any]:
    """Small, unless the serving container is Guaranteed: then its own, or the pod would not be.

    An init container's requests cost nothing as long as they are not above the main one's.
    """
    wanted = {k: main.limits[k] for k in ("cpu", "memory") if k in main.limits}
    guaranteed = len(wanted) == 2 and all(
        parse_quantity(main.requests.get(k, v)) == parse_quantity(v) for k, v in wanted.items()
    )
    if guaranteed:
        return {"requests": wanted, "limits": wanted}
    return {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}


def _model_container(owner: Owner, lock: Lock, spec: Spec, settings: Platform) -> dict[str, Any]:
    serving, asked = spec.serving, spec.serving.pod
    mounts: list[dict[str, Any]] = [
        {"name": VOLUME_MODELS, "mountPath": MODELS, "readOnly": True},
        {"name": VOLUME_LOCK, "mountPath": LOCK, "readOnly": True},
        {"name": VOLUME_TMP, "mountPath": TMP},
    ]
    return {
        "name": MODEL,
        "image": serving.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["tensorflow_model_server"],
        "args": [*_server_args(owner, spec), *serving.args],
        **pod.pick(env=[dict(e) for e in serving.env]),
        "ports": [
            {"name": "rest", "containerPort": names.PORT_REST, "protocol": "TCP"},
            {"name": "grpc", "containerPort": names.PORT_GRPC, "protocol": "TCP"},
        ],
        "resources": _model_resources(serving.resources, lock, asked.resource_claims),
        "securityContext": pod.container_security(asked.security_context),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": _drain(spec)}}},
        **_probes(f"/v1/models/{spec.model_name or owner.name}/versions/{lock.number}", spec),
        "volumeMounts": pod.add_mounts(mounts, asked.volume_mounts),
    }


def _server_args(owner: Owner, spec: Spec) -> list[str]:
    """Flags of tensorflow_model_server (facts/tensorflow.md §3).

    No load retries: the server waits a minute between them, the kubelet's restart comes sooner
    and shows as what it is.
    """
    options = spec.serving.options
    args = [
        f"--port={names.PORT_GRPC}",
        f"--rest_api_port={names.PORT_REST}",
        f"--model_name={spec.model_name or owner.name}",
        f"--model_base_path={_base_path(owner, spec)}",
        "--file_system_poll_wait_seconds=0",
        "--max_num_load_retries=0",
        f"--monitoring_config_file={LOCK}/{MONITORING_FILE}",
        f"{_TAGS}{','.join(options.tags)}",
        f"--enable_model_warmup={'true' if options.warmup else 'false'}",
    ]
    if options.session_parallelism:
        args.append(f"--tensorflow_session_parallelism={options.session_parallelism}")
    if options.gpu_memory_fraction is not None:
        args.append(f"--per_process_gpu_memory_fraction={options.gpu_memory_fraction}")
    return args


def _model_resources(
    asked: Resources, lock: Lock, claims: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    """As asked, plus disk for the model, so that a node without room is not chosen."""
    requests = dict(asked.requests)
    if "ephemeral-storage" not in {*requests, *asked.limits}:
        needed = math.ceil((lock.size * 1.02 + EPHEMERAL_SLACK) / MIB)
        requests["ephemeral-storage"] = f"{needed}Mi"
    names_of_claims = [{"name": c["name"]} for c in claims if "name" in c]
    return {
        "requests": requests,
        **pod.pick(limits=dict(asked.limits), claims=names_of_claims),
    }


def _probes(version_path: str, spec: Spec) -> dict[str, Any]:
    """`/versions/N/metadata` is 200 only if exactly N can be served (facts/tensorflow.md §3)."""
    get = {"httpGet": {"path": f"{version_path}/metadata", "port": names.PORT_REST}}
    return {
        "startupProbe": {
            **get,
            "periodSeconds": PROBE_PERIOD,
            "timeoutSeconds": 5,
            "failureThreshold": math.ceil(seconds(spec.serving.load_deadline) / PROBE_PERIOD),
        },
        "readinessProbe": {
            **get,
            "periodSeconds": PROBE_PERIOD,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }
