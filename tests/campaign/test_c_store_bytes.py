"""C: what the bucket holds is damaged, hostile or too much. What fetcher and discovery make of it.

`savedmodel fetch` as the process that the init container runs, and one look at a bucket on a real S3
server; no cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign_case import Seen, case
from watched_bucket import PREFIX, Watched

from bucket_server import KEY, Bucket
from lab.injection.store_faults import Corrupt, Delay, Match, Refuse, Truncate
from lab.injection.store_proxy import StoreProxy
from savedmodel_operator.api.golden import Budgets
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView, VersionView
from savedmodel_operator.gate.budgets import check_size
from savedmodel_operator.storage.discover import MAX_OBJECTS, NEWEST, discover
from savedmodel_operator.storage.lock import encode_lock

Model = dict[str, bytes]
SHARD = "variables/variables.data-00000-of-00001"
FETCH = "from savedmodel_operator.cli.fetch import fetch; fetch()"
MIB = 1024 * 1024


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[StoreProxy]:
    with StoreProxy(bucket.server.endpoint) as made:
        yield made


def look(bucket: Bucket) -> SourceView:
    """Two looks, so that what is complete has settled."""
    first = discover(bucket.store(), PREFIX)
    return discover(bucket.store(), PREFIX, previous=first)


class Fetch:
    """`savedmodel fetch` of version 1 through a proxy."""

    def __init__(self, bucket: Bucket, model: Model, proxy: StoreProxy, folder: Path) -> None:
        bucket.put_tree(f"{PREFIX}1/", model)
        lock = look(bucket).versions[0].lock
        assert lock is not None
        self.models, self._words = folder / "models", folder / "last-words"
        file = folder / "lock.json.gz"
        file.write_bytes(encode_lock(lock))
        self._argv = [sys.executable, "-c", FETCH, "--lock", str(file)]
        self._argv += ["--destination", str(self.models), "--endpoint", proxy.endpoint]
        self._argv += ["--termination-log", str(self._words)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        key = {
            "AWS_ACCESS_KEY_ID": KEY.access_key_id,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
        }
        self._process = subprocess.Popen(
            self._argv, env={**os.environ, **key}, stderr=subprocess.PIPE
        )

    def end(self) -> tuple[int, dict[str, str]]:
        """Exit code and last words."""
        assert self._process is not None
        try:
            self._process.communicate(timeout=240)
        finally:
            self._process.kill()
        said: dict[str, str] = json.loads(self._words.read_text())
        return self._process.returncode, said

    def run(self) -> tuple[int, dict[str, str]]:
        self.start()
        return self.end()

    @property
    def visible(self) -> list[str]:
        """What a serving container would find."""
        return [path.name for path in self.models.glob("[!.]*")]


@pytest.fixture
def fetch(bucket: Bucket, model: Model, proxy: StoreProxy, tmp_path: Path) -> Fetch:
    return Fetch(bucket, model, proxy, tmp_path)


@case(
    "C8",
    injection="one bit of the weights turned over on the way: once, and each time",
    expected="once: discarded, asked again, whole; each time: asked twice, ChecksumMismatch, "
    "terminal (exit 1), nothing visible",
    where="process",
    quick=True,
)
def test_c8_wrong_checksums(fetch: Fetch, proxy: StoreProxy, seen: Seen):
    weights = Match(("GET",), key=f"*/{SHARD}")
    with proxy.inject(Corrupt(7), weights) as always:
        code, said = fetch.run()
        assert (code, said["reason"], fetch.visible) == (1, Reason.ChecksumMismatch, [])
        assert SHARD in said["message"]
        assert always.hits == 2
    with proxy.inject(Corrupt(7), weights, times=1) as once:
        code, _ = fetch.run()
        assert (code, once.hits, fetch.visible) == (0, 1, ["1"])
    seen.say("damaged twice: ChecksumMismatch, exit 1; damaged once: fetched at the second asking")


@case(
    "C6",
    injection="an object deleted while the fetcher waits for its bytes",
    expected="ObjectGone, exit 1, nothing visible",
    where="process",
)
def test_c6_an_object_vanishes_under_the_fetcher(
    fetch: Fetch, bucket: Bucket, proxy: StoreProxy, seen: Seen
):
    with proxy.inject(Delay(600), Match(("GET",), key=f"*/{SHARD}"), times=1) as asked:
        fetch.start()
        assert asked.wait(1, 120)
        bucket.delete(f"{PREFIX}1/{SHARD}")
    code, said = fetch.end()
    assert (code, said["reason"], fetch.visible) == (1, Reason.ObjectGone, [])
    seen.say(f"“{said['message'].split(' in bucket')[0]} … was deleted”, exit 1")


@case(
    "C2",
    injection="HTTP 503 SlowDown for the fetcher's first 6 calls, then connections cut after 50 bytes",
    expected="backs off and gets there: exit 0",
    where="process",
)
def test_c2_the_fetcher_outlasts_throttling(fetch: Fetch, proxy: StoreProxy, seen: Seen):
    with (
        proxy.inject(Refuse(503, "SlowDown"), times=6) as slow,
        proxy.inject(Truncate(50), Match(key=f"*/{SHARD}"), times=2) as cut,
    ):
        code, said = fetch.run()
    assert (code, slow.hits, cut.hits) == (0, 6, 2), said
    assert fetch.visible == ["1"]
    seen.say(f"the fetcher: whole after 6 refusals and 2 cuts, {float(said['seconds']):.1f} s")


@case(
    "C11",
    injection="10,000 version directories",
    expected=f"the newest {NEWEST} considered; a look < 5 s and a few MiB (measured)",
    where="process",
)
async def test_c11_ten_thousand_versions(bucket: Bucket, seen: Seen):
    for number in range(10_000):
        bucket.place_tree(f"{PREFIX}{number}/", {"saved_model.pb": b"x"})
    store = bucket.store()
    try:
        begun = time.monotonic()
        first = discover(store, PREFIX)
        took = time.monotonic() - begun
        tracemalloc.start()
        again = discover(store, PREFIX, previous=first)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        store.close()
    assert [v.number for v in again.versions] == list(range(9999, 9999 - NEWEST, -1))
    assert peak < 32 * MIB
    assert took < 60
    seen.say(f"a look takes {took:.2f} s and {peak / MIB:.1f} MiB at most")


@case(
    "C12",
    injection="directories -1, +1, 2^63, Unicode digits, v1, 1.tmp, 007, and 8 beside 08",
    expected="007 is version 7; 8 and 08 are Ambiguous; the others are ignored and named",
    where="process",
)
async def test_c12_names_that_are_no_versions(bucket: Bucket, model: Model, seen: Seen):
    ignored = ["-1", "+1", str(2**63), "٣", "v1", "1.tmp"]
    for name in [*ignored, "08", "8"]:
        bucket.put(f"{PREFIX}{name}/saved_model.pb", model["saved_model.pb"])
    bucket.put_tree(f"{PREFIX}007/", model)
    async with Watched(bucket.server.endpoint, bucket.name) as watched:
        seven = await watched.until_version(7, Reason.Complete)
        eight = watched.view.versions[0]
        assert (seven.directory, eight.number, eight.reason) == ("007", 8, Reason.Ambiguous)
        assert "08 and 8" in eight.message
        assert set(watched.view.ignored) == set(ignored)
    seen.say(f"version 7 in 007; “{eight.message}”; {len(ignored)} others ignored by name")


@case(
    "C15",
    injection="an object of 1 TiB; a version of more objects than a lock holds (25,000)",
    expected="SizeOverBudget by gate.budgets; TooManyObjects, listing ended early; both terminal",
    where="process",
)
def test_c15_too_large_and_too_many(bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen):
    bucket.put_tree(f"{PREFIX}1/", model)
    bucket.place_tree(f"{PREFIX}1/", {"assets.extra/huge": b""})
    os.truncate(bucket.file(f"{PREFIX}1/assets.extra/huge"), 2**40)
    huge = look(bucket).versions[0]
    assert (huge.reason, huge.bytes > 2**40) == (Reason.Complete, True)
    verdict = check_size(huge.bytes, huge.objects, Budgets(bytes="20Gi"))
    assert verdict is not None
    assert verdict.reason is Reason.SizeOverBudget
    tiny = {f"assets.extra/{n % 50}/{n:05}": b"" for n in range(25_000)}
    bucket.place_tree(f"{PREFIX}2/", {**model, **tiny})
    store = bucket.server.store(bucket.name, endpoint=proxy.endpoint)
    many = _newest(discover(store, PREFIX))
    pages = [e for e in proxy.log if e.request.listing and e.request.key == f"{PREFIX}2/"]
    assert (many.number, many.reason, many.lock) == (2, Reason.TooManyObjects, None)
    assert len(pages) <= MAX_OBJECTS // 1000 + 1
    seen.say(f"“{verdict.message}”; “{many.message}”, after {len(pages)} pages")


def _newest(view: SourceView) -> VersionView:
    return view.versions[0]


READ = """
import json, os, resource, sys, time
from savedmodel_operator.savedmodel import read_saved_model
from savedmodel_operator.savedmodel.wire import MalformedModel

