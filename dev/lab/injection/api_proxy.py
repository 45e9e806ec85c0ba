"""A proxy before a real API server: TLS in, TLS out, tokens passed on, everything noted.

    client ──TLS, our authority──► ApiProxy ──TLS, the server's own authority──► API server

Neighbours: `passage` is what happens to a request, `faults` what may befall it. It has a thread with
an event loop of its own, so that a blocking test drives it. Listens on one address of this machine.
"""

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import pki
from lab.errors import LabError
from lab.injection import faults
from lab.injection.calls import Call, Match
from lab.injection.injections import Injection
from lab.injection.passage import Passage, hang_up
from lab.injection.upstream import Upstream, connect

T = TypeVar("T")
PATIENCE = 30.0
KEEP_ALIVE = 180.0
"""Seconds that the API server lets a connection idle; net/http's default for it."""


LAST_REQUESTS = 15.0
"""Seconds that requests under way get in the end: one that is cut off while it connects to the real
server leaves its socket behind."""


class ApiProxy:
    """A context manager. `log` has every request since the beginning, in order of arrival."""

    def __init__(self, kubeconfig: Path, folder: Path, address: str = "127.0.0.1") -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._address = address
        self._token = secrets.token_urlsafe(16)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ApiProxy", daemon=True)
        self._listener = socket.create_server((address, 0), backlog=256)
        self._transports: set[asyncio.BaseTransport] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Event()
        self._made: list[Injection] = []
        self._healed: set[int] = set()
        self._upstream: Upstream | None = None
        self._server: web.Server | None = None
        self.log: list[Call] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self._address}:{self._listener.getsockname()[1]}"

    @property
    def injections(self) -> Sequence[Injection]:
        """All that were made, in order."""
        return self._made

    def __enter__(self) -> Self:
        context = self._keys()
        self._listener.setblocking(False)
        self._thread.start()
        self._do(self._start(context))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for injection in self._made:
            injection.remove()
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._listener.close()
        self._loop.close()

    def kubeconfig(self, token: str | None = None) -> Path:
        """A new file with which a client comes through here; without token as the administrator."""
        cluster = {
            "server": self.url,
            "certificate-authority-data": base64.b64encode(
                (self._folder / "proxy-ca.crt").read_bytes()
            ).decode(),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": cluster}],
            "users": [{"name": "client", "user": {"token": token or self._token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "client"}}],
            "current-context": "proxy",
        }
        path = self._folder / f"proxy-{secrets.token_hex(4)}.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(config))
        return path

    def inject(
        self, fault: faults.Fault, match: Match | None = None, times: int | None = None
    ) -> Injection:
        """From now on `fault` strikes the calls that match (all), at most `times` times."""
        if isinstance(fault, faults.Partition) and (match or times is not None):
            raise LabError("a partition is one of everything: it has no match and no times")
        if isinstance(fault, faults.OldList) and not fault.version:
            assert self._upstream is not None
            fault = replace(fault, version=self._do(self._upstream.revision()))
        injection = Injection(fault, match or Match(), times, self._changed_from_outside)
        self._made.append(injection)
        self._changed_from_outside()
        return injection

    def calls(self, match: Match | None = None, since: float = 0.0) -> list[Call]:
        """What was noted, of these calls, from `since` (Unix seconds) on."""
        wanted = match or Match()
        return [call for call in list(self.log) if call.at >= since and wanted.fits(call)]

    async def changed(self) -> None:
        """Returns after the next injection or removal."""
        await self._turn.wait()

    async def passable(self, call: Call | None = None) -> bool:
        """Returns once there is no partition; False where one made an end of what waited.

        It counts the call as caught in it, once each.
        """
        caught: dict[int, Injection] = {}
        while cut := [i for i in self._made if i.on and isinstance(i.fault, faults.Partition)]:
            for injection in cut:
                if call is not None and id(injection) not in caught:
                    injection.take(call)
                caught[id(injection)] = injection
            await self.changed()
        return not any(_is_final(injection) for injection in caught.values())

    def _changed_from_outside(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            asyncio.run_coroutine_threadsafe(self._next_turn(), self._loop).result(PATIENCE)

    async def _next_turn(self) -> None:
        """Everybody who waits looks again; after a partition nothing of it is left."""
        self._turn.set()
        self._turn = asyncio.Event()
        for injection in self._made:
            if _is_final(injection) and not injection.on and id(injection) not in self._healed:
                self._healed.add(id(injection))
                for transport in list(self._transports):
                    hang_up(transport)

    async def _start(self, context: ssl.SSLContext) -> None:
        self._upstream = connect(self._kubeconfig)
        passage = Passage(self, self._upstream, self._token, self.log.append)
        self._server = web.Server(
            passage.handle, access_log=None, keepalive_timeout=KEEP_ALIVE, lingering_time=0
        )
        self._add(self._accept(context))

    async def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in list(self._transports):
            hang_up(transport)
        assert self._server is not None
        assert self._upstream is not None
        await self._server.shutdown(LAST_REQUESTS)
        await self._upstream.close()

    async def _accept(self, context: ssl.SSLContext) -> None:
        while True:
            await self.passable()
            opened, _ = await self._loop.sock_accept(self._listener)
            if await self.passable():  # it may have come in a partition: not greeted before its end
                self._add(self._greet(opened, context))
            else:
                opened.close()

    async def _greet(self, opened: socket.socket, context: ssl.SSLContext) -> None:
        assert self._server is not None
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                self._server, opened, ssl=context, ssl_handshake_timeout=PATIENCE
            )
        except (OSError, ssl.SSLError):  # it left before the greeting was over
            opened.close()
            return
        self._transports = {t for t in self._transports if not t.is_closing()}
        self._transports.add(transport)

    def _add(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the loop, from the test's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _keys(self) -> ssl.SSLContext:
        """An authority of our own and the proxy's certificate by it."""
        authority = pki.make_authority("proxy-authority")
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = tuple(dict.fromkeys((self._address, "127.0.0.1", "localhost")))
        certificate = pki.issue(authority, pki.Subject("proxy", "proxy", hosts=hosts), key)
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "proxy-ca.crt").write_bytes(authority.certificate.public_bytes(pem))
        pair = self._folder / "proxy.pem"
        pair.touch(0o600)
        pair.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
            + certificate.public_bytes(pem)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        return context


def _is_final(injection: Injection) -> bool:
    """Whether what this partition caught is lost."""
    return isinstance(injection.fault, faults.Partition) and not injection.fault.late
