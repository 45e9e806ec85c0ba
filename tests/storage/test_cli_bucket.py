"""Bucket URLs as the offline commands read them, against a real S3 server: few bytes, clear words."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from bucket_server import KEY, Bucket, S3Server
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.cli.__main__ import main
from savedmodel_operator.cli.bucket import open_bucket
from savedmodel_operator.cli.reading import MAX_FILES, NotReadableError
from savedmodel_operator.cli.target import StoreOptions, read_target
from unit.savedmodel.wire_builder import message, node, saved_model, signature, tensor, text

from .proxy import Proxy

MIB = 1024 * 1024
PATH = "models/flowers/7"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An AWS environment of this test alone; no metadata service is asked."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret_access_key)


@pytest.fixture
def put(bucket: Bucket, model: dict[str, bytes]) -> Bucket:
    bucket.put_tree(f"{PATH}/", model)
    return bucket


def options(bucket: Bucket, **more: object) -> StoreOptions:
    return StoreOptions(**{"endpoint_url": bucket.server.endpoint, **more})  # type: ignore[arg-type]


def refusal(target: str, store: StoreOptions, deep: bool = False) -> str:
    with pytest.raises(NotReadableError) as caught:
        read_target(target, store, deep)
    for secret in (KEY.secret_access_key, KEY.access_key_id):
        assert secret not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("end", ["", "/", "/saved_model.pb"])
def test_a_bucket_says_what_the_folder_says(put: Bucket, model: dict[str, bytes], end: str):
    version = read_target(f"s3://{put.name}/{PATH}{end}", options(put), deep=True)
    assert version.name == f"s3://{put.name}/{PATH}"
    assert version.layout.reason is Reason.Complete
    assert version.listing == {key: len(body) for key, body in model.items()}
    assert version.facts is not None
    assert version.facts.graphs[0].signatures.keys() == {"serving_default"}
    assert version.damaged == ()
    assert version.extras.fingerprint is not None
    assert version.open("saved_model.pb").read(0, 10) == model["saved_model.pb"][:10]


def test_the_root_of_a_bucket_can_be_a_version(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree("", model)
    assert read_target(f"s3://{bucket.name}", options(bucket)).layout.complete


def test_the_command_takes_a_url(put: Bucket):
    argv = ["inspect", f"s3://{put.name}/{PATH}", "--endpoint-url", put.server.endpoint]
    done = CliRunner().invoke(main, [*argv, "--deep", "-o", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["damaged"] == []
    gone = CliRunner().invoke(main, [argv[0], f"{argv[1]}0", *argv[2:]])
    assert (gone.exit_code, gone.stdout) == (4, "")
    assert "there is nothing under" in gone.stderr


def large_graph(constant: int = 0, nodes: int = 0) -> bytes:
    """x → y, with an inlined constant of so many bytes and so many further nodes."""
    tail = signature("serving_default", {"x": tensor("x:0")}, {"y": tensor("y:0")})
    more = b"".join(
        node(f"layer_{n}/with/a/name", f"Op{n % 50}", text(3, "x" * 200)) for n in range(nodes)
    )
    weights = message(5, text(1, "value"), message(2, message(8, message(4, bytes(constant)))))
    body = node("x", "Placeholder") + node("c", "Const", weights) + node("y", "Identity") + more
    return saved_model(tail, nodes=body)


def test_signatures_of_a_large_file_cost_kilobytes(bucket: Bucket):
    bucket.put("1/saved_model.pb", large_graph(constant=64 * MIB))
    tracemalloc.start()
    try:
        version = read_target(f"s3://{bucket.name}/1", options(bucket))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert version.listing["saved_model.pb"] > 64 * MIB
    assert version.facts is not None
    assert version.facts.graphs[0].ops == {"Const": 1, "Identity": 1, "Placeholder": 1}
    assert version.facts.graphs[0].signatures.keys() == {"serving_default"}
    assert version.bytes_read < MIB
    assert version.reads <= 5
    assert peak < 20 * MIB


def test_an_op_list_is_streamed(bucket: Bucket):
    nodes = 120_000
    data = large_graph(nodes=nodes)
    bucket.put("1/saved_model.pb", data)
    tracemalloc.start()
    try:
        version = read_target(f"s3://{bucket.name}/1", options(bucket))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert version.facts is not None
    assert version.facts.graphs[0].nodes == nodes + 3
    assert len(data) <= version.bytes_read < len(data) + 3 * MIB
    assert version.reads < 25
    assert peak < 20 * MIB < len(data)  # botocore's own models take most of it


def test_deep_reads_in_few_ranges(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree("1/", model)
    shallow = read_target(f"s3://{bucket.name}/1", options(bucket))
    deep = read_target(f"s3://{bucket.name}/1", options(bucket), deep=True)
    shards = sum(shallow.bundle.shard_sizes) if shallow.bundle else 0
    assert (deep.bytes_read, deep.reads) == (shallow.bytes_read + shards, shallow.reads + 1)


def test_a_folder_of_versions(put: Bucket, model: dict[str, bytes]):
    put.put("models/flowers/10/saved_model.pb", model["saved_model.pb"])
    text_ = refusal(f"s3://{put.name}/models/flowers", options(put))
    assert text_.endswith("is no version directory: there is no saved_model.pb in it; it holds the "
                          "versions 10, 7: name one of them")  # fmt: skip
    assert "it holds" not in refusal(f"s3://{put.name}/models", options(put))


def test_thousands_of_versions_cost_few_pages(bucket: Bucket):
    """Not all of their files: one page of keys, two of names."""
    bucket.place_tree("models/", {f"{n}/saved_model.pb": b"" for n in range(1, 1501)})
    place = open_bucket(f"s3://{bucket.name}/models", options(bucket))
    asked: list[str] = []
    events = place._store._client.meta.events
    events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    with pytest.raises(NotReadableError) as caught:
        place.listing()
    assert "versions 1500, 1499, 1498, 1497, 1496, …: name one" in str(caught.value)
    assert len(asked) == 3


def test_many_assets_before_the_graph(bucket: Bucket, model: dict[str, bytes]):
    """They sort before saved_model.pb and fill the first page."""
    bucket.place_tree("1/", {f"assets.extra/{n:04d}": b"x" for n in range(1100)})
    bucket.put_tree("1/", model)
    assert read_target(f"s3://{bucket.name}/1", options(bucket)).layout.complete
    assert MAX_FILES > 1100


def test_no_key(monkeypatch: pytest.MonkeyPatch, put: Bucket):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    url = f"s3://{put.name}/{PATH}"
    assert refusal(url, options(put)).startswith("no AWS credentials: set AWS_PROFILE, or ")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "The config profile (nobody) could not be found" in refusal(url, options(put))
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    assert "Partial credentials" in refusal(url, options(put))


def test_a_profile(monkeypatch: pytest.MonkeyPatch, put: Bucket, tmp_path: Path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text(
        f"[shop]\naws_access_key_id={KEY.access_key_id}\n"
        f"aws_secret_access_key={KEY.secret_access_key}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile shop]\nregion=us-east-1\nendpoint_url={put.server.endpoint}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "shop")
    assert read_target(f"s3://{put.name}/{PATH}").layout.complete


def test_forbidden(monkeypatch: pytest.MonkeyPatch, put: Bucket):
    url = f"s3://{put.name}/{PATH}"
    assert "refuses anonymous access: allow it s3:ListBucket" in refusal(
        url, options(put, anonymous=True)
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    words = refusal(url, options(put))
    assert words.startswith("Forbidden: ")
    assert "the key of your AWS environment: correct AWS_SECRET_ACCESS_KEY (and --region)" in words
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "does not know the key of your AWS environment" in refusal(url, options(put))


def test_places_that_are_not_there(put: Bucket):
    assert refusal("s3://nobucket/7", options(put)).startswith(
        f"NoSuchBucket: there is no bucket nobucket at {put.server.endpoint}: correct the URL"
    )
    assert refusal(f"s3://{put.name}/nowhere", options(put)) == (
        f"there is nothing under s3://{put.name}/nowhere/: check the path; the bucket can be read"
    )
    away = refusal(f"s3://{put.name}/7", options(put, endpoint_url="http://127.0.0.1:1"))
    assert "cannot be reached: check --endpoint-url and the network" in away
    assert "names no bucket" in refusal("s3://", options(put))
    assert "Invalid endpoint: shop" in refusal("s3://b/7", options(put, endpoint_url="shop"))
    assert "gs:// cannot be read yet" in refusal("gs://b/7", options(put))


def test_tls(
    tls: tuple[S3Server, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    model: dict[str, bytes],
):  # fmt: skip
    server, pem = tls
    trusting = Bucket(server, "cli", ca_bundle=pem, folder=tmp_path)
    trusting.put_tree("7/", model)
    trusting.client.close()
    words = refusal("s3://cli/7", StoreOptions(endpoint_url=server.endpoint))
    assert words.startswith("Unreachable: the certificate of bucket cli at ")
    assert words.endswith("set AWS_CA_BUNDLE to the certificates that signed it")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "trusted.pem"))
    assert read_target("s3://cli/7", StoreOptions(endpoint_url=server.endpoint)).layout.complete


def test_overwritten_while_it_is_read(put: Bucket, model: dict[str, bytes]):
    version = read_target(f"s3://{put.name}/{PATH}", options(put))
    put.put(f"{PATH}/saved_model.pb", model["saved_model.pb"] + b"\0")
    with pytest.raises(NotReadableError, match="ObjectChanged: an object of bucket"):
        version.open("saved_model.pb").read(0, 10)
    put.delete(f"{PATH}/saved_model.pb")
    with pytest.raises(NotReadableError, match="ObjectGone: an object of bucket"):
        version.open("saved_model.pb").read(0, 10)


def test_a_connection_that_breaks(put: Bucket, model: dict[str, bytes]):
    """Once: tried again and read. Always: an error, never half an answer."""
    key = f"{PATH}/variables/variables.data-00000-of-00001"
    put.put(f"{PATH}/assets.extra/big", bytes(4 * MIB))
    for cuts in (1, 10**6):
        proxy = Proxy(put.server.port, limit=MIB, mode="cut", cuts=cuts)
        try:
            store = options(put, endpoint_url=proxy.endpoint)
            source = read_target(f"s3://{put.name}/{PATH}", store).open("assets.extra/big")
            with pytest.raises(NotReadableError, match="StorageUnavailable"):
                source.read(0, 4 * MIB)
            if cuts == 1:
                assert source.read(0, 4 * MIB) == bytes(4 * MIB)
        finally:
            proxy.close()
    assert put.file(key).is_file()


class _Elsewhere(BaseHTTPRequestHandler):
    """Answers that the bucket is somewhere else, in both of S3's ways."""

    seen: list[str] = []  # noqa: RUF012  # of all requests, on purpose
    location = ""

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = b"<Error><Code>PermanentRedirect</Code><Message>secret words</Message></Error>"
        self.send_response(301)
        self.send_header("Location", self.location)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_redirect_is_followed(put: Bucket, elsewhere: str):
    _Elsewhere.location = f"{put.server.endpoint}/{put.name}/?list-type=2"
    words = refusal(f"s3://{put.name}/{PATH}", options(put, endpoint_url=elsewhere))
    assert "answers from another place: set --region to the bucket's region" in words
    assert "secret words" not in words
    assert _Elsewhere.seen
