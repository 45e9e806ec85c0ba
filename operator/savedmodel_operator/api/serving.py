"""How a version is run: the user's serving inputs, whose hash makes a revision. Pure.

Part of the types of `savedmodel.dev/v1alpha1`; `types` is the door.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from savedmodel_operator.api.scalars import (
    Base,
    Duration,
    LocalObjectReference,
    Name,
    OpenList,
    OpenObject,
    Quantity,
    Replicas,
    StringMap,
    cel,
)


class Options(Base, frozen=True):
    """The common flags of tensorflow_model_server, by their meaning."""

    tags: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...],
        Meta(min_length=1, max_length=8, description="Tags of the MetaGraph, matched exactly."),
    ] = ("serve",)
    session_parallelism: Annotated[
        int, Meta(ge=0, le=1024, description="--tensorflow_session_parallelism; 0: automatic.")
    ] = 0
    gpu_memory_fraction: (
        Annotated[
            str,
            Meta(
                pattern=r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$",
                max_length=6,
                description='Share of the GPU\'s memory, as a string such as "0.9".',
            ),
        ]
        | None
    ) = None
    warmup: Annotated[bool, Meta(description="Replay assets.extra/tf_serving_warmup_requests.")] = (
        True
    )


class Resources(Base, frozen=True):
    """Resource requests and limits of one container, as Kubernetes writes them."""

    limits: Annotated[dict[str, Quantity], Meta(max_length=32)] = field(default_factory=dict)
    requests: Annotated[dict[str, Quantity], Meta(max_length=32)] = field(default_factory=dict)


class Pod(Base, frozen=True):
    """Fields of the model pods that platform teams set; each as in the core Pod API."""

    node_selector: StringMap = field(default_factory=dict)
    tolerations: OpenList = ()
    affinity: OpenObject | None = None
    topology_spread_constraints: OpenList = ()
    runtime_class_name: Name | None = None
    priority_class_name: Name | None = None
    scheduler_name: Name | None = None
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Meta(max_length=16)] = ()
    service_account_name: Name | None = None
    annotations: StringMap = field(default_factory=dict)
    labels: StringMap = field(default_factory=dict)
    pod_security_context: OpenObject | None = None
    security_context: OpenObject | None = None
    volumes: OpenList = ()
    volume_mounts: OpenList = ()
    resource_claims: OpenList = ()
    dns_config: OpenObject | None = None


OWNED_FLAGS = (
    "port",
    "rest_api_port",
    "model_name",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "file_system_poll_wait_seconds",
    "monitoring_config_file",
    "max_num_load_retries",
    "saved_model_tags",
    "tensorflow_session_parallelism",
    "per_process_gpu_memory_fraction",
    "enable_model_warmup",
)
"""Flags that the operator writes itself; `args` may not repeat them."""


class Autoscaling(Base, frozen=True):
    """A HorizontalPodAutoscaler for the stable revision."""

    RULES = (
        (
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must be at most maxReplicas, for example minReplicas: 2, maxReplicas: 10",
        ),
    )

    max_replicas: Annotated[int, Meta(ge=1, le=1000, description="Most pods under load.")]
    min_replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Fewest pods. While a rollout runs, no fewer than carried the load when it "
            "began.",
        ),
    ] = 1
    target_cpu_utilization_percentage: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="CPU of the serving container that the autoscaler aims at, in percent of "
            "its request; so serving.resources must have one for cpu.",
        ),
    ] = field(default=80, name="targetCPUUtilizationPercentage")


class Serving(Base, frozen=True):
    """How a version is run. Any change here is a new revision, rolled out like a new version."""

    RULES = (
        (
            "!(has(self.replicas) && has(self.autoscaling))",
            "set serving.replicas (a fixed number of pods) or serving.autoscaling (minReplicas, "
            "maxReplicas), not both; kubectl scale cannot scale an autoscaled object",
        ),
    )

    image: Annotated[
        str,
        Meta(pattern=r"^[^\s]+$", min_length=1, max_length=512, description="TF Serving's image."),
    ]
    replicas: (
        Annotated[Replicas, Meta(description="Pods of the stable revision; 1 if left out.")] | None
    ) = None
    autoscaling: (
        Annotated[
            Autoscaling,
            Meta(description="Bounds and target of an autoscaler, instead of replicas."),
        ]
        | None
    ) = None
    resources: Resources = Resources()
    options: Options = Options()
    args: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(
            max_length=64,
            description="Further flags of tensorflow_model_server, --name=value.",
            extra_json_schema=cel(
                (
                    "self.all(a, a.startsWith('--'))",
                    "each entry must be one flag in the form --name=value",
                ),
                (
                    f"!self.exists(a, a.matches('^--(no)?({'|'.join(OWNED_FLAGS)})(=.*)?$'))",
                    "a flag that the operator sets itself: ports, model name and path, polling, "
                    "retries and monitoring are fixed; tags, parallelism, GPU memory and warm-up "
                    "are set under serving.options",
                ),
            ),
        ),
    ] = ()
    env: Annotated[
        OpenList, Meta(description="Environment of the serving container, as in the Pod API.")
    ] = ()
    load_deadline: Annotated[
        Duration,
        Meta(
            description="How long a pod may take to load the model.",
            extra_json_schema=cel(
                (
                    "duration(self) >= duration('10s') && duration(self) <= duration('24h')",
                    "must be between 10s and 24h",
                )
            ),
        ),
    ] = "10m"
    drain: Annotated[
        Duration,
        Meta(
            description="How long a leaving pod goes on answering.",
            extra_json_schema=cel(
                (
                    "duration(self) >= duration('10s') && duration(self) <= duration('1h')",
                    "must be between 10s (routers need that long to see that a pod leaves) and 1h",
                )
            ),
        ),
    ] = "15s"
    pod: Pod = Pod()
