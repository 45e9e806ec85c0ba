"""The op inventory's findings: which op, which version, what to do."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate, Ops
from savedmodel_operator.gate import Severity, check_static, inventory
from savedmodel_operator.gate.ops import find_ops, serving_version, with_serving_version
from savedmodel_operator.savedmodel import BytesSource, read_saved_model
from savedmodel_operator.savedmodel.facts import GraphFacts
from unit.gate.facts_builder import model

PLAIN = model(producer=1882, min_consumer=12).graphs[0]


def graph(*names: str, **more) -> GraphFacts:
    return replace(PLAIN, ops={"Identity": 1} | dict.fromkeys(names, 2), **more)


def on(version: str | None, **more) -> Ops:
    return Ops(serving_version=version, **more)


FOUND = {
    "an op that came later": (
        graph("DecodeJxl"), on("2.20"), Severity.Break, Reason.OpMissing,
        "op DecodeJxl is not in TensorFlow 2.20 (it came with 2.21); serve it with TensorFlow 2.21 "
        "or newer, or export it without the op",
    ),
    "an op of a later TensorFlow Text": (
        graph("TFText>Utf8Binarize"), on("2.19"), Severity.Break, Reason.OpMissing,
        "op TFText>Utf8Binarize is not in TensorFlow 2.19 (it came with 2.20)",
    ),
    "an op that is gone": (
        graph("TfLiteSubgraphExecute"), on("2.19"), Severity.Break, Reason.OpMissing,
        "(it was last in 2.18); export it with TensorFlow 2.19",
    ),
    "an op of one's own": (
        graph("ZeroOut"), on("2.20"), Severity.Break, Reason.OpMissing,
        "op ZeroOut is not in TensorFlow 2.20; serve it with an image that has the op and name it "
        "in gate.ops.custom, or export the model without it",
    ),
    "an op that only the body of a loop has": (
        graph("ZeroOut", declared={"Identity": ("T",)}, undeclared=("ZeroOut",)), on("2.20"),
        Severity.Break, Reason.OpMissing, "and the file's own op list leaves it out",
    ),
    "an op whose name is hostile": (
        graph("Zero\n" * 500), on("2.20"), Severity.Break, Reason.OpMissing, "op Zero\\n",
    ),
    "min_consumer above the server": (
        graph(min_consumer=2300), on("2.20"), Severity.Break, Reason.GraphVersion,
        "graph_def.versions.min_consumer is 2300, TensorFlow 2.20 has 2288",
    ),
    "the server is a bad consumer": (
        graph(bad_consumers=(7, 2288)), on("2.20"), Severity.Break, Reason.GraphVersion,
        "graph_def.versions.bad_consumers has 2288, which is TensorFlow 2.20",
    ),
    "an op that ended before the graph": (
        graph("PlaceholderV2"), on("2.20"), Severity.Break, Reason.OpMissing,
        "the graph has PlaceholderV2, which TensorFlow 2.20 refuses to load in a graph of GraphDef "
        "version 1882;",
    ),
    "such an op, perhaps in a function": (
        graph("PlaceholderV2", functions=1), on("2.20"), Severity.Risk, None,
        "of GraphDef version 1882 outside of functions",
    ),
    "an attribute that came later": (
        graph("GatherNd", declared={"GatherNd": ("Tparams", "Tindices", "bad_indices_policy")}),
        on("2.16"), Severity.Risk, None,
        "does not know the attributes GatherNd.bad_indices_policy of the producer's ops",
    ),
    "a reader of files": (
        graph("ReadFile"), on("2.20"), Severity.Risk, None,
        "the graph has ReadFile (2), which read files in the serving container",
    ),
    "a writer of files, the server unknown": (
        graph("WriteFile"), on(None), Severity.Risk, None, "the graph has WriteFile (2)",
    ),
    "what JAX exports": (
        graph("XlaCallModule"), on("2.20"), Severity.Risk, None,
        "which TensorFlow Serving runs only with XLA; add --xla_cpu_compilation_enabled=true",
    ),
    "a printer": (graph("PrintV2"), on("2.20"), Severity.Info, None, "print into the server's log"),
    "no server to compare with": (
        graph("ZeroOut"), on(None), Severity.Info, None, "set gate.ops.servingVersion",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_finding(name):
    facts, ops, severity, reason, sentence = FOUND[name]
    found = find_ops(facts, ops)
    assert [(f.severity, f.reason) for f in found][:1] == [(severity, reason)]
    assert sentence in found[0].sentence()
    assert found[0].sentence().isprintable()
    assert len(found) == (2 if name == "a writer of files, the server unknown" else 1)


QUIET = {
    "nothing unusual": (graph(), on("2.16")),
    "the newest op on the newest server": (graph("DecodeJxl"), on("2.21")),
    "a custom op that is named": (graph("ZeroOut"), on("2.20", custom=("ZeroOut",))),
    "TensorFlow Text and Decision Forests": (
        graph("SentencepieceOp", "SimpleMLInferenceOp"), on("2.16"),
    ),
    "what every SavedModel saves and restores with": (
        graph("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename",
              "InitializeTableFromTextFileV2"), on("2.20"),
    ),
    "min_consumer of the server itself": (graph(min_consumer=2288), on("2.20")),
    "another bad consumer": (graph(bad_consumers=(7,)), on("2.20")),
    "an op that ended after the graph": (graph("PlaceholderV2", producer=22), on("2.20")),
    "attributes as the server has them": (
        graph("GatherNd", declared={"GatherNd": ("Tparams", "bad_indices_policy")}), on("2.17"),
    ),
    "an attribute of the runtime": (
        graph("MatMul", declared={"MatMul": ("T", "_output_shapes")}), on("2.16"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_nothing_to_say(name):
    facts, ops = QUIET[name]
    assert find_ops(facts, ops) == ()


IMAGES = {
    "tensorflow/serving:2.20.0": "2.20",
    "tensorflow/serving:2.19.1-gpu": "2.19",
    "tensorflow/serving:2.18.0-devel-gpu": "2.18",
    "tensorflow/serving:2.18.0-rc0": "2.18",
    "tensorflow/serving:2.16": "2.16",
    "serving:v2.17.1": "2.17",
    "registry.example:5000/team/serving:2.20.0": "2.20",
    "registry.example:5000/team/serving:2.20.0@sha256:" + "0" * 64: "2.20",
    "registry.example:2.20/team/serving": None,
    "registry.example:5000/serving:2.20": "2.20",
    "tensorflow/serving@sha256:" + "0" * 64: None,
    "tensorflow/serving": None,
    "tensorflow/serving:latest": None,
    "tensorflow/serving:latest-gpu": None,
    "tensorflow/serving:nightly": None,
    "tensorflow/serving:2": None,
    "tensorflow/serving:2.200": None,
    "tensorflow/serving:12.20.0": None,
    "tensorflow/serving:2.15.1": None,
    "tensorflow/serving:2.99.0": None,
    "team/serving:20261121": None,
    "team/serving:build-2.20": None,
    "localhost/tensorflow-serving-compatible:da80bd978a7a63af": None,
    "localhost/tensorflow-serving-compatible:2.20.0": "2.20",
}


@pytest.mark.parametrize("image", IMAGES)
def test_the_version_of_an_image(image):
    assert serving_version(image) == IMAGES[image]
    assert with_serving_version(Gate(), image).ops.serving_version == IMAGES[image]


def test_what_the_user_says_holds_against_the_tag():
    gate = Gate(ops=Ops(serving_version="2.16", custom=("ZeroOut",)))
    assert with_serving_version(gate, "tensorflow/serving:2.20.0") == gate


def test_the_gate_refuses():
    verdict = check_static(model(ops={"DecodeJxl": 1}), None, Gate(ops=on("2.20")), ["serve"])
    assert verdict.rejected
    assert verdict.reason is Reason.OpMissing
    assert check_static(model(ops={"DecodeJxl": 1}), None, Gate(), ["serve"]).passed


def test_python_ops_are_named_before_missing_ones():
    bad = model(ops={"DecodeJxl": 1, "EagerPyFunc": 1})
    verdict = check_static(bad, None, Gate(ops=on("2.20")), ["serve"])
    assert verdict.reason is Reason.PythonOps


def test_the_worst_comes_first():
    everything = graph("ReadFile", "PrintV2", "ZeroOut", min_consumer=9999)
    found = [f.severity for f in find_ops(everything, on("2.20"))]
    assert found == [Severity.Break, Severity.Break, Severity.Risk, Severity.Info]


@pytest.mark.parametrize("version", inventory.VERSIONS)
def test_no_real_model_is_refused_by_any_version(zoo, version):
    """What TensorFlow 2.21 exports of the usual kinds loads on every server back to 2.16."""
    names = sorted(path.parent.name for path in zoo.folder.glob("*/saved_model.pb"))
    assert len(names) >= 12
    for name in names:
        for facts in read_saved_model(BytesSource(zoo.pb(name))).graphs:
            found = find_ops(facts, on(version))
            assert [f.sentence() for f in found if f.breaks] == [], name


def test_a_gate_without_the_new_fields_is_as_before():
    old = msgspec.convert({"python": "Allow"}, Ops)
    assert (old.custom, old.serving_version) == ((), None)
