"""Discovery against a real S3 server: which versions are seen, and what is said about them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from bucket_server import Bucket, S3Server
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import SourceView, VersionView
from savedmodel_operator.storage.discover import NEWEST, discover
from savedmodel_operator.storage.lock import decode_lock, encode_lock

PREFIX = "flowers/"


def look(bucket: Bucket, previous: SourceView | None = None, **more: Any) -> SourceView:
    return discover(bucket.store(), PREFIX, previous=previous, **more)


def settled(bucket: Bucket, **more: Any) -> SourceView:
    return look(bucket, look(bucket, **more), **more)


def only(view: SourceView) -> VersionView:
    assert len(view.versions) == 1, view
    return view.versions[0]


def test_a_version_is_complete_after_two_equal_polls(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}00000001/", model)
    first = only(look(bucket))
    assert (first.reason, first.number, first.directory) == (Reason.Settling, 1, "00000001")
    second = only(settled(bucket))
    assert second.reason is Reason.Complete
    assert second.fingerprint == first.fingerprint
    assert second.bytes == sum(map(len, model.values()))
    assert second.objects == len(model)
    assert second.facts is not None
    assert second.facts.graph(("serve",)).signatures["serving_default"].inputs.keys() == {"x"}


def test_a_graph_as_text_is_read_alike(
    bucket: Bucket, model: dict[str, bytes], text_model: dict[str, bytes]
):
    bucket.put_tree(f"{PREFIX}1/", model)
    bucket.put_tree(f"{PREFIX}2/", text_model)
    text, binary = settled(bucket).versions
    assert (text.number, text.reason, binary.reason) == (2, Reason.Complete, Reason.Complete)
    assert text.facts is not None
    assert binary.facts is not None
    graph = ("serve",)
    assert text.facts.graph(graph).signatures == binary.facts.graph(graph).signatures
    assert text.facts.graph(graph).ops == binary.facts.graph(graph).ops


def test_the_lock_lists_exactly_the_objects(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    lock = only(settled(bucket)).lock
    assert lock is not None
    assert {o.key: o.size for o in lock.objects} == {k: len(b) for k, b in model.items()}
    assert lock.prefix == "flowers/1/"
    assert all(o.checksum and o.version_id is None for o in lock.objects)
    assert decode_lock(encode_lock(lock)) == lock


def test_a_versioned_bucket_locks_object_versions(
    versioned_bucket: Bucket, model: dict[str, bytes]
):
    versioned_bucket.put_tree(f"{PREFIX}1/", model)
    lock = only(settled(versioned_bucket)).lock
    assert lock is not None
    assert all(o.version_id for o in lock.objects)


def test_a_growing_upload_never_settles(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    view = look(bucket)
    for part in range(3):
        bucket.put(f"{PREFIX}1/assets.extra/{part}", b"x")
        view = look(bucket, view)
        assert only(view).reason is Reason.Settling


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("saved_model.pb", "saved_model.pb"),
        ("variables/variables.data-00000-of-00001", "variables.data-00000-of-00001"),
        ("variables/variables.index", "variables.index"),
    ],
)
def test_a_torn_upload_is_incomplete(
    bucket: Bucket, model: dict[str, bytes], missing: str, named: str
):
    bucket.put_tree(f"{PREFIX}1/", {k: b for k, b in model.items() if k != missing})
    view = only(settled(bucket))
    assert view.reason is Reason.Incomplete
    assert named in view.message
    assert view.lock is None


def test_a_missing_asset_is_incomplete(bucket: Bucket, model: dict[str, bytes]):
    asset = next(k for k in model if k.startswith("assets/"))
    bucket.put_tree(f"{PREFIX}1/", {k: b for k, b in model.items() if k != asset})
    view = only(settled(bucket))
    assert (view.reason, asset in view.message) == (Reason.Incomplete, True)


def test_a_malformed_graph_is_told_and_not_read_again(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", {**model, "saved_model.pb": b"\xff" * 100})
    view = settled(bucket)
    assert only(view).reason is Reason.MalformedModel
    assert look(bucket, view).versions[0] is view.versions[0]


def test_the_ready_marker_counts_and_is_no_part(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    without = only(settled(bucket, ready_marker="_SUCCESS"))
    assert (without.reason, "_SUCCESS" in without.message) == (Reason.Settling, True)
    bucket.put(f"{PREFIX}1/_SUCCESS", b"")
    ready = only(look(bucket, ready_marker="_SUCCESS"))
    assert (ready.reason, ready.fingerprint) == (Reason.Complete, without.fingerprint)
    assert ready.lock is not None
    assert "_SUCCESS" not in {o.key for o in ready.lock.objects}


def test_prefixes_end_in_a_slash(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    bucket.put_tree(f"{PREFIX}10/", {**model, "assets.extra/ten": b"10"})
    bucket.put_tree("flowersx/11/", model)
    bucket.put_tree("flowers2/12/", model)
    view = settled(bucket)
    assert [(v.number, v.objects) for v in view.versions] == [(10, len(model) + 1), (1, len(model))]


def test_names_that_are_no_versions_are_ignored_and_named(bucket: Bucket, model: dict[str, bytes]):
    names = ["-1", "+1", "v1", "1.tmp", ".tmp-5", str(2**63), "٣"]
    for name in [*names, "007", "08", "8"]:
        bucket.put(f"{PREFIX}{name}/saved_model.pb", b"x")
    view = look(bucket)
    assert [(v.number, v.reason) for v in view.versions] == [
        (8, Reason.Ambiguous),
        (7, Reason.Settling),
    ]
    assert "08 and 8" in view.versions[0].message
    assert set(view.ignored) == set(names)


def test_hostile_keys_are_refused(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", {**model, "assets/a\\b": b"x"})
    view = only(settled(bucket))
    assert (view.reason, "backslash" in view.message) == (Reason.HostileKey, True)


def test_folders_of_consoles_are_no_objects(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    plain = only(settled(bucket))
    for folder in ("", "1/", "1/variables/", "1/empty/"):
        bucket.put(f"{PREFIX}{folder}", b"")
    view = only(settled(bucket))
    assert (view.reason, view.fingerprint) == (Reason.Complete, plain.fingerprint)


def test_the_same_bytes_again_are_the_same_identity(bucket: Bucket, model: dict[str, bytes]):
    bucket.put_tree(f"{PREFIX}1/", model)
    before = settled(bucket)
    bucket.put_tree(f"{PREFIX}1/", model)
    after = look(bucket, before)
    assert only(after) is only(before)
    bucket.put(f"{PREFIX}1/assets/words.txt", b"other")
    changed = only(look(bucket, after))
    assert changed.reason is Reason.Settling
    assert changed.fingerprint != only(before).fingerprint


def test_newest_ten_and_kept_ones(bucket: Bucket, model: dict[str, bytes]):
    for number in range(1, 15):
        bucket.put_tree(f"{PREFIX}{number}/", model)
    view = settled(bucket, keep=[2])
    assert [v.number for v in view.versions] == [*range(14, 14 - NEWEST, -1), 2]
    read = [v.number for v in view.versions if v.facts is not None]
    assert read == [14, 13, 2]
    assert {v.reason for v in view.versions if v.facts is None} <= {Reason.NotRead}


def test_ten_thousand_directories(bucket: Bucket):
    for number in range(10_000):
        folder = bucket.file(f"{PREFIX}{number}")
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"x")
        os.setxattr(folder / "saved_model.pb", "user.etag", b"9dd4e461268c8034f5c8564e155c67a6")
    view = look(bucket)
    assert [v.number for v in view.versions] == list(range(9999, 9989, -1))
    assert view.reason is Reason.SourceReady


def test_an_empty_bucket_is_empty(bucket: Bucket):
    view = look(bucket)
    assert (view.reason, view.versions) == (Reason.SourceEmpty, ())
    assert "no version directory" in view.message


def test_after_an_error_the_last_versions_stay(
    bucket: Bucket, server: S3Server, model: dict[str, bytes]
):
    bucket.put_tree(f"{PREFIX}1/", model)
    good = settled(bucket)
    view = discover(server.store("not-there"), PREFIX, previous=good)
    assert (view.reason, view.versions) == (Reason.NoSuchBucket, good.versions)
    again = discover(bucket.store(), PREFIX, previous=replace(view))
    assert only(again) is only(good)
