"""Endpoints that are not what they should be, and TLS: each ends in a sentence, none in a stack."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from unit.serving_compatible.conftest import Server, model_entry, serving

METADATA = json.dumps(
    {
        "model_spec": {"name": "m", "signature_name": "", "version": "1"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": {
            "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [], "unknown_rank": False},
                             "name": "x:0"}},
            "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [], "unknown_rank": False},
                              "name": "y:0"}},
            "method_name": "tensorflow/serving/predict"}}}},
    }
).encode()  # fmt: skip

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


@contextmanager
def endpoint(on_get: Answer, on_post: Answer, certificate: Path | None = None) -> Iterator[str]:
    """A REST API that gives these answers; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            on_get(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            on_post(self)

        def log_message(self, *args: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        scheme = "https" if certificate else "http"
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}/v1/models/m"
        finally:
            server.shutdown()
            thread.join()


GOOD = answer(200, METADATA)
CASES = {
    "no metadata": (answer(200, b"<html>"), GOOD, 4, "no model metadata of TensorFlow Serving"),
    "metadata of another form": (answer(200, b"[1]"), GOOD, 4, "no model metadata"),
    "a redirect": (answer(302, b"", Location="http://127.0.0.1:1/"), GOOD, 4, "HTTP 302: 0 bytes"),
    "no HTTP": (lambda h: h.wfile.write(b"SSH-2.0-x\r\n") and None, GOOD, 4, "cannot be reached"),
    "a closed connection": (lambda h: h.connection.close(), GOOD, 4, "cannot be reached"),
    "overload": (GOOD, answer(429, b'{"error": "queue full"}'), 4, "HTTP 429: queue full"),
    "an outage": (GOOD, answer(503, b"<html>down</html>"), 4, "17 bytes that are no error message"),
    "a refusal": (
        GOOD,
        answer(400, b'{"error": "bad \\u001b[2J\\ninput"}'),
        1,
        r"bad \x1b[2J input",
    ),
    "a long refusal": (GOOD, answer(400, b'{"error": "%s"}' % (b"x" * 9000)), 1, "x" * 2000 + "…"),
    "a wrong answer": (GOOD, answer(200, b'{"predictions": {"y": 1}}'), 4, "no predict answer"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_has_its_sentence_and_code(savedmodel, case):
    on_get, on_post, expected, words = CASES[case]
    with endpoint(on_get, on_post) as url:
        code, out, err = savedmodel(
            "run", "--url", url, "--rest", "column", "--input-exprs", "x=1.0"
        )
    assert (code, out) == (expected, ""), err
    assert words in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, form, plain) + made.public_bytes(pem))
    return file


def test_https_trusts_what_it_is_told_to(savedmodel, certificate: Path):
    with endpoint(GOOD, answer(200, b'{"outputs": 2.0}'), certificate) as url:
        call = ["run", "--url", url, "--rest", "column", "--input-exprs", "x=1.0", "-o", "json"]
        code, out, err = savedmodel(*call, "--ca-bundle", certificate)
        assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, 2.0), err
        code, out, err = savedmodel(*call)
        assert (code, out) == (4, "")
        assert "TLS failed: CERTIFICATE_VERIFY_FAILED" in err


@pytest.fixture(scope="module")
def tls_server(
    models: Path, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The stand-in with TLS on its gRPC port, as --ssl_config_file asks for it."""
    folder = tmp_path_factory.mktemp("tls_server")
    pem = certificate.read_text()
    cut = pem.index("-----BEGIN CERTIFICATE")
    config = folder / "ssl.txt"
    quoted = [json.dumps(part) for part in (pem[:cut], pem[cut:])]
    config.write_text(f"server_key: {quoted[0]}\nserver_cert: {quoted[1]}\n")
    entries = folder / "models.txt"
    entries.write_text("model_config_list {\n" + model_entry("half", models / "half") + "\n}\n")
    with serving(
        folder, f"--model_config_file={entries}", f"--ssl_config_file={config}"
    ) as running:
        yield running


def test_grpc_over_tls(savedmodel, tls_server: Server, certificate: Path):
    target = [
        "--grpc",
        f"127.0.0.1:{tls_server.grpc_port}",
        "--model-name",
        "half",
        "--timeout",
        20,
    ]
    call = ["run", *target, "--input-exprs", "x=[[1.0]]", "-o", "json"]
    code, out, err = savedmodel(*call, "--tls", "--ca-bundle", certificate)
    assert (code, json.loads(out)["outputs"]["y"]["values"]) == (0, [[3.5]]), err
    for options in ([], ["--tls"]):
        code, out, err = savedmodel(*call, *options)
        assert (code, out) == (4, ""), err
        assert "answered UNAVAILABLE" in err


def test_an_address_with_a_scheme_is_no_address(savedmodel):
    code, _, err = savedmodel("run", "--grpc", "http://127.0.0.1:8500", "--model-name", "m")
    assert (code, "--grpc is HOST:PORT" in err) == (2, True)
