"""The types of `savedmodel.dev/v1alpha1`: single source of the CRD's schema.

`schema` turns these structs into the CRD; `parse` turns what the API server hands us into them.
Field order here is the order of the reference page. Every bound, pattern, CEL rule and default
stands here and nowhere else. Durations are strings of the CRD ("30s", "1h30m"); `seconds` reads
them. Attributes are snake_case, the wire is camelCase.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from savedmodel_operator.api.capacity import SPEC_RULES
from savedmodel_operator.api.gate import (
    DTYPES,
    Compatibility,
    Gate,
    Ops,
    SignatureContract,
    TensorContract,
)
from savedmodel_operator.api.rollout import Rollout, Step
from savedmodel_operator.api.scalars import (
    DURATION_PATTERN,
    INT64_MAX,
    Base,
    ConfigMapKey,
    Duration,
    LocalObjectReference,
    Rule,
    cel,
    seconds,
)
from savedmodel_operator.api.serving import (
    OWNED_FLAGS,
    Autoscaling,
    Options,
    Pod,
    Resources,
    Serving,
)
from savedmodel_operator.api.sticky import Sticky

__all__ = [
    "API_VERSION",
    "DTYPES",
    "DURATION_PATTERN",
    "GROUP",
    "INT64_MAX",
    "KIND",
    "OWNED_FLAGS",
    "PLURAL",
    "ROOT_RULES",
    "SHORT_NAME",
    "VERSION",
    "Autoscaling",
    "Base",
    "Compatibility",
    "ConfigMapKey",
    "Gate",
    "LocalObjectReference",
    "Ops",
    "Options",
    "Pinned",
    "Pod",
    "Resources",
    "Rollout",
    "Router",
    "Serving",
    "SignatureContract",
    "Source",
    "Spec",
    "Step",
    "TensorContract",
    "Traffic",
    "Versions",
    "seconds",
]

GROUP = "savedmodel.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "SavedModelDeployment"
PLURAL = "savedmodeldeployments"
SHORT_NAME = "smd"


class Source(Base, frozen=True):
    """Where the versions are: a directory of a bucket whose sub-directories are versions."""

    RULES = (
        (
            "has(self.secretRef) != self.anonymous",
            "set exactly one of secretRef (a Secret with AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY) and anonymous: true (a public bucket)",
        ),
    )

    uri: Annotated[
        str,
        Meta(
            max_length=1024,
            description="The directory that holds the version directories, s3://BUCKET/PREFIX.",
            extra_json_schema=cel(
                (
                    r"self.matches('^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/].*)?$')",
                    "must be s3://BUCKET/PREFIX, for example s3://models/flowers",
                ),
                (
                    "!self.contains('..') && !self.contains('?') && !self.contains('#')",
                    "must be a plain path: no '..', '?' or '#'",
                ),
            ),
        ),
    ]
    endpoint: (
        Annotated[
            str,
            Meta(
                max_length=512,
                description="The URL of an S3-compatible store; leave it out for AWS. "
                "The administrator allows hosts by the chart value storage.allowedEndpoints.",
                extra_json_schema=cel(
                    (
                        r"self.matches('^https?://[^/@?#]+/?$')",
                        "must be http(s)://HOST[:PORT] without path, user or query",
                    )
                ),
            ),
        ]
        | None
    ) = None
    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$", max_length=64)] = "us-east-1"
    addressing: Annotated[
        Literal["Auto", "Path", "Virtual"],
        Meta(description="How the bucket is named in requests; Auto: Path with an endpoint."),
    ] = "Auto"
    secret_ref: (
        Annotated[
            LocalObjectReference,
            Meta(
                description="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, "
                "AWS_SESSION_TOKEN."
            ),
        ]
        | None
    ) = None
    anonymous: Annotated[bool, Meta(description="Read a public bucket without credentials.")] = (
        False
    )
    ca_bundle: (
        Annotated[
            ConfigMapKey,
            Meta(description="PEM certificates that the endpoint's certificate needs."),
        ]
        | None
    ) = None
    poll_interval: Annotated[
        Duration,
        Meta(
            description="How often the bucket is listed.",
            extra_json_schema=cel(
                (
                    "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
                    "must be between 1s and 24h",
                )
            ),
        ),
    ] = "30s"
    ready_marker: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9._-]{1,255}$",
                max_length=255,
                description="A version counts as complete once this object exists in it; without it, "
                "once two listings in a row are the same.",
            ),
        ]
        | None
    ) = None


class Pinned(Base, frozen=True):
    """The one version that is wanted."""

    number: Annotated[
        int, Meta(ge=0, le=INT64_MAX, description="Number of the version's directory.")
    ]
    fingerprint: (
        Annotated[
            str,
            Meta(
                pattern=r"^sha256:[0-9a-f]{64}$",
                max_length=71,
                description="Its exact bytes, as in status.versions; left out: those that served "
                "here before, else those in the bucket.",
            ),
        ]
        | None
    ) = None


class Versions(Base, frozen=True):
    """Which version is wanted."""

    RULES = (
        (  # has: the API server asks it of the default, {}, too
            "(has(self.policy) && self.policy == 'Pinned') == has(self.pinned)",
            "set versions.pinned.number with policy: Pinned, and leave versions.pinned out with "
            "policy: Latest",
        ),
    )

    policy: Annotated[
        Literal["Latest", "Pinned"],
        Meta(
            description="Latest: only the highest complete number is ever a candidate. Pinned: the "
            "version that `pinned` names, also a lower one; one that was stable here before comes "
            "back at once, without steps."
        ),
    ] = "Latest"
    pinned: Pinned | None = None
    on_overwrite: Annotated[
        Literal["Alert", "Rollout"],
        Meta(
            description="When the bytes of the serving number change in the bucket. Alert: what "
            "serves goes on and status says so. Rollout: once complete they are tried like a new "
            "version, through gate, steps and analysis."
        ),
    ] = "Alert"
    keep: Annotated[
        int,
        Meta(
            ge=0,
            le=5,
            description="Former stable revisions that run on at stable's scale after a promotion, "
            "for an instant way back by `pinned`.",
        ),
    ] = 0


class Router(Base, frozen=True):
    """The Envoy in front of the revisions."""

    replicas: Annotated[int, Meta(ge=1, le=100)] = 2
    image: (
        Annotated[
            str,
            Meta(
                pattern=r"^[^\s]+$",
                min_length=1,
                max_length=512,
                description="Default: the operator's setting.",
            ),
        ]
        | None
    ) = None
    resources: Resources = Resources()


class Traffic(Base, frozen=True):
    """How clients reach the model: always through Service NAME, ports 8501 (REST), 8500 (gRPC)."""

    provider: Literal["Router"] = "Router"
    router: Router = Router()
    sticky: Sticky | None = None


class Spec(Base, frozen=True):
    """What the user wants."""

    RULES = SPEC_RULES

    source: Source
    serving: Serving
    model_name: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
                max_length=128,
                description="What clients put into /v1/models/NAME; default: the object's name. "
                "It never changes.",
            ),
        ]
        | None
    ) = None
    versions: Versions = Versions()
    gate: Gate = Gate()
    rollout: Rollout = Rollout()
    traffic: Traffic = Traffic()
    suspend: Annotated[
        bool,
        Meta(
            description="No new rollout starts and a running one holds; healing and rollback still "
            "work."
        ),
    ] = False

    @property
    def replicas(self) -> int:
        """Pods of the stable revision, at least; left out means 1."""
        if self.serving.autoscaling is not None:
            return self.serving.autoscaling.min_replicas
        return 1 if self.serving.replicas is None else self.serving.replicas


ROOT_RULES: tuple[Rule, ...] = (
    (
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,31}[a-z0-9])?$')",
        "metadata.name must be a DNS label of at most 33 characters that starts with a letter: "
        "the children are named NAME-v<number>-<hash>",
    ),
    (
        "(has(self.spec.modelName) ? self.spec.modelName : self.metadata.name) == "
        "(has(oldSelf.spec.modelName) ? oldSelf.spec.modelName : oldSelf.metadata.name)",
        "spec.modelName never changes, because clients put it into their URLs; "
        "create a second SavedModelDeployment for the new name",
    ),
)
