"""The real API server behind a proxy: its address, its authority, and how to ask it.

Neighbours: `api_proxy` reads it from a kubeconfig, `passage` sends through it. Two ways of asking:
with the administrator's certificate, and with nothing but the token that a client brought.
"""

import asyncio
import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml


@dataclass
class Upstream:
    """`server` without a path. Sessions belong to the proxy's event loop."""

    server: str
    bearer: aiohttp.ClientSession
    administrator: aiohttp.ClientSession

    async def close(self) -> None:
        """Ends all connections; none is left for the garbage collector to complain of."""
        for session in (self.bearer, self.administrator):
            if session.connector is not None:
                await session.connector.close(abort_ssl=True)
            await session.close()
        for _ in range(3):  # a transport lets go of its socket in the loop's next turn
            await asyncio.sleep(0)

    async def revision(self) -> str:
        """The resourceVersion of now. It is one counter for everything that the server keeps."""
        url = f"{self.server}/api/v1/namespaces?limit=1"
        async with self.administrator.get(url) as answer:
            answer.raise_for_status()
            return str((await answer.json())["metadata"]["resourceVersion"])


def connect(kubeconfig: Path) -> Upstream:
    """The server of a kubeconfig that has everything inside. Inside a running event loop."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    anybody, administrator = (ssl.create_default_context(cadata=authority) for _ in range(2))
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:  # ssl reads it from a file only
        pair.write(base64.b64decode(user["client-certificate-data"]))
        pair.write(base64.b64decode(user["client-key-data"]))
        pair.flush()
        administrator.load_cert_chain(pair.name)
    return Upstream(str(cluster["server"]), _session(anybody), _session(administrator))


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """As many connections as the clients have, no time limits: those are the clients' own."""
    options: dict[str, Any] = {"auto_decompress": False, "trust_env": False}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        timeout=aiohttp.ClientTimeout(),
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )
