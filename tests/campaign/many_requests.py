"""The API server for what writes or watches thousands of objects: asynchronous, many at a time.

Plain HTTP with the administrator's certificate, as `api_server` is for single requests. Neighbours:
`pod_world` and `fleet`. Nothing of the product is used here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Body = dict[str, Any]
MERGE = "application/merge-patch+json"
AGAIN = 0.2
"""Seconds before a broken watch is begun anew."""

Heard = Callable[[str, Body], None]
"""("ADDED", "MODIFIED" or "DELETED", object)."""


class ManyRequests:
    """One session. Made by `connect`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> tuple[int, Body]:
        """(code, body); refusals are answers too."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def follow(self, path: str, selector: str, heard: Heard) -> None:
        """List and watch until cancelled; what left while a watch was broken is told as DELETED."""
        known: dict[str, Body] = {}
        while True:
            try:
                version = await self._list(path, selector, known, heard)
                query = {"watch": "1", "labelSelector": selector, "resourceVersion": version}
                quiet = aiohttp.ClientTimeout(total=None)
                async with self._session.get(path, params=query, timeout=quiet) as stream:
                    await _hear(stream, known, heard)
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN)

    async def _list(self, path: str, selector: str, known: dict[str, Body], heard: Heard) -> str:
        async with self._session.get(path, params={"labelSelector": selector}) as answer:
            listed = await answer.json()
        here = {item["metadata"]["uid"]: item for item in listed["items"]}
        for uid in known.keys() - here.keys():
            heard("DELETED", known.pop(uid))
        for uid, item in here.items():
            known[uid] = item
            heard("ADDED", item)
        return str(listed["metadata"]["resourceVersion"])


async def _hear(stream: aiohttp.ClientResponse, known: dict[str, Body], heard: Heard) -> None:
    """Until the watch ends or is told that its beginning is too old."""
    try:
        async for line in _lines(stream.content):
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            _keep(known, event["type"], event["object"])
            heard(event["type"], event["object"])
    finally:
        if stream.connection is not None and stream.connection.transport is not None:
            # A polite end of TLS waits for the server, longer than this loop may live.
            stream.connection.transport.abort()


def _keep(known: dict[str, Body], kind: str, body: Body) -> None:
    if kind == "DELETED":
        known.pop(body["metadata"]["uid"], None)
    else:
        known[body["metadata"]["uid"]] = body


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length."""
    rest = b""
    async for piece in content.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line


@asynccontextmanager
async def connect(kubeconfig: Path) -> AsyncIterator[ManyRequests]:
    """With the rights of a kubeconfig that has a client certificate."""
    text = await asyncio.to_thread(kubeconfig.read_text)
    config: Mapping[str, Any] = yaml.safe_load(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:  # ssl reads it from a file only
        pair.write(base64.b64decode(user["client-certificate-data"]))
        pair.write(base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    connector = aiohttp.TCPConnector(ssl=context, limit=32)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        cluster["server"], connector=connector, timeout=timeout, trust_env=False
    ) as session:
        try:
            yield ManyRequests(session)
        finally:
            await connector.close(abort_ssl=True)  # for the same reason as above
