"""Where the API server is and who we are there: the pod's ServiceAccount, or a kubeconfig.

Makes the client of this package and hands the same identity to kopf's transport, so that both
speak to one server. It must not be used after the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import kubernetes.aio.config
from kubernetes.aio.client import ApiClient, Configuration

from savedmodel_operator.cluster.client import Client, Counter, dynamic
from savedmodel_operator.cluster.clock import ServerClock

_config: Any = kubernetes.aio.config  # untyped


class NoCluster(Exception):
    """No way to an API server was configured."""


@dataclass(frozen=True)
class Identity:
    """The server and our credential, in kopf's terms."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    key_path: str | None
    token: str | None
    verify: bool


async def configuration(kubeconfig: str | None) -> Any:
    """The client library's configuration. Raises NoCluster with the remedy."""
    found = Configuration()
    try:
        if kubeconfig is not None:
            await _config.load_kube_config(config_file=kubeconfig, client_configuration=found)
        else:
            _config.load_incluster_config(client_configuration=found)
    except _config.ConfigException as error:
        raise NoCluster(
            f"no API server to talk to ({error}): run in a pod with a ServiceAccount token, or "
            "set KUBECONFIG to the path of a kubeconfig"
        ) from error
    found.retries = None  # the work queue retries, with backoff and in view of the Lease
    found.connection_pool_maxsize = 0  # watches hold connections; calls must not wait for them
    return found


async def identity(kubeconfig: str | None) -> Identity:
    """A fresh reading of the credential, for kopf, which asks again when it is refused."""
    found = await configuration(kubeconfig)
    bearer = await found.get_api_key_with_prefix("BearerToken")
    return Identity(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        certificate_path=found.cert_file,
        key_path=found.key_file,
        token=None if bearer is None else bearer.partition(" ")[2],
        verify=bool(found.verify_ssl),
    )


@asynccontextmanager
async def connect(
    kubeconfig: str | None, clock: ServerClock, count: Counter
) -> AsyncIterator[Client]:
    """A client for the time of the block."""
    api: Any = ApiClient(await configuration(kubeconfig))
    api.user_agent = "savedmodel-operator"
    try:
        yield Client(dynamic(api), clock, count)
    finally:
        await api.close()
