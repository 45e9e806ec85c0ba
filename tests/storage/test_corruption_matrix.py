"""Every way a SavedModel is known to be broken, and where it is caught, each with its own reason.

The cases are those of TensorFlow's loader and of TensorFlow Serving's issues (#1086, #572, #631,
#1250, #1562): torn uploads, damaged files, files that say what is not so. TensorFlow Serving loads
many of them and fails the requests. Here each is caught before a pod starts: by the operator's
look at the bucket (`discover`), or by the static gate. One is not: a bit flip inside the weights
keeps every size, so it takes reading all bytes; `--deep` does, and the fetcher, which runs in the
pod but before the model server does (`test_fetch_tensors`).

Three readers must agree on every case: the CLI on a directory, the CLI on a bucket URL, and the
operator on the same bucket, behind a real S3 server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bucket_server import KEY, Bucket
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate
from savedmodel_operator.cli.reading import NotReadableError
from savedmodel_operator.cli.target import StoreOptions, read_target
from savedmodel_operator.gate import check_static
from savedmodel_operator.gate.warmup import check_warmup
from savedmodel_operator.savedmodel import BytesSource, ModelFacts, read_saved_model
from savedmodel_operator.storage.discover import discover

from .test_fetch import make_lock, refused

PREFIX = "flowers/"
PB, INDEX = "saved_model.pb", "variables/variables.index"
SHARD = "variables/variables.data-00000-of-00001"
WARMUP = "assets.extra/tf_serving_warmup_requests"

Files = dict[str, bytes]


class Case(NamedTuple):
    """What is done to a good version, and what every reader must then say."""

    damage: Callable[[Files, Files], Files]  # (good files, graph files of make_damaged)
    reason: Reason
    words: str


def without(*keys: str) -> Callable[[Files, Files], Files]:
    return lambda good, _: {k: b for k, b in good.items() if not k.startswith(keys)}


def put(key: str, change: Callable[[bytes], bytes]) -> Callable[[Files, Files], Files]:
    return lambda good, _: {**good, key: change(good[key])}


def graph(name: str) -> Callable[[Files, Files], Files]:
    return lambda good, made: {**good, PB: made[name]}


def flip(data: bytes, position: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def other_save(data: bytes) -> bytes:
    """The same architecture trained again: all sizes agree, the weights are others."""
    return bytes(reversed(data))


CASES = {
    "variables missing": Case(without("variables/"), Reason.Incomplete, "variables/ is missing"),
    "index missing": Case(without(INDEX), Reason.Incomplete, f"{INDEX} is missing"),
    "index empty": Case(put(INDEX, lambda _: b""), Reason.Incomplete, f"{INDEX} is empty"),
    "index truncated": Case(
        put(INDEX, lambda b: b[:-10]), Reason.MalformedModel, "the magic number at the end"
    ),
    "index cut short": Case(
        put(INDEX, lambda b: b[:40]), Reason.MalformedModel, "40 bytes are too short for an index"
    ),
    "index with a bad magic": Case(
        put(INDEX, lambda b: flip(b, -3)), Reason.MalformedModel, "the magic number at the end"
    ),
    "index with a bad block": Case(
        put(INDEX, lambda b: flip(b, 12)),
        Reason.MalformedModel,
        "a block does not have the checksum that was stored",
    ),
    "shard missing": Case(without(SHARD), Reason.Incomplete, f"{SHARD} is missing ("),
    "shard empty": Case(put(SHARD, lambda _: b""), Reason.Incomplete, f"{SHARD} has 0 of "),
    "shard truncated": Case(put(SHARD, lambda b: b[:-10]), Reason.Incomplete, " bytes"),
    "shard too long": Case(put(SHARD, lambda b: b + b"x"), Reason.Incomplete, "not from one save"),
    "shard with a flipped bit": Case(
        put(SHARD, lambda b: flip(b, 7)), Reason.TensorDamaged, "do not have the checksum"
    ),
    "shard of another save": Case(
        put(SHARD, other_save), Reason.TensorDamaged, "do not have the checksum"
    ),
    "pb truncated": Case(put(PB, lambda b: b[:-10]), Reason.MalformedModel, " are left"),
    "pb empty": Case(put(PB, lambda _: b""), Reason.Incomplete, f"{PB} is empty"),
    "pb missing": Case(without(PB), Reason.Incomplete, f"{PB} is missing"),
    "pb is something else": Case(
        put(PB, lambda _: b"<html>404</html>"), Reason.MalformedModel, "byte "
    ),
    "asset missing": Case(without("assets/"), Reason.Incomplete, "assets/"),
    "wrong tensor name": Case(graph("wrong_tensor_name"), Reason.TensorMissing, "nowhere:0"),
    "no serving_default": Case(
        graph("no_serving_default"), Reason.IncompatibleSignature, "serving_default"
    ),
    "no signatures": Case(graph("no_signatures"), Reason.NoSignatures, "no signature that clients"),
    "other tags": Case(graph("other_tags"), Reason.TagsMissing, "[serve, tpu]"),
    "input of another dtype": Case(
        graph("wrong_dtype"), Reason.IncompatibleSignature, "serving_default.inputs.x"
    ),
    "input of another shape": Case(
        graph("wrong_shape"), Reason.IncompatibleSignature, "serving_default.inputs.x"
    ),
    "warm-up truncated": Case(
        lambda good, made: {**good, WARMUP: made["warmup"][:-1]},
        Reason.WarmupUnusable,
        "record 1, byte 0: the file ends inside a record",
    ),
    "warm-up with a flipped bit": Case(
        lambda good, made: {**good, WARMUP: flip(made["warmup"], 20)},
        Reason.WarmupUnusable,
        "record 1, byte 0: its data does not have the checksum",
    ),
    "Python in the graph": Case(graph("python_function"), Reason.PythonOps, "EagerPyFunc"),
}


@pytest.fixture(scope="session")
def made(model: Files, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The graph files that say something wrong, by name."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / PB).write_bytes(model[PB])
    out = folder / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("make_damaged.py"), folder / PB, out],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="session")
def stable(model: Files) -> ModelFacts:
    return read_saved_model(BytesSource(model[PB]))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY.secret_access_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


Answer = tuple[Reason, str]


def by_gate(facts: ModelFacts, stable: ModelFacts, warmup: str) -> Answer:
    verdict = check_warmup(warmup, True) or check_static(facts, stable, Gate(), ("serve",))
    return verdict.reason, verdict.message


def by_cli(target: str, stable: ModelFacts, **options: str) -> Answer:
    """What the CLI makes of a version: `inspect --deep`, then `check`."""
    version = read_target(target, StoreOptions(**options), deep=True)
    if not version.layout.complete:
        return version.layout.reason, version.layout.message
    if version.damaged:
        return Reason.TensorDamaged, "; ".join(version.damaged)
    assert version.facts is not None
    warmup = version.extras.warmup
    return by_gate(version.facts, stable, warmup.problem if warmup else "")


def by_operator(bucket: Bucket, stable: ModelFacts) -> Answer:
    """What the operator makes of the newest version, before there is a pod."""
    store = bucket.store()
    view = discover(store, PREFIX, previous=discover(store, PREFIX))
    newest = view.versions[0]
    if not newest.complete:
        assert newest.lock is None
        return newest.reason, newest.message
    assert newest.facts is not None
    return by_gate(newest.facts, stable, newest.warmup)


def write_tree(folder: Path, files: Files) -> str:
    for key, body in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return str(folder)


def test_the_good_version_is_whole(
    model: Files, stable: ModelFacts, bucket: Bucket, tmp_path: Path, aws: None
):
    bucket.put_tree(f"{PREFIX}7/", model)
    passed = (Reason.GatePassed, by_gate(stable, stable, "")[1])
    assert by_cli(write_tree(tmp_path / "7", model), stable) == passed
    url = f"s3://{bucket.name}/{PREFIX}7"
    assert by_cli(url, stable, endpoint_url=bucket.server.endpoint) == passed
    assert by_operator(bucket, stable) == passed


@pytest.mark.parametrize("name", CASES)
def test_three_readers_agree(
    name: str,
    model: Files,
    made: Files,
    stable: ModelFacts,
    bucket: Bucket,
    tmp_path: Path,
    aws: None,
):
    damage, reason, words = CASES[name]
    files = damage(model, made)
    assert files != model
    bucket.put_tree(f"{PREFIX}7/", files)
    answer = by_cli(write_tree(tmp_path / "7", files), stable)
    assert (answer[0], words in answer[1]) == (reason, True), answer
    url = f"s3://{bucket.name}/{PREFIX}7"
    assert by_cli(url, stable, endpoint_url=bucket.server.endpoint) == answer
    if reason is not Reason.TensorDamaged:
        assert by_operator(bucket, stable) == answer
        return
    assert by_operator(bucket, stable)[0] is Reason.GatePassed  # sizes are all it sees
    error = refused(make_lock(bucket, prefix=f"{PREFIX}7/"), bucket.access, tmp_path / "pod")
    assert error.reason is Reason.TensorDamaged
    assert words in error.message


def test_each_case_has_its_own_sentence(
    model: Files, made: Files, stable: ModelFacts, tmp_path: Path
):
    said: dict[Answer, str] = {}
    for number, (name, case) in enumerate(CASES.items()):
        answer = by_cli(write_tree(tmp_path / str(number), case.damage(model, made)), stable)
        # A flipped bit and the weights of another save are the same to whoever counts bits.
        assert said.setdefault(answer, name) == name or answer[0] is Reason.TensorDamaged
    assert len(said) >= len(CASES) - 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong_dtype", "serving_default.inputs.x is string, and its node serving_default_x "
         "(Placeholder) makes float32: requests"),
        ("wrong_shape", "serving_default.inputs.x is [any, 5], and its node serving_default_x "
         "(Placeholder) makes [any, 4]: requests"),
        ("wrong_output_dtype", "serving_default.outputs.y is int64, and its node "),
        ("wrong_tensor_name", "nowhere:0"),
    ],
)  # fmt: skip
def test_a_first_version_is_held_to_its_own_graph(made: Files, name: str, words: str):
    """There is no stable to compare with; TensorFlow Serving loads these and fails the requests."""
    verdict = check_static(read_saved_model(BytesSource(made[name])), None, Gate(), ("serve",))
    wanted = Reason.TensorMissing if name == "wrong_tensor_name" else Reason.TensorMismatch
    assert (verdict.reason, words in verdict.message) == (wanted, True), verdict.message


def test_an_upload_under_way_is_not_looked_at(bucket: Bucket, model: Files, stable: ModelFacts):
    """rsync and multipart uploads arrive in any order (#572, #631): first whole, then still."""
    view = None
    store = bucket.store()
    for key in sorted(model, key=lambda k: k != PB):
        bucket.put(f"{PREFIX}7/{key}", model[key])
        view = discover(store, PREFIX, previous=view)
        assert view.versions[0].reason is Reason.Settling
        assert view.versions[0].lock is None
    assert discover(store, PREFIX, previous=view).versions[0].complete


def test_two_names_of_one_number(bucket: Bucket, model: Files, tmp_path: Path, aws: None):
    for name in ("7", "007"):
        bucket.put_tree(f"{PREFIX}{name}/", model)
        write_tree(tmp_path / name, model)
    newest = discover(bucket.store(), PREFIX).versions[0]
    assert (newest.reason, newest.message) == (
        Reason.Ambiguous,
        "version 7 is there as 007 and 7: delete all but one",
    )
    options = StoreOptions(endpoint_url=bucket.server.endpoint)
    for target in (str(tmp_path), f"s3://{bucket.name}/{PREFIX}"):
        with pytest.raises(NotReadableError, match="007 and 7 are one number"):
            read_target(target, options)


def test_a_whole_warm_up_is_welcome(
    bucket: Bucket, model: Files, made: Files, stable: ModelFacts, tmp_path: Path, aws: None
):
    files = {**model, WARMUP: made["warmup"]}
    bucket.put_tree(f"{PREFIX}7/", files)
    assert by_cli(write_tree(tmp_path / "7", files), stable)[0] is Reason.GatePassed
    assert by_operator(bucket, stable)[0] is Reason.GatePassed
    damaged = by_gate(stable, stable, "some problem")
    assert damaged[0] is Reason.WarmupUnusable
    assert check_warmup("some problem", enabled=False) is None


def test_names_that_are_no_versions(bucket: Bucket, model: Files):
    """TensorFlow Serving ignores them without a word (#1250)."""
    for name in ("v1", "0.1", ".tmp-5", "5.tmp"):
        bucket.put_tree(f"{PREFIX}{name}/", model)
    view = discover(bucket.store(), PREFIX)
    assert view.reason is Reason.SourceEmpty
    assert set(view.ignored) == {"v1", "0.1", ".tmp-5", "5.tmp"}
