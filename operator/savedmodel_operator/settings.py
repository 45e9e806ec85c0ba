"""The operator's own settings: read once from the environment, then a frozen value.

The chart writes these variables; per-object choices are in the object, never here. Nothing else
reads the environment. A value that makes no sense ends the process with the variable's name and
what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from savedmodel_operator.plan import snapshot

T = TypeVar("T")

LogFormat = Literal["text", "json"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]

_NAMESPACE = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class SettingsError(Exception):
    """A variable is missing or wrong; the message names it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Everything that the administrator sets for the whole operator."""

    operator_image: str
    """OPERATOR_IMAGE, required. The operator's own image; model pods fetch with it."""

    router_image: str
    """ROUTER_IMAGE, required. Envoy for routers whose object names none."""

    pod_namespace: str
    """POD_NAMESPACE (downward API), required. Where the Lease lives; NetworkPolicies let the
    operator of this namespace in."""

    pod_name: str
    """POD_NAME (downward API), required. The holder's name in the Lease."""

    namespaces: tuple[str, ...] = ()
    """SAVEDMODEL_NAMESPACES, comma-separated. Namespaces to watch; empty: the whole cluster.
    With names, namespaced Roles are enough."""

    image_pull_policy: PullPolicy = "IfNotPresent"
    """IMAGE_PULL_POLICY of what the operator starts itself: fetcher and router."""

    image_pull_secrets: tuple[str, ...] = ()
    """IMAGE_PULL_SECRETS, comma-separated names that pods of the operator's images need. They
    must exist in the namespaces of the models."""

    allowed_endpoints: tuple[str, ...] = ()
    """ALLOWED_ENDPOINTS, comma-separated hosts or HOST:PORT or *.SUFFIX of object stores that
    resolve to private addresses. Public addresses need no entry."""

    allowed_prometheus: tuple[str, ...] = ()
    """ALLOWED_PROMETHEUS, in the same forms: servers that rollout.analysis may ask. Without an entry
    none is asked, public or not: what they know is told to whoever may write an object."""

    storage_secret_names: tuple[str, ...] = ("savedmodel-storage",)
    """STORAGE_SECRET_NAMES, comma-separated: what the chart's Role lets us get. For messages
    only; the API server decides."""

    log_format: LogFormat = "text"
    """LOG_FORMAT: text (key=value, for people) or json (for collectors)."""

    log_level: str = "INFO"
    """LOG_LEVEL: DEBUG, INFO, WARNING or ERROR. DEBUG adds a line for idle cycles."""

    workers: int = 4
    """WORKERS, 1 to 64. Objects reconciled at the same time. A cycle mostly waits for the API
    server, so few are enough; more only share the same processor."""

    storage_threads: int = 4
    """STORAGE_THREADS, 1 to 64. Buckets read at the same time; each thread costs about 1 MiB."""

    lease_name: str = "savedmodel-operator"
    """LEASE_NAME: replicas that share it elect one leader."""

    port: int = 8080
    """PORT of /healthz, /readyz and /metrics. 0 picks a free one (tests)."""

    host: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from other addresses
    """HOST: the address that PORT listens on."""

    kubeconfig: str | None = None
    """KUBECONFIG: path of a kubeconfig for running outside a cluster; unset: the pod's own
    ServiceAccount."""

    version: str = "dev"
    """OPERATOR_VERSION, for the metric savedmodel_operator_info."""

    @property
    def for_plans(self) -> snapshot.Settings:
        """The part that decisions depend on."""
        return snapshot.Settings(
            operator_image=self.operator_image,
            router_image=self.router_image,
            operator_namespace=self.pod_namespace,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
        )


def parse(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises SettingsError."""
    reader = _Reader(environment)
    return Settings(
        operator_image=reader.required("OPERATOR_IMAGE", "the image that this operator runs from"),
        router_image=reader.required("ROUTER_IMAGE", "an Envoy image"),
        pod_namespace=reader.required("POD_NAMESPACE", "fieldRef metadata.namespace"),
        pod_name=reader.required("POD_NAME", "fieldRef metadata.name"),
        namespaces=reader.names("SAVEDMODEL_NAMESPACES"),
        image_pull_policy=cast(
            PullPolicy,
            reader.choice("IMAGE_PULL_POLICY", ("IfNotPresent", "Always", "Never")),
        ),
        image_pull_secrets=reader.items("IMAGE_PULL_SECRETS"),
        allowed_endpoints=reader.items("ALLOWED_ENDPOINTS"),
        allowed_prometheus=reader.items("ALLOWED_PROMETHEUS"),
        storage_secret_names=reader.items("STORAGE_SECRET_NAMES") or ("savedmodel-storage",),
        log_format=cast(LogFormat, reader.choice("LOG_FORMAT", ("text", "json"))),
        log_level=reader.choice("LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
        workers=reader.number("WORKERS", 4, 1, 64),
        storage_threads=reader.number("STORAGE_THREADS", 4, 1, 64),
        lease_name=reader.text("LEASE_NAME", "savedmodel-operator"),
        port=reader.number("PORT", 8080, 0, 65535),
        host=reader.text("HOST", "0.0.0.0"),  # noqa: S104 - as above
        kubeconfig=reader.value("KUBECONFIG", _existing_file, "the path of a kubeconfig"),
        version=reader.text("OPERATOR_VERSION", "dev"),
    )


class _Reader:
    """Typed reads of one environment; an empty variable counts as unset."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def value(self, name: str, convert: Callable[[str], T], wanted: str) -> T | None:
        text = self._environment.get(name, "").strip()
        if not text:
            return None
        try:
            return convert(text)
        except ValueError as error:
            raise SettingsError(
                f"environment variable {name} is {text!r}: it must be {wanted}"
            ) from error

    def required(self, name: str, wanted: str) -> str:
        text = self.value(name, str, wanted)
        if text is None:
            raise SettingsError(f"environment variable {name} is not set: it must be {wanted}")
        return text

    def text(self, name: str, default: str) -> str:
        return self.value(name, str, "text") or default

    def items(self, name: str) -> tuple[str, ...]:
        parts = self._environment.get(name, "").split(",")
        return tuple(dict.fromkeys(p.strip() for p in parts if p.strip()))

    def names(self, name: str) -> tuple[str, ...]:
        found = self.items(name)
        for item in found:
            if not _NAMESPACE.fullmatch(item):
                raise SettingsError(
                    f"environment variable {name} has {item!r}: it must be a comma-separated "
                    "list of namespace names, or empty for the whole cluster"
                )
        return found

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        text = self.text(name, options[0])
        if text not in options:
            raise SettingsError(
                f"environment variable {name} is {text!r}: it must be one of {', '.join(options)}"
            )
        return text

    def number(self, name: str, default: int, low: int, high: int) -> int:
        wanted = f"a whole number from {low} to {high}"
        value = self.value(name, int, wanted)
        if value is None:
            return default
        if not low <= value <= high:
            raise SettingsError(f"environment variable {name} is {value}: it must be {wanted}")
        return value


def _existing_file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(text)
    return text
