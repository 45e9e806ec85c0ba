"""Torn, mixed and unreadable uploads; each case is a change to a real, complete model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.savedmodel import (
    BytesSource,
    MalformedModel,
    read_bundle_index,
    read_saved_model,
)
from savedmodel_operator.savedmodel.layout import Layout, check_layout
from unit.savedmodel.wire_builder import servable

INDEX, TEXT = "variables/variables.index", "saved_model.pbtxt"
Listing = dict[str, int]


def judge(zoo, name: str, change: Callable[[Listing], object], **marker: bool) -> Layout:
    """The layout after a change to the listing, files read as far as they are still there."""
    listing = zoo.listing(name)
    change(listing)
    there = "saved_model.pb" in listing or listing.get(TEXT)
    facts = read_saved_model(BytesSource(zoo.pb(name))) if there else None
    bundle = read_bundle_index(zoo.index(name)) if listing.get(INDEX) else None
    return check_layout(listing, facts, bundle, **marker)


def shard(listing: Listing) -> str:
    return next(key for key in sorted(listing) if "variables.data-" in key)


def grow(by: int) -> Callable[[Listing], None]:
    def change(listing: Listing) -> None:
        listing[shard(listing)] += by

    return change


def drop(prefix: str) -> Callable[[Listing], None]:
    def change(listing: Listing) -> None:
        for key in [k for k in listing if k.startswith(prefix)]:
            del listing[key]

    return change


def instead(key: str) -> Callable[[Listing], None]:
    def change(listing: Listing) -> None:
        listing[key] = listing.pop("saved_model.pb")

    return change


TORN = {
    "no pb": ("module", drop("saved_model.pb"), "saved_model.pb is missing"),
    "empty pb": ("module", lambda x: x.update({"saved_model.pb": 0}), "saved_model.pb is empty"),
    "empty text form": (
        "module",
        lambda x: (drop("saved_model.pb")(x), x.update({TEXT: 0})),
        "empty",
    ),
    "only the split form": ("module", instead("saved_model.cpb"), "does not load it"),
    "nothing at all": ("module", drop(""), "saved_model.pb is missing"),
    "no index": ("module", drop(INDEX), "variables.index is missing (the graph has 1 VarHandleOp)"),
    "no variables": ("module", drop("variables/"), "variables/ is missing"),
    "no variables in TF1": ("tf1_builder", drop("variables/"), "the graph has 2 VariableV2"),
    "no variables where none are used": (
        "large_constant",
        drop("variables/"),
        "TensorFlow 2 always writes it",
    ),
    "empty index": ("module", lambda x: x.update({INDEX: 0}), "variables.index is empty"),
    "no shard": ("module", lambda x: x.pop(shard(x)), "data-00000-of-00001 is missing ("),
    "one shard of several": ("sharded", lambda x: x.pop(shard(x)), "data-00000-of-0000"),
    "shard short by a byte": ("module", grow(-1), "bytes"),
    "shard of another save": ("module", grow(1), "not from one save"),
    "no asset": ("vocabulary", drop("assets/words.txt"), "assets/words.txt is missing"),
    "stray shard": (
        "frozen",
        lambda x: x.update({"variables/variables.data-00000-of-00001": 5}),
        "variables/variables.index is missing",
    ),
}


@pytest.mark.parametrize("case", TORN, ids=str)
def test_torn_uploads_are_incomplete(zoo, case):
    name, change, phrase = TORN[case]
    layout = judge(zoo, name, change)
    assert layout.reason is Reason.Incomplete
    assert phrase in layout.message
    assert not layout.complete


WHOLE = {
    "as it is": ("module", lambda x: None),
    "without fingerprint": ("module", drop("fingerprint.pb")),
    "TF1 without variables": ("frozen", drop("variables/")),
    "an empty asset": ("vocabulary", lambda x: x.update({"assets/words.txt": 0})),
    "pb and text form": ("module", lambda x: x.update({TEXT: 0})),
    "only the text form": ("module", instead(TEXT)),
    "folder markers": ("module", lambda x: x.update({"assets/": 0, "variables/": 0})),
    "further files": ("module", lambda x: x.update({"README.md": 10})),
}


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_whole_uploads_are_complete(zoo, case):
    name, change = WHOLE[case]
    layout = judge(zoo, name, change)
    assert layout.reason is Reason.Complete, layout.message


def test_the_ready_marker_is_waited_for(zoo):
    layout = judge(zoo, "module", lambda x: None, marker_ok=False)
    assert layout.reason is Reason.Incomplete
    assert layout.message == "the ready marker is missing"


def test_many_problems_are_counted_not_listed():
    facts = read_saved_model(BytesSource(_with_assets(12)))
    layout = check_layout({"saved_model.pb": 9}, facts, None)
    assert layout.message.endswith("assets/a03 is missing; assets/a04 is missing; and 7 more")
    assert len(layout.problems) == 12


def _with_assets(count: int) -> bytes:
    return servable(assets=tuple(f"a{i:02d}" for i in range(count)))


@pytest.mark.parametrize("which", ["facts", "bundle"])
def test_malformed_files_are_named(zoo, which):
    broken = MalformedModel(17, "it is broken", "saved_model.pb")
    facts = read_saved_model(BytesSource(zoo.pb("module")))
    bundle = read_bundle_index(zoo.index("module"))
    given = (broken, bundle) if which == "facts" else (facts, broken)
    layout = check_layout(zoo.listing("module"), *given)
    assert layout.reason is Reason.MalformedModel
    assert layout.message == "saved_model.pb, byte 17: it is broken; upload the version again"
