"""A bit that flipped before the upload: the store vouches for it, the fetcher still refuses it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bucket_server import Bucket
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.plan.children import PodView, RevisionView
from savedmodel_operator.plan.health import find_complaint
from savedmodel_operator.savedmodel import BundleEntry, BundleIndex, read_bundle_index
from savedmodel_operator.storage import tensors
from savedmodel_operator.storage.lock import encode_lock

from .test_fetch import PREFIX, make_lock, refused, run, tree
from .test_fetch_command import last_words
from .test_fetch_command import run as run_command

INDEX, SHARD = "variables/variables.index", "variables/variables.data-00000-of-00001"


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.fixture
def index(model: dict[str, bytes]) -> BundleIndex:
    return read_bundle_index(model[INDEX])


def test_a_damaged_upload_never_gets_its_name(
    bucket: Bucket, model: dict[str, bytes], index: BundleIndex, tmp_path: Path
):
    for entry in index.entries:
        body = flipped(model[SHARD], entry.offset)
        bucket.put_tree(PREFIX, {**model, SHARD: body})
        lock = make_lock(bucket)
        assert next(o for o in lock.objects if o.key == SHARD).checksum  # the store vouches for it
        error = refused(lock, bucket.access, tmp_path)
        assert error.reason is Reason.TensorDamaged
        assert f"{entry.name}: bytes {entry.offset} to " in error.message
        left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
        assert "saved_model.pb" in left  # for the next run
        assert Path(SHARD).name not in left


def test_mended_on_the_way_the_next_run_asks_again(
    bucket: Bucket, model: dict[str, bytes], tmp_path: Path
):
    """Without a checksum of the store a shard that was damaged here is not believed for ever."""
    bucket.put_tree(PREFIX, model)
    lock = make_lock(bucket)
    unvouched = tuple(
        type(o)(o.key, o.size, o.etag, o.version_id, None) if o.key == SHARD else o
        for o in lock.objects
    )
    lock = type(lock)(
        lock.bucket, lock.prefix, lock.number, lock.directory, lock.fingerprint, unvouched
    )
    staged = tmp_path / f".staging-{lock.fingerprint[7:23]}" / "tree" / SHARD
    staged.parent.mkdir(parents=True)
    staged.write_bytes(flipped(model[SHARD], 0))
    assert refused(lock, bucket.access, tmp_path).reason is Reason.TensorDamaged
    run(lock, bucket.access, tmp_path)
    assert tree(tmp_path) == {f"7/{key}": body for key, body in model.items()}


def test_a_damaged_index(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    bucket.put_tree(PREFIX, {**model, INDEX: flipped(model[INDEX], 20)})
    error = refused(make_lock(bucket), bucket.access, tmp_path)
    assert error.reason is Reason.TensorDamaged
    assert "variables/variables.index, byte 0: a block does not have the checksum" in error.message


def test_no_variables_nothing_to_compare(
    bucket: Bucket, model: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    bucket.put(f"{PREFIX}saved_model.pb", model["saved_model.pb"])
    run(make_lock(bucket), bucket.access, tmp_path / "without")
    assert "have their checksums" not in caplog.text
    bucket.put_tree(PREFIX, model)
    run(make_lock(bucket), bucket.access, tmp_path / "with")
    assert f"{len(read_bundle_index(model[INDEX]).entries)} tensors, " in caplog.text


def test_shares_hold_every_tensor_once(index: BundleIndex):
    big = tensors.SHARE_BYTES // 3
    entries = tuple(
        BundleEntry(f"t{shard}-{n}", "DT_INT8", (big,), shard, n * big, big, 0)
        for n in range(10)
        for shard in range(2)
    )
    empty = BundleEntry("empty", "DT_INT8", (0,), 0, 0, 0, 0)
    found = list(tensors._shares(BundleIndex((10 * big, 10 * big), (*entries, empty))))
    assert sorted(e.name for _, share in found for e in share) == sorted(e.name for e in entries)
    assert all(f"data-0000{share[0].shard}-of-00002" in key for key, share in found)
    assert all(len({e.shard for e in share}) == 1 for _, share in found)
    assert len(found) == 6


def test_the_way_to_status(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    """Exit code 1, its own reason in the termination message, and a plan that ends the candidate."""
    bucket.put_tree(PREFIX, {**model, SHARD: flipped(model[SHARD], 5)})
    file = tmp_path / "lock"
    file.write_bytes(encode_lock(make_lock(bucket)))
    done = run_command(file, tmp_path / "models", bucket.server.endpoint)
    assert done.returncode == 1, done.stderr
    assert not (tmp_path / "models" / "7").exists()
    said = last_words(file)
    assert said["reason"] == "TensorDamaged"
    ended = {"terminated": {"exitCode": done.returncode, "message": json.dumps(said)}}
    status = {"initContainerStatuses": [{"restartCount": 1, "state": ended}]}
    view = PodView("flowers-v7-x", "u", None, False, False, {"status": status})
    complaint = find_complaint(RevisionView("r", pods=(view,)))
    assert complaint is not None
    assert (complaint.reason, complaint.fatal) == (Reason.TensorDamaged, True)
    assert f"of {SHARD} do not have the checksum" in complaint.message
    assert complaint.message.endswith("upload it again from its origin under a new number")
