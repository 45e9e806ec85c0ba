"""The world as one frozen value, made by `observe`, read by `plan`. Pure data.

Everything that a decision may depend on stands here, the time included. Kubernetes objects are
kept as the API server gave them (`Observed.body`), reduced to what the planner reads; typed views
of them are in `plan.children`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api import names
from savedmodel_operator.api.source import SourceView
from savedmodel_operator.api.types import Spec
from savedmodel_operator.gate.verdict import Verdict

ObjectKey = tuple[str, str]
"""(kind, name); everything is in the namespace of the SavedModelDeployment."""


@dataclass(frozen=True, eq=False)
class Observed:
    """A child as last seen. `body` includes metadata and status. Compared by identity."""

    kind: str
    name: str
    uid: str
    resource_version: str
    body: Mapping[str, Any]
    managers: Mapping[str, str] = field(default_factory=dict)  # field path → manager

    @property
    def key(self) -> ObjectKey:
        """How plan and apply refer to it."""
        return (self.kind, self.name)

    @cached_property
    def revision(self) -> str | None:
        """The revision that it belongs to, by its label; None for what the router is made of."""
        labels = self.body.get("metadata", {}).get("labels", {})
        is_router = labels.get(names.LABEL_COMPONENT) == names.COMPONENT_ROUTER
        return None if is_router else labels.get(names.LABEL_REVISION) or None


@dataclass(frozen=True)
class RouterPodView:
    """What one router pod answers. `revision` None: it did not answer, or was not asked yet."""

    name: str
    uid: str
    running: bool
    ready: bool
    terminating: bool
    revision: str | None
    members: Mapping[str, frozenset[str]]  # backend revision → healthy IPs that both protocols have
    nudge: str | None  # the annotation's value on the pod
    asked: bool = True  # whether this process was asked at all


@dataclass(frozen=True)
class RouterView:
    """All router pods, terminating ones included."""

    pods: tuple[RouterPodView, ...] = ()


@dataclass(frozen=True)
class AnalysisView:
    """What was counted of candidate and stable since a step of the rollout began."""

    revision: str  # the candidate's
    against: str  # stable's
    step: int
    window: str  # when the counting began: counts of another window are other counts
    taken_at: float  # when all of it was last heard of, Unix seconds
    candidate: Counts
    stable: Counts


@dataclass(frozen=True)
class QueriesView:
    """What Prometheus answered at the latest look of a step of the rollout."""

    revision: str  # the candidate's
    against: str  # stable's
    step: int
    asked_at: float  # when the last answer came, Unix seconds
    answers: Mapping[str, Answer]  # by name of the query


@dataclass(frozen=True)
class Settings:
    """What the administrator set for the whole operator, as far as plans depend on it."""

    operator_image: str
    router_image: str
    operator_namespace: str = "savedmodel-system"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One object's whole world at one moment."""

    now: float  # Unix seconds by the API server's clock
    name: str
    namespace: str
    uid: str
    generation: int
    annotations: Mapping[str, str]
    spec: Spec
    status: Mapping[str, Any]  # as stored; {} or {"observedGeneration": -1} when new
    source: SourceView
    settings: Settings
    objects: Mapping[ObjectKey, Observed] = field(default_factory=dict)
    router: RouterView = RouterView()
    flaps: Mapping[ObjectKey, int] = field(default_factory=dict)  # put back lately, how often
    live: Mapping[str, Verdict] = field(default_factory=dict)  # revision → live checks, when done
    golden: str | None = None  # digest of the golden files, where a refusal rests on them
    analysis: AnalysisView | None = None
    queries: QueriesView | None = None
    deleting: bool = False

    @property
    def model_name(self) -> str:
        """What clients put into their URLs."""
        return self.spec.model_name or self.name
