"""Tensor checksums against bundles that TensorFlow's own writer made: all whole, any flip found."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.cli.folder import FileSource
from savedmodel_operator.savedmodel import BytesSource, MalformedModel, read_bundle_index
from savedmodel_operator.savedmodel.bundle import BundleEntry, BundleIndex, mask
from savedmodel_operator.savedmodel.checksum import check_shard, find_damage

CASES = ("numbers", "strings", "variants", "slices")


class Bundle:
    """An index with its shards in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_bundle_index((folder / "variables" / "variables.index").read_bytes())
        self.shards = {key: (folder / key).read_bytes() for key in self.index.shards}

    def damaged(self, chunk: int = 1 << 20, **changed: bytes) -> list[str]:
        shards = self.shards | changed
        found = find_damage(self.index, lambda key: BytesSource(shards[key]), chunk=chunk)
        return [damage.tensor for damage in found]

    def flipped(self, key: str, position: int, bit: int = 0) -> list[str]:
        shard = bytearray(self.shards[key])
        shard[position] ^= 1 << bit
        return self.damaged(**{key: bytes(shard)})


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    script = Path(__file__).with_name("make_bundles.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {case: Bundle(folder / case) for case in CASES}


@pytest.mark.parametrize("chunk", [1 << 20, 4093])
@pytest.mark.parametrize("case", CASES)
def test_what_tensorflow_wrote_is_whole(bundles: dict[str, Bundle], case: str, chunk: int):
    assert bundles[case].damaged(chunk) == []
    kinds = {entry.dtype for entry in bundles[case].index.entries}
    assert {"strings": "DT_STRING", "variants": "DT_VARIANT"}.get(case, "DT_FLOAT") in kinds


def test_the_smallest_reads_give_the_same(bundles: dict[str, Bundle]):
    for case in ("variants", "slices"):
        assert bundles[case].damaged(1) == []


@pytest.mark.parametrize("case", CASES)
def test_a_flip_in_every_tensor_is_found_there(bundles: dict[str, Bundle], case: str):
    bundle = bundles[case]
    keys = list(bundle.index.shards)
    for entry in bundle.index.entries:
        for place in {0, entry.size // 2, entry.size - 1} if entry.size else ():
            assert bundle.flipped(keys[entry.shard], entry.offset + place) == [entry.name]


@given(case=st.sampled_from(("strings", "variants")), where=st.floats(0, 1), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=150)
def test_any_flipped_bit_is_found(
    bundles: dict[str, Bundle], case: str, where: float, bit: int
) -> None:
    key, shard = next(iter(bundles[case].shards.items()))
    position = min(int(where * len(shard)), len(shard) - 1)
    hit = [e.name for e in bundles[case].index.entries if e.offset <= position < e.offset + e.size]
    assert bundles[case].flipped(key, position, bit) == hit


def test_the_words(bundles: dict[str, Bundle]):
    bundle = bundles["slices"]
    key = next(iter(bundle.shards))
    part = next(e for e in bundle.index.entries if e.part_of and e.offset)
    shard = bytearray(bundle.shards[key])
    shard[part.offset] ^= 4
    (damage,) = find_damage(bundle.index, lambda _: BytesSource(bytes(shard)))
    assert str(damage) == (
        f"{part.name}: bytes {part.offset} to {part.offset + part.size} of {key} "
        "do not have the checksum that the index has for them"
    )


def test_a_short_shard_is_damage_too(bundles: dict[str, Bundle]):
    bundle = bundles["numbers"]
    (key,) = bundle.shards
    last = max(bundle.index.entries, key=lambda e: e.offset + e.size)
    assert bundle.damaged(**{key: bundle.shards[key][:-1]}) == [last.name]
    assert len(bundle.damaged(**{key: b""})) == sum(1 for e in bundle.index.entries if e.size)


def test_a_file_that_shrinks_while_it_is_read(bundles: dict[str, Bundle]):
    class Shrinking(BytesSource):
        def read(self, offset: int, length: int) -> bytes:
            return super().read(offset, length)[:-1]

    bundle = bundles["slices"]
    found = find_damage(bundle.index, lambda key: Shrinking(bundle.shards[key]))
    assert [d.tensor for d in found] == [e.name for e in bundle.index.entries if e.size]


def test_only_the_shards_that_are_asked_for(bundles: dict[str, Bundle]):
    def never(key: str) -> BytesSource:
        raise AssertionError(key)

    assert list(find_damage(bundles["numbers"].index, never, only=())) == []


def test_memory_does_not_grow_with_the_tensors(bundles: dict[str, Bundle]):
    bundle = bundles["numbers"]
    assert sum(bundle.index.shard_sizes) > 12_000_000
    tracemalloc.start()
    try:
        found = find_damage(
            bundle.index, lambda key: FileSource(bundle.folder / key), chunk=256 * 1024
        )
        assert list(found) == []
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_tensors_over_the_same_bytes_are_refused():
    entries = tuple(BundleEntry(f"t{n}", "DT_FLOAT", (10,), 0, 0, 40, 0) for n in range(5))
    with pytest.raises(MalformedModel, match="share bytes"):
        list(find_damage(BundleIndex((40,), entries), lambda _: BytesSource(bytes(40))))


SHAPES = st.none() | st.lists(
    st.integers(-2, 3) | st.just(2**62), max_size=3
).map(tuple)  # fmt: skip


@given(data=st.binary(min_size=1, max_size=64), shape=SHAPES, kind=st.sampled_from("SV"))
@settings(deadline=None, max_examples=400)
def test_hostile_structures_are_damage_never_a_crash(
    data: bytes, shape: tuple[int, ...] | None, kind: str
) -> None:
    dtype = {"S": "DT_STRING", "V": "DT_VARIANT"}[kind]
    entry = BundleEntry("t", dtype, shape, 0, 0, len(data), 1)
    assert len(list(check_shard([entry], "k", BytesSource(data)))) == 1


@pytest.mark.parametrize("length", [b"\x80" * 11, b"\xff" * 9 + b"\x7f", b"\xff" * 9 + b"\x01"])
def test_lengths_beyond_all_bounds(length: bytes):
    for dtype in ("DT_STRING", "DT_VARIANT"):
        data = length + bytes(20)
        entry = BundleEntry("t", dtype, (1,), 0, 0, len(data), mask(0))
        assert list(check_shard([entry], "k", BytesSource(data)))


def test_a_wrong_dtype_in_the_index_is_not_whole(bundles: dict[str, Bundle]):
    bundle = bundles["strings"]
    entry = next(e for e in bundle.index.entries if e.name == "square")
    (key,) = bundle.shards
    source = BytesSource(bundle.shards[key])
    assert not list(check_shard([entry], key, source))
    assert list(check_shard([replace(entry, dtype="DT_INT8")], key, source))
    assert list(check_shard([replace(entry, shape=(2, 1))], key, source))
