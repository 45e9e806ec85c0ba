"""Whose a child is, and what the administrator set. Pure; every builder starts here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from savedmodel_operator.api import names
from savedmodel_operator.api.types import API_VERSION, KIND


class Platform(Protocol):
    """The operator-wide settings that manifests depend on (`plan.snapshot.Settings` is one)."""

    @property
    def operator_image(self) -> str:
        """Image of operator and fetcher."""

    @property
    def router_image(self) -> str:
        """Envoy's image where the object names none."""

    @property
    def operator_namespace(self) -> str:
        """Where the operator's pods are."""

    @property
    def image_pull_policy(self) -> str:
        """For every container the operator writes."""

    @property
    def image_pull_secrets(self) -> tuple[str, ...]:
        """Names of Secrets in the object's namespace, for the operator's own images."""


@dataclass(frozen=True)
class Owner:
    """The SavedModelDeployment that a child belongs to; the garbage collector goes by it."""

    name: str
    namespace: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """The controlling owner reference."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def labels(self, revision: str | None = None, component: str | None = None) -> dict[str, str]:
        """Labels of a child; also what finds it again, so never user-given."""
        labels = {
            names.LABEL_MANAGED_BY: names.MANAGER,
            names.LABEL_DEPLOYMENT: self.name,
            names.LABEL_UID: self.uid,
        }
        if revision is not None:
            labels[names.LABEL_REVISION] = revision
        if component is not None:
            labels[names.LABEL_COMPONENT] = component
        return labels

    def selector(self, component: str, revision: str | None = None) -> dict[str, str]:
        """The pods of one component (of one revision): by UID, so that no other object's match."""
        chosen = {names.LABEL_UID: self.uid, names.LABEL_COMPONENT: component}
        if revision is not None:
            chosen[names.LABEL_REVISION] = revision
        return chosen

    def metadata(
        self, name: str, component: str, revision: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """The `metadata` of a child."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(revision, component),
            "ownerReferences": [self.reference()],
            **more,
        }