class File:
    def __init__(self, path):
        self.file, self.size = os.open(path, os.O_RDONLY), os.stat(path).st_size

    def read(self, offset, length):
        return os.pread(self.file, length, offset)

begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_saved_model(File(sys.argv[1]))
    verdict = "read"
except MalformedModel as error:
    verdict = str(error)
took, peak = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([verdict, took, (peak - before) / 1024]))
"""


def _message(field: int, body: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _deep(levels: int) -> bytes:
    """TensorInfo within TensorInfo within …, as a composite tensor has them."""
    inner = b""
    for _ in range(levels):
        inner = _message(5, _message(2, inner))
    signature = _message(1, _message(1, b"x") + _message(2, inner))
    return _message(2, _message(5, _message(1, b"s") + _message(2, signature)))


HOSTILE_GRAPHS = {
    "nested 10,000 deep": lambda: _deep(10_000),
    "a length of 2^62": lambda: b"\x12" + _varint(2**62) + b"x" * 100,
    "a length one too long": lambda: _message(2, b"x" * 1000)[:-1],
    "50 MB of 0xff": lambda: b"\xff" * 50_000_000,
    "50 MB of empty fields": lambda: b"\x12\x00" * 25_000_000,
}


@case(
    "C16",
    injection=f"saved_model.pb: {', '.join(HOSTILE_GRAPHS)}",
    expected="MalformedModel in < 1 s of CPU and < 64 MiB",
    where="process",
)
@pytest.mark.parametrize("name", HOSTILE_GRAPHS)
def test_c16_hostile_graphs(tmp_path: Path, seen: Seen, name: str):
    file = tmp_path / "saved_model.pb"
    file.write_bytes(HOSTILE_GRAPHS[name]())
    argv = [sys.executable, "-c", READ, str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=True)
    verdict, took, peak = json.loads(done.stdout)
    assert verdict != "read"
    assert took < 1
    assert peak < 64
    seen.say(f"{name}: {took * 1000:.0f} ms, {peak:.0f} MiB")


@case(
    "C16",
    injection="a malformed saved_model.pb in the bucket",
    expected="MalformedModel, terminal: the same bytes are not read again",
    where="process",
)
def test_c16_is_told_once(bucket: Bucket, model: Model, seen: Seen):
    bucket.put_tree(f"{PREFIX}1/", {**model, "saved_model.pb": _deep(10_000)})
    view = look(bucket)
    assert view.versions[0].reason is Reason.MalformedModel
    assert discover(bucket.store(), PREFIX, previous=view).versions[0] is view.versions[0]
    seen.say(f"“{view.versions[0].message}”")
