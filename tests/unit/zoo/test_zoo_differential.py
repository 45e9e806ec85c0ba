"""Every fact of `savedmodel inspect -o json` equals what TensorFlow's own Python API says.

The zoo is made by TensorFlow at test time; `zoo_truth` asks TensorFlow. Here the command runs on
each model and the two are compared key by key: a key of the output that nothing is compared with
fails, too.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from savedmodel_operator.cli.inspect import inspect
from unit.zoo import great_zoo

NAMES = (
    "k3_named", "k3_unnamed", "k3_sequential", "k3_lists", "k3_dicts", "k3_image", "k3_recurrent",
    "k3_text", "k3_archive", "k3_mixed_precision", "k3_saved", "k2_save", "k2_functional",
    "k2_export", "k2_saved",
    "module", "no_input_signature", "two_signatures", "many_signatures", "defaults",
    "sparse_input", "ragged_input", "ragged_output", "sparse_output", "strings", "every_dtype",
    "unknown_rank", "scalars", "control_flow", "cases", "py_function", "numpy_function", "sharded",
    "no_variables", "vocabulary", "assets", "mutable_table", "nested", "gradient", "warm",
    "constant_200mb", "checkpoint",
    "tf1_predict", "tf1_reference_variables", "tf1_classify_regress", "tf1_tag_sets",
    "tf1_partitioned", "tf1_frozen", "tf1_sparse", "tf1_loop", "tf1_table", "tf1_no_signatures",
    "edited_text_of_tf1", "estimator",
    "edited_text", "edited_both", "edited_custom_op", "edited_versions", "edited_names",
    "edited_contradictions", "beside",
)  # fmt: skip

UNREADABLE = {
    "edited_custom_op", "edited_versions", "edited_names", "edited_contradictions",
    "constant_200mb",
}  # fmt: skip
"""TensorFlow's own command fails on these, or takes gigabytes."""

COMPARED = {
    "complete", "reason", "files", "bytes", "graphFile", "schemaVersion", "metaGraphs",
    "functions", "variables", "extras", "damaged", "problems",
}  # fmt: skip
OURS = {"path", "message", "bytesRead", "reads"}
"""Keys that TensorFlow has no word for."""


@pytest.fixture(params=NAMES)
def pair(request):
    """(what inspect says, what TensorFlow says)."""
    found = CliRunner().invoke(
        inspect, [str(great_zoo.folder() / request.param), "-o", "json", "--functions", "--deep"]
    )
    assert found.exit_code == 0, found.output[-2000:]
    return json.loads(found.output), great_zoo.truth()[request.param]


def test_the_zoo_is_the_list():
    assert set(NAMES) == set(great_zoo.truth())
    assert len(NAMES) >= 40
    told = {name for name, true in great_zoo.truth().items() if "commandLine" in true}
    assert set(NAMES) - told == UNREADABLE


def test_nothing_is_said_that_is_not_compared(pair):
    assert set(pair[0]) == COMPARED | OURS


def test_files_and_completeness(pair):
    said, true = pair
    assert said["files"] == true["files"]
    assert said["bytes"] == sum(true["files"].values())
    assert said["graphFile"] == true["graphFile"]
    assert said["schemaVersion"] == true["schemaVersion"]
    assert (said["complete"], said["problems"], said["damaged"] or []) == (True, [], [])


def _plain(graph):
    """Without order where TensorFlow promises none, and without what is compared elsewhere."""
    kept = {k: v for k, v in graph.items() if k != "origin"}
    declared = {op: sorted(attributes) for op, attributes in graph["declared"].items()}
    return kept | {"tags": sorted(graph["tags"]), "absent": sorted(graph["absent"])} | {
        "undeclared": sorted(graph["undeclared"]), "declared": declared,
        "contradicted": sorted(text.partition(" is ")[0] for text in graph["contradicted"]),
    }  # fmt: skip


def test_meta_graphs(pair):
    said, true = pair
    assert len(said["metaGraphs"]) == len(true["metaGraphs"])
    for ours, theirs in zip(said["metaGraphs"], true["metaGraphs"], strict=True):
        found = _plain(ours)
        assert found.keys() == theirs.keys()
        for key, value in found.items():
            assert value == theirs[key], key


def test_origin(pair):
    said, true = pair
    assert {graph["origin"] for graph in said["metaGraphs"]} == {true["origin"]}


def test_variables(pair):
    said, true = pair
    if true["variables"] is None:
        assert said["variables"] is None
        return
    shards = {f: n for f, n in true["files"].items() if f.startswith("variables/variables.data-")}
    assert said["variables"]["shards"] == shards
    tensors = {t["name"]: t for t in said["variables"]["tensors"]}
    assert tensors.keys() == true["variables"].keys()
    for name, theirs in true["variables"].items():
        ours = tensors[name]
        assert (ours["dtype"], ours["shape"]) == (theirs["dtype"], theirs["shape"]), name
        assert theirs["bytes"] in (None, ours["bytes"]), name
    assert sum(tensor["bytes"] for tensor in tensors.values()) == sum(shards.values())
    assert {tensor["shard"] for tensor in tensors.values()} <= set(range(len(shards)))


def test_what_lies_beside(pair):
    said, true = pair
    extras = said["extras"]
    if true["fingerprint"] is None:
        assert extras["fingerprint"] is None
    else:
        assert extras["fingerprint"].items() >= true["fingerprint"].items()
    assert extras["warmup"] == true["warmup"]
    assert extras["kerasMetadata"] == ("keras_metadata.pb" in true["files"])
    assert extras["tflite"] == ("model.tflite" in true["files"])
    beside = {f for f in true["files"] if f.startswith("assets.extra/")}
    assert set(extras["extraAssets"]) == beside - {"assets.extra/tf_serving_warmup_requests"}
    assert extras["problems"] == []


@pytest.mark.parametrize("pair", sorted(set(NAMES) - UNREADABLE), indirect=True)
def test_the_command_line_of_tensorflow_says_the_same(pair):
    """saved_model_cli: tag sets, signatures, op names (its own scan, which leaves out functions that
    nothing calls), functions of the object."""
    said, true = pair
    theirs, graphs = true["commandLine"], said["metaGraphs"]
    assert sorted(sorted(g["tags"]) for g in graphs) == sorted(theirs["tagSets"])
    assert sorted({key for g in graphs for key in g["signatures"]}) == theirs["signatures"]
    for ours, used in zip(graphs, theirs["ops"], strict=True):
        assert set(ours["ops"]) - set(used) == set(ours["undeclared"])
        assert set(used) <= set(ours["ops"])
    if theirs["functions"] is not None and said["graphFile"] == "saved_model.pb":
        named = {f["name"] for graph in said["functions"] for f in graph["functions"]}
        assert sorted(named) == theirs["functions"]
