"""A Prometheus that wants a token: which Secret it comes from, and whom it is sent to."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fake_server import FakeServer, Refusal
from lab import pki
from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.api.queries import Prometheus
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import ConfigMapKey, LocalObjectReference
from savedmodel_operator.observe.access import AccessReader
from savedmodel_operator.observe.prometheus import PrometheusClient, Server
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.storage.guard import EndpointGuard

IP, NAME = "127.77.11.1", "prometheus.mine"
TOKEN = "ey-one.two_three="
NUMBER = {"status": "success", "data": {"resultType": "scalar", "result": [7.5, "0.25"]}}


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.make_authority("somebody's own")


@pytest.fixture(scope="module")
def bundle(authority: pki.Authority) -> str:
    return authority.certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def identity(authority: pki.Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What the server proves itself with."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = pki.issue(authority, pki.Subject("server", "server", hosts=(NAME,)), key)
    file: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def prometheus(tls: ssl.SSLContext | None, seen: list[dict[str, str]]) -> AsyncIterator[str]:
    """One that gives a cookie to everybody; its address."""

    async def handler(request: web.Request) -> web.Response:
        seen.append(
            {k: request.headers[k] for k in ("Authorization", "Cookie") if k in request.headers}
        )
        answer = web.json_response(NUMBER)
        answer.set_cookie("session", "somebody")
        return answer

    app = web.Application()
    app.router.add_get("/api/v1/query", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, IP, 0, ssl_context=tls).start()
    try:
        yield f"http{'s' if tls else ''}://{NAME}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def resolver(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    assert host == NAME
    return [(socket.AF_INET, (IP, port))]


async def ask(*servers: Server) -> list[Answer]:
    client = PrometheusClient(EndpointGuard((NAME,), resolver=resolver), 5.0)
    try:
        return [await client.ask(server, "up") for server in servers]
    finally:
        await client.close()


async def test_the_token_is_sent_and_no_cookie_comes_back(
    identity: ssl.SSLContext, bundle: str
) -> None:
    seen: list[dict[str, str]] = []
    async with prometheus(identity, seen) as address:
        servers = (Server(address, TOKEN, bundle), Server(address, None, bundle))
        assert await ask(*servers) == [Answer(0.25, 7.5)] * 2
    assert seen == [{"Authorization": f"Bearer {TOKEN}"}, {}]


async def test_who_proves_nothing_gets_no_token(
    identity: ssl.SSLContext, bundle: str, authority: pki.Authority
) -> None:
    other = pki.make_authority("another").certificate
    wrong = other.public_bytes(serialization.Encoding.PEM).decode()
    seen: list[dict[str, str]] = []
    async with prometheus(identity, seen) as address:
        cut = bundle.replace("BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE-----\n====")
        found = await ask(*(Server(address, TOKEN, ca) for ca in (None, wrong, cut)))
    assert [a.trouble.partition(";")[0] for a in found] == ["its certificate is not trusted"] * 3
    assert seen == []


async def test_a_token_does_not_go_in_clear(bundle: str) -> None:
    seen: list[dict[str, str]] = []
    async with prometheus(None, seen) as address:
        assert await ask(Server(address, TOKEN)) == [
            Answer(trouble="a token is sent over https only")
        ]
    assert seen == []
    assert TOKEN not in repr(Server("https://p", TOKEN, bundle))


WANTED = Prometheus(
    "https://p:9091", LocalObjectReference("metrics"), ConfigMapKey("ca", "service-ca.crt")
)
SECRET, CONFIG = (
    ("get", "/api/v1/namespaces/shop/secrets/metrics"),
    ("get", "/api/v1/namespaces/shop/configmaps/ca"),
)


def secret(**fields: str) -> dict[str, Any]:
    return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in fields.items()}}


async def test_token_and_bundle_are_read_by_name(bundle: str) -> None:
    api = FakeServer()
    api.answers = {
        SECRET: secret(token=TOKEN + "\n", namespace="monitoring"),
        CONFIG: {"data": {"service-ca.crt": bundle}},
    }
    reader = AccessReader(api.client, ("metrics",))
    assert await reader.read_prometheus("shop", WANTED) == Server("https://p:9091", TOKEN, bundle)
    plain = Prometheus("http://p:9090")
    before = len(api.requests)
    assert await reader.read_prometheus("shop", plain) == Server("http://p:9090")
    assert len(api.requests) == before, "nothing is read that nobody asked for"


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (Refusal(404, "NotFound"), Reason.SecretMissing, "Secret metrics is not there: create it"),
        (
            Refusal(403, "Forbidden"),
            Reason.SecretNotPermitted,
            "storageSecretNames={other,metrics}",
        ),
        (Refusal(500), Reason.StorageUnavailable, "Secret metrics could not be read"),
        (secret(password="x"), Reason.SecretMissing, "Secret metrics lacks token: add it"),
        (secret(token="a\nb"), Reason.SecretMissing, "has no token of one line under token"),
        (secret(token="a b"), Reason.SecretMissing, "has no token of one line under token"),
        (secret(token="ä"), Reason.SecretMissing, "has no token of one line under token"),
    ],
)
async def test_a_secret_without_a_token_is_told(answer: Any, reason: Reason, words: str) -> None:
    api = FakeServer()
    api.answers = {SECRET: answer}
    with pytest.raises(StorageError) as told:
        await AccessReader(api.client, ("other",)).read_prometheus("shop", WANTED)
    assert told.value.reason is reason
    assert words in told.value.message
