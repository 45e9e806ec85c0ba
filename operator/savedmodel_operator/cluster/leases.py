"""The Lease object on the API server, for `lease`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from savedmodel_operator.cluster.client import Client
from savedmodel_operator.cluster.kinds import LEASE

Body = dict[str, Any]

TIMEOUT = 5.0
"""Seconds: two attempts fit into the renewal deadline of 10."""


class ClusterLease:
    """Implements `lease.LeaseStore` for one Lease."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def read(self) -> Body:
        """GET."""
        return await self._client.get(LEASE, self._namespace, self._name)

    async def create(self, spec: Mapping[str, Any]) -> Body:
        """POST."""
        return await self._client.create(
            LEASE, self._namespace, self._body({}, spec), within=TIMEOUT
        )

    async def update(self, seen: Body, spec: Mapping[str, Any]) -> Body:
        """PUT with the resourceVersion that was seen."""
        version = seen["metadata"]["resourceVersion"]
        body = self._body({"resourceVersion": version}, spec)
        return await self._client.replace(LEASE, self._namespace, self._name, body, within=TIMEOUT)

    def _body(self, metadata: Body, spec: Mapping[str, Any]) -> Body:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._name, "namespace": self._namespace, **metadata},
            "spec": dict(spec),
        }
