"""What a cycle tells the world: status where it changed, Events, metrics, one log line.

Status goes first and with the resourceVersion that was seen; Events only after it, so that a lost
race repeats the transition instead of announcing it twice. An Event that cannot be posted is not
worth a failed cycle.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from savedmodel_operator import errors
from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import API_VERSION, KIND
from savedmodel_operator.apply import Applier
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import EVENT, MODEL
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.plan.actions import Action, Annotate, Delete, Event, Plan
from savedmodel_operator.telemetry import Telemetry

log = logging.getLogger("savedmodel_operator.cycle")

CONTROLLER = "savedmodel.dev/operator"
NOTE_LIMIT = 1024  # characters; the API's own bound of an Event's note


class Reporter:
    """Writes status and Events. instance: this replica's name, shown in Events."""

    def __init__(
        self,
        client: Client,
        objects: ObjectCache,
        applier: Applier,
        telemetry: Telemetry,
        instance: str,
    ) -> None:
        self._client = client
        self._objects = objects
        self._applier = applier
        self._telemetry = telemetry
        self._instance = instance
        self._pruned: dict[Owner, Mapping[str, Any]] = {}

    async def report(self, meta: Meta, plan: Plan) -> None:
        """After a cycle that went through. Raises ApiError where status could not be written."""
        changed = await self._write_status(meta, plan.status)
        for event in plan.events:
            await self._post(meta, event)
        self._telemetry.shows(meta, plan.status, [e.reason for e in plan.events])
        level = logging.INFO if changed or plan.actions or plan.events else logging.DEBUG
        log.log(level, plan.sentence, extra=_fields(meta, plan.status, plan.reason, plan.actions))

    async def blocked(
        self, meta: Meta, body: Mapping[str, Any], reason: Reason, message: str
    ) -> None:
        """After a cycle that a person has to unblock."""
        if await self._write_status(meta, body):
            await self._post(meta, Event(reason, message, warning=True))
            log.warning(message, extra=_fields(meta, body, reason, ()))
        self._telemetry.shows(meta, body, [])

    def forget(self, key: Owner) -> None:
        """The object is gone."""
        self._pruned.pop(key, None)

    async def _write_status(self, meta: Meta, status: Mapping[str, Any]) -> bool:
        key = (meta.namespace, meta.name)
        if status == meta.status or status == self._pruned.get(key):
            return False
        raw = self._objects.get(key)
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
            "spec": (raw or {}).get("spec") or {},  # a PUT to /status never writes it
            "status": dict(status),
        }
        written = await self._client.replace(
            MODEL, *key, body, sub="status", within=self._applier.deadline()
        )
        self._objects.put(written)
        self._check_pruned(key, status, written.get("status") or {})
        return True

    def _check_pruned(self, key: Owner, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        """An older CRD drops fields that it does not know: say so, and do not write forever."""
        if stored == sent:
            self._pruned.pop(key, None)
            return
        lost = sorted(k for k in sent if sent[k] != stored.get(k))
        self._pruned[key] = dict(sent)
        self._telemetry.pruned(key)
        log.error(
            "%s/%s: the API server did not keep status.%s; the CRD in the cluster is older than "
            "this operator: upgrade the chart with crds.enabled=true",
            *key,
            ", status.".join(lost),
        )

    async def _post(self, meta: Meta, event: Event) -> None:
        now = datetime.fromtimestamp(self._client.clock.now(), UTC)
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {
                "name": f"{meta.name}.{uuid.uuid4().hex[:16]}",
                "namespace": meta.namespace,
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
            },
            "reason": event.reason.value,
            "action": event.reason.value,
            "note": event.message[:NOTE_LIMIT],
            "type": "Warning" if event.warning else "Normal",
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
        }
        try:
            await self._client.create(EVENT, meta.namespace, body, within=self._applier.deadline())
        except errors.ApiError as error:
            log.warning("%s/%s: event not posted: %s", meta.namespace, meta.name, error.message)


def _fields(
    meta: Meta, status: Mapping[str, Any], reason: Reason, actions: Iterable[Action]
) -> dict[str, Any]:
    """The keyed fields of a cycle's log line; no payloads."""
    stable, candidate = _part(status, "stable"), _part(status, "candidate")
    return {
        "fields": {
            "namespace": meta.namespace,
            "name": meta.name,
            "generation": meta.generation,
            "phase": status.get("phase"),
            "stable": stable.get("revision"),
            "candidate": candidate.get("revision"),
            "weight": candidate.get("weight"),
            "reason": reason.value,
            "actions": [_word(a) for a in actions],
        }
    }


def _part(status: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    part = status.get(role)
    return part if isinstance(part, Mapping) else {}


def _word(action: Action) -> str:
    verb = type(action).__name__.lower()
    if isinstance(action, Annotate | Delete):
        return f"{verb} {action.kind}/{action.name}"
    manifest = action.manifest
    return f"{verb} {manifest['kind']}/{manifest['metadata']['name']}"
