"""The fetch engine against a real S3 server: the right bytes, or a reason and nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from boto3.s3.transfer import TransferConfig

from bucket_server import HASTY, Bucket
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import Lock, LockedObject
from savedmodel_operator.storage.base import Access, Credentials, ObjectDetail, StorageError
from savedmodel_operator.storage.fetch import PART_BYTES, Fetched, fetch
from savedmodel_operator.storage.lock import fingerprint_objects
from savedmodel_operator.storage.s3 import md5_of_etag
from savedmodel_operator.storage.transfer import Transfer

from .proxy import Proxy

PREFIX = "flowers/7/"
MIB = 1024 * 1024


def make_lock(bucket: Bucket, heads: bool = True, prefix: str = PREFIX) -> Lock:
    """The lock of everything under the prefix, with or without HEADs on every object."""
    store = bucket.store()
    objects = []
    for item in store.objects(prefix):
        detail = store.detail(item) if heads else ObjectDetail(None, md5_of_etag(item.etag))
        key = item.key.removeprefix(prefix)
        objects.append(LockedObject(key, item.size, item.etag, detail.version_id, detail.checksum))
    found = tuple(objects)
    return Lock(bucket.name, prefix, 7, "7", fingerprint_objects(found), found)


def run(lock: Lock, access: Access, destination: Path, **more: Any) -> Fetched:
    return fetch(lock, destination, Transfer(access, lock.prefix, HASTY), **more)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(lock: Lock, access: Access, destination: Path) -> StorageError:
    """The error of a fetch that must fail, after which no version directory is to be seen."""
    with pytest.raises(StorageError) as caught:
        run(lock, access, destination)
    if destination.exists():
        assert [p.name for p in destination.iterdir() if not p.name.startswith(".")] == []
    return caught.value


def checksum_header(algorithm: str | None, body: bytes) -> dict[str, str]:
    """The uploader's own checksum, as a parameter of put_object."""
    if algorithm is None:
        return {}
    if algorithm == "CRC32":
        value = zlib.crc32(body).to_bytes(4, "big")
    elif algorithm == "CRC32C":
        value = google_crc32c.Checksum(body).digest()
    else:
        value = hashlib.new(algorithm.lower(), body).digest()
    return {f"Checksum{algorithm}": base64.b64encode(value).decode()}


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_version_arrives_as_it_is(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    files = {**model, "assets.extra/empty": b"", "assets.extra/sp ace %25 ü+&=#?~": b"x" * 5}
    bucket.put_tree(PREFIX, files)
    done = run(make_lock(bucket), bucket.access, tmp_path)
    assert done.path == tmp_path / "7"
    assert tree(tmp_path) == {f"7/{key}": body for key, body in files.items()}
    assert (done.objects, done.bytes) == (len(files), sum(map(len, files.values())))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", None])
def test_large_objects_in_ranges(bucket: Bucket, tmp_path: Path, algorithm: str | None):
    big = noise(1, 3 * PART_BYTES + 12345)
    bucket.put(f"{PREFIX}variables/data", big, **checksum_header(algorithm, big))
    lock = make_lock(bucket)
    wanted = (algorithm or "MD5").lower()
    assert str(lock.objects[0].checksum).split(":")[0] == wanted
    run(lock, bucket.access, tmp_path)
    assert (tmp_path / "7/variables/data").read_bytes() == big


@pytest.mark.parametrize("part", [5 * MIB, 20 * MIB])
@pytest.mark.parametrize("damaged", [False, True])
def test_multipart_uploads(bucket: Bucket, tmp_path: Path, part: int, damaged: bool):
    """boto3's own uploader leaves a composite CRC32: part by part it is verified all the same."""
    body = noise(4, 47 * MIB + 1)
    config = TransferConfig(multipart_threshold=part, multipart_chunksize=part)
    bucket.client.upload_fileobj(
        io.BytesIO(body),
        bucket.name,
        f"{PREFIX}data",
        ExtraArgs={"ChecksumAlgorithm": "CRC32"},
        Config=config,
    )
    lock = make_lock(bucket)
    assert str(lock.objects[0].checksum).endswith(f"@{part}")
    if not damaged:
        run(lock, bucket.access, tmp_path)
        assert (tmp_path / "7/data").read_bytes() == body
        return
    with bucket.file(f"{PREFIX}data").open("r+b") as file:
        file.seek(30 * MIB)
        file.write(bytes([body[30 * MIB] ^ 1]))
    assert refused(lock, bucket.access, tmp_path).reason is Reason.ChecksumMismatch


def test_object_versions_are_fetched(versioned_bucket: Bucket, tmp_path: Path):
    versioned_bucket.put(f"{PREFIX}saved_model.pb", b"first")
    lock = make_lock(versioned_bucket)
    versioned_bucket.put(f"{PREFIX}saved_model.pb", b"other")
    run(lock, versioned_bucket.access, tmp_path)
    assert tree(tmp_path) == {"7/saved_model.pb": b"first"}


def test_two_thousand_small_objects(bucket: Bucket, tmp_path: Path):
    files = {f"assets/{n % 40}/{n}": noise(n, 200) for n in range(2000)}
    bucket.place_tree(PREFIX, files)
    run(make_lock(bucket, heads=False), bucket.access, tmp_path)
    assert tree(tmp_path / "7") == files


def test_a_second_run_asks_for_nothing(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    bucket.put_tree(PREFIX, model)
    lock = make_lock(bucket)
    run(lock, bucket.access, tmp_path)
    dead = replace(bucket.access, endpoint="http://127.0.0.1:1")
    assert run(lock, dead, tmp_path).objects == 0


def test_a_wrong_directory_is_replaced(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    bucket.put_tree(PREFIX, model)
    lock = make_lock(bucket)
    run(lock, bucket.access, tmp_path)
    (tmp_path / "7/saved_model.pb").write_bytes(b"short")
    (tmp_path / "7/foreign").write_bytes(b"x")
    run(lock, bucket.access, tmp_path)
    assert tree(tmp_path) == {f"7/{key}": body for key, body in model.items()}


def test_an_overwritten_object_is_object_changed(bucket: Bucket, tmp_path: Path):
    bucket.put(f"{PREFIX}a", b"one")
    bucket.put(f"{PREFIX}b", b"two")
    lock = make_lock(bucket)
    bucket.put(f"{PREFIX}b", b"TWO")
    error = refused(lock, bucket.access, tmp_path)
    assert (error.reason, error.transient) == (Reason.ObjectChanged, False)
    assert error.message.startswith("b in bucket ")


@pytest.fixture
def held(bucket: Bucket) -> Iterator[Proxy]:
    proxy = Proxy(bucket.server.port, limit=20 * MIB)
    yield proxy
    proxy.close()


def test_overwritten_in_the_middle(bucket: Bucket, held: Proxy, tmp_path: Path):
    """The first ranges are through when the object changes: no mixture ever gets its name."""
    bucket.put(f"{PREFIX}data", noise(1, 8 * PART_BYTES))
    lock = make_lock(bucket)
    access = replace(bucket.access, endpoint=held.endpoint)

    def overwrite() -> None:
        assert held.reached.wait(30)
        bucket.put(f"{PREFIX}data", noise(2, 8 * PART_BYTES))
        held.release.set()

    writer = threading.Thread(target=overwrite)
    writer.start()
    with pytest.raises(StorageError) as caught:
        fetch(lock, tmp_path, Transfer(access, lock.prefix), workers=2)
    writer.join()
    assert caught.value.reason is Reason.ObjectChanged
    assert not (tmp_path / "7").exists()


def test_a_deleted_object_is_object_gone(bucket: Bucket, tmp_path: Path):
    bucket.put(f"{PREFIX}a", b"one")
    lock = make_lock(bucket)
    bucket.delete(f"{PREFIX}a")
    assert refused(lock, bucket.access, tmp_path).reason is Reason.ObjectGone


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256", None])
@pytest.mark.parametrize("size", [1000, 2 * PART_BYTES + 7])
def test_damaged_bytes_are_checksum_mismatch(
    bucket: Bucket, tmp_path: Path, algorithm: str | None, size: int
):
    """One flipped bit on the server's disk, with size and ETag as they were."""
    body = noise(3, size)
    bucket.put(f"{PREFIX}data", body, **checksum_header(algorithm, body))
    lock = make_lock(bucket)
    with bucket.file(f"{PREFIX}data").open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))
    error = refused(lock, bucket.access, tmp_path)
    assert error.reason is Reason.ChecksumMismatch
    assert (algorithm or "md5").lower() in error.message


def test_a_checksum_of_the_lock_is_believed_over_the_store(bucket: Bucket, tmp_path: Path):
    bucket.put(f"{PREFIX}a", b"one")
    lock = make_lock(bucket)
    lie = base64.b64encode(hashlib.sha256(b"two").digest()).decode()
    wrong = replace(lock, objects=(replace(lock.objects[0], checksum=f"sha256:{lie}"),))
    assert refused(wrong, bucket.access, tmp_path).reason is Reason.ChecksumMismatch


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"credentials": Credentials("AKIDNOBODY", "x")}, Reason.Forbidden, "Secret storage"),
        ({"credentials": Credentials("AKIDTEST", "wrong")}, Reason.Forbidden, "Secret storage"),
        ({"credentials": None, "anonymous": True}, Reason.Forbidden, "anonymous access"),
        ({"bucket": "not-there"}, Reason.NoSuchBucket, "bucket not-there"),
        ({"endpoint": "http://127.0.0.1:1"}, Reason.StorageUnavailable, "does not answer"),
    ],
)
def test_what_keeps_it_from_the_store(
    bucket: Bucket, tmp_path: Path, changes: dict[str, Any], reason: Reason, said: str
):
    bucket.put(f"{PREFIX}a", b"one")
    error = refused(make_lock(bucket), replace(bucket.access, **changes), tmp_path)
    assert error.reason is reason
    assert said in error.message
    for secret in ("AKID", "wrong", "a-secret-of-the-tests", "<Code>"):
        assert secret not in error.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_known_before(bucket: Bucket, small_disk: Path):
    bucket.put(f"{PREFIX}a", noise(1, 5 * MIB))
    error = refused(make_lock(bucket), bucket.access, small_disk)
    assert error.reason is Reason.DiskFull
    assert "needs 5 MiB more" in error.message


