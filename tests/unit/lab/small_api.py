"""A small HTTPS server in place of an API server, for tests of the proxy before it.

It answers what it was asked, and counts; a watch says a line every 20 ms.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from pathlib import Path

import httpx
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import pki

PEM = serialization.Encoding.PEM


class SmallApi:
    """Listens on loopback; `asked` has (method, path with query, Authorization, body, who)."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str, str, bytes, bool]] = []
        self.watches = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.kubeconfig = folder / "upstream.kubeconfig"
        self._folder = folder

    def __enter__(self) -> SmallApi:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_) -> None:
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        authority = pki.make_authority("small")
        ca = authority.certificate.public_bytes(PEM).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pair(authority, "server", ("127.0.0.1",)))
        context.load_verify_locations(cadata=ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        pair = self._pair(authority, "admin").read_bytes()
        encoded = base64.b64encode(pair).decode()
        cluster = {
            "server": f"https://127.0.0.1:{self._runner.addresses[0][1]}",
            "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
        }
        user = {"client-certificate-data": encoded, "client-key-data": ""}
        config = {"clusters": [{"cluster": cluster}], "users": [{"user": user}]}
        self.kubeconfig.write_text(json.dumps(config))

    def _pair(self, authority, name, hosts=()) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        made = pki.issue(authority, pki.Subject(name, name, hosts=hosts), key)
        form = serialization.PrivateFormat.PKCS8
        path = self._folder / f"{name}.pem"
        secret = key.private_bytes(PEM, form, serialization.NoEncryption())
        path.write_bytes(secret + made.public_bytes(PEM))
        return path

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        known = request.transport.get_extra_info("peercert") is not None
        who = request.headers.get("Authorization", "")
        self.asked.append((request.method, request.path_qs, who, body, bool(known)))
        if "watch=true" in request.path_qs:
            return await self._watch(request)
        sent = json.loads(body) if body else {}
        metadata = {"resourceVersion": "77"}
        return web.json_response({"metadata": metadata, **sent, "asked": len(self.asked)})

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        self.watches += 1
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            for number in range(10_000):
                await response.write(json.dumps({"type": "BOOKMARK", "n": number}).encode() + b"\n")
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            self.watches -= 1
        return response


def client_of(kubeconfig: Path, **options) -> httpx.Client:
    """As any client of Kubernetes would: the file's authority and token."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    token = config["users"][0]["user"]["token"]
    return httpx.Client(
        base_url=cluster["server"],
        verify=ssl.create_default_context(cadata=ca),
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        **options,
    )
