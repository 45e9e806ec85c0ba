"""kopf as transport: its watch of SavedModelDeployments feeds the object cache and the queue.

Low-level event handlers only: no finalizer, annotation, progress, diff or timer of kopf's, and no
Events or peering. It is the only module that knows kopf. It must not look at what an object says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
from kopf._core.engines.peering import Identity as PeerIdentity

from savedmodel_operator.api import names
from savedmodel_operator.api.types import GROUP, PLURAL, VERSION
from savedmodel_operator.cluster.cache import Owner
from savedmodel_operator.cluster.connect import Identity
from savedmodel_operator.cluster.objects import ObjectCache

Login = Callable[[], Awaitable[Identity]]


class Transport:
    """kopf's operator, run inside our event loop."""

    def __init__(
        self,
        login: Login,
        namespaces: tuple[str, ...],
        objects: ObjectCache,
        changed: Callable[[Owner], None],
    ) -> None:
        self._login = login
        self._namespaces = namespaces
        self._objects = objects
        self._changed = changed
        self._stop = asyncio.Event()
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`; ends earlier only by an error."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            # Of use for peering alone; kopf would make one from the user's name, and ours has none.
            identity=PeerIdentity(names.MANAGER),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
            ready_flag=self.started,
        )

    def stop(self) -> None:
        """Lets `run` end."""
        self._stop.set()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            identity = await self._login()
            return kopf.ConnectionInfo(
                server=identity.server,
                ca_path=identity.ca_path,
                insecure=not identity.verify,
                token=identity.token,
                certificate_path=identity.certificate_path,
                private_key_path=identity.key_path,
            )

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def heard(event: kopf.RawEvent, **_: Any) -> None:
            self.take(event["type"], dict(event["object"]))

        del login, heard
        return registry

    def take(self, kind: str | None, body: dict[str, Any]) -> None:
        """One event: None (listed), ADDED, MODIFIED or DELETED."""
        meta = body["metadata"]
        key = (str(meta["namespace"]), str(meta["name"]))
        if kind == "DELETED":
            self._objects.drop(key, str(meta["uid"]))
            self._changed(key)
        elif self._objects.put(body):
            self._changed(key)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # one CRD, known by name; needs no right on CRDs
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 5
    settings.watching.inactivity_timeout = 70  # bookmarks come every 60 s
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.enforce_retry_after = True
    settings.process.ultimate_exiting_timeout = None  # the process ends by itself, or is killed
    settings.queueing.exit_timeout = 1
    return settings