def test_a_disk_that_fills_up_meanwhile(bucket: Bucket, small_disk: Path):
    """Room for the bytes, not for as many files: the write itself fails."""
    bucket.place_tree(PREFIX, {f"assets/{n}": b"x" for n in range(1500)})
    lock = make_lock(bucket, heads=False)
    error = refused(lock, bucket.access, small_disk)
    assert error.reason is Reason.DiskFull


def test_cut_connections_are_resumed(bucket: Bucket, tmp_path: Path):
    body = noise(5, 2 * PART_BYTES)
    bucket.put(f"{PREFIX}data", body, **checksum_header("CRC32C", body))
    lock = make_lock(bucket)
    proxy = Proxy(bucket.server.port, limit=3 * MIB, mode="cut", cuts=3)
    try:
        access = replace(bucket.access, endpoint=proxy.endpoint)
        fetch(lock, tmp_path, Transfer(access, lock.prefix))
    finally:
        proxy.close()
    assert proxy.reached.is_set()
    assert (tmp_path / "7/data").read_bytes() == body


def test_a_store_that_always_breaks_is_unavailable(bucket: Bucket, tmp_path: Path):
    bucket.put(f"{PREFIX}data", noise(5, PART_BYTES))
    lock = make_lock(bucket)
    proxy = Proxy(bucket.server.port, limit=1 * MIB, mode="cut", cuts=10**6)
    try:
        error = refused(lock, replace(bucket.access, endpoint=proxy.endpoint), tmp_path)
    finally:
        proxy.close()
    assert (error.reason, error.transient) == (Reason.StorageUnavailable, True)


def test_leftovers_of_other_versions_go(bucket: Bucket, model: dict[str, bytes], tmp_path: Path):
    stale = tmp_path / ".staging-0123456789abcdef" / "tree"
    stale.mkdir(parents=True)
    (stale / "x").write_bytes(b"x")
    bucket.put_tree(PREFIX, model)
    run(make_lock(bucket), bucket.access, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["7"]


def test_a_hostile_lock_writes_nothing(bucket: Bucket, tmp_path: Path):
    bucket.put(f"{PREFIX}a", b"one")
    lock = make_lock(bucket)
    evil = replace(lock, objects=(replace(lock.objects[0], key="../../evil"),))
    assert refused(evil, bucket.access, tmp_path / "models").reason is Reason.HostileKey
    assert list(tmp_path.iterdir()) == []
