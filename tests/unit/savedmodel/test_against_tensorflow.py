"""Every fact that the readers give equals what TensorFlow's own readers say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from savedmodel_operator.savedmodel import (
    BytesSource,
    ModelFacts,
    TensorSpec,
    read_bundle_index,
    read_saved_model,
)
from savedmodel_operator.savedmodel.dtypes import proto_name, python_name
from savedmodel_operator.savedmodel.facts import MAX_STORED
from savedmodel_operator.savedmodel.layout import check_layout

MODELS = (
    "keras3", "keras2", "module", "two_signatures", "no_signature", "sharded", "vocabulary",
    "python_ops", "defaults", "control_flow", "ragged_output", "tf1_builder", "frozen",
    "large_constant",
)  # fmt: skip


def tensor_view(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "dtype": tensor.dtype,
        "shape": None if tensor.shape is None else list(tensor.shape),
        "name": tensor.name,
        "kind": tensor.kind,
        "parts": list(tensor.parts),
    }


def facts_view(facts: ModelFacts) -> dict[str, Any]:
    return {
        "schema": facts.schema,
        "graphs": [
            {
                "tags": list(g.tags),
                "tensorflow": g.tensorflow,
                "producer": g.producer,
                "min_consumer": g.min_consumer,
                "nodes": g.nodes,
                "functions": g.functions,
                "ops": dict(g.ops),
                "assets": list(g.assets),
                "init_op": g.init_op,
                "object_graph": g.object_graph,
                "signatures": {
                    key: {
                        "method": s.method,
                        "inputs": {k: tensor_view(t) for k, t in s.inputs.items()},
                        "outputs": {k: tensor_view(t) for k, t in s.outputs.items()},
                        "defaults": sorted(k for k, t in s.inputs.items() if t.has_default),
                    }
                    for key, s in g.signatures.items()
                },
            }
            for g in facts.graphs
        ],
    }


@pytest.mark.parametrize("name", MODELS)
def test_facts_equal_tensorflows(zoo, name):
    truth = {part: zoo.truth[name][part] for part in ("schema", "graphs")}
    assert facts_view(read_saved_model(BytesSource(zoo.pb(name)))) == truth


def test_the_zoo_shows_what_it_is_for(zoo):
    """A zoo without the odd cases would prove nothing."""
    graphs = {n: zoo.truth[n]["graphs"] for n in MODELS}
    assert [g["tags"] for g in graphs["tf1_builder"]] == [["serve"], ["serve", "tpu"]]
    signatures = graphs["tf1_builder"][0]["signatures"]
    assert signatures["sparse"]["inputs"]["values"]["kind"] == "Sparse"
    assert signatures["classify"]["method"] == "tensorflow/serving/classify"
    ragged = graphs["ragged_output"][0]["signatures"]["serving_default"]["outputs"]
    assert ragged["words"]["kind"] == "Composite"
    assert len(ragged["words"]["parts"]) == 2
    assert graphs["defaults"][0]["signatures"]["serving_default"]["defaults"] == ["scale"]
    assert graphs["two_signatures"][0]["signatures"]["wide"]["inputs"]["ids"]["shape"] is None
    assert graphs["two_signatures"][0]["signatures"]["wide"]["inputs"]["flag"]["shape"] == []
    assert graphs["no_signature"][0]["signatures"] == {}
    assert graphs["vocabulary"][0]["assets"] == ["words.txt"]
    assert {"EagerPyFunc", "PyFunc"} <= set(graphs["python_ops"][0]["ops"])
    assert zoo.truth["frozen"]["variables"] is None


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_of_a_signature_has_its_node(zoo, name):
    graphs = read_saved_model(BytesSource(zoo.pb(name))).graphs
    assert [g.absent for g in graphs] == [()] * len(graphs)


@pytest.mark.parametrize("name", MODELS)
def test_variables_equal_tensorflows(zoo, name):
    truth = zoo.truth[name]["variables"]
    if truth is None:
        return
    entries = read_bundle_index(zoo.index(name)).entries
    seen = {
        e.name: {"dtype": e.dtype, "shape": list(e.shape or ())} for e in entries if not e.part_of
    }
    assert seen == truth
    assert {e.part_of for e in entries} - {""} <= truth.keys()


@pytest.mark.parametrize("name", MODELS)
def test_shards_have_exactly_the_size_that_the_index_says(zoo, name):
    listing = zoo.listing(name)
    shards = {k: n for k, n in listing.items() if k.startswith("variables/variables.data")}
    if zoo.truth[name]["variables"] is None:
        assert shards == {}
    else:
        assert read_bundle_index(zoo.index(name)).shards == shards


def test_several_shards_and_slices(zoo):
    """The zoo has them; otherwise the tests above would not have seen them."""
    assert len(read_bundle_index(zoo.index("sharded")).shard_sizes) > 2
    slices = [e for e in read_bundle_index(zoo.index("tf1_builder")).entries if e.part_of]
    assert [(e.part_of, e.size) for e in slices] == [("w", 40), ("w", 40)]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_zoo_is_complete(zoo, name):
    bundle = read_bundle_index(zoo.index(name)) if zoo.truth[name]["variables"] else None
    layout = check_layout(zoo.listing(name), read_saved_model(BytesSource(zoo.pb(name))), bundle)
    assert layout.complete, layout.message


@pytest.mark.parametrize("name", MODELS)
def test_the_stored_form_brings_back_the_facts(zoo, name):
    facts = read_saved_model(BytesSource(zoo.pb(name)))
    text = json.dumps(facts.to_dict())
    assert ModelFacts.from_dict(json.loads(text)) == facts
    assert len(text) < MAX_STORED


def test_the_stored_form_of_one_metagraph(zoo):
    facts = read_saved_model(BytesSource(zoo.pb("tf1_builder")))
    stored = ModelFacts.from_dict(facts.to_dict(["tpu", "serve"]))
    assert [g.tags for g in stored.graphs] == [("serve", "tpu")]


def test_element_types_are_those_of_the_installed_tensorflow(zoo):
    numbers = zoo.truth["data_types"]
    assert {n: proto_name(v) for n, v in numbers.items()} == {n: n for n in numbers}
    assert {n: python_name(n) for n in zoo.truth["python_names"]} == zoo.truth["python_names"]


class CountingSource(BytesSource):
    """Notes what is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return super().read(offset, length)


def test_weights_in_the_graph_are_skipped_not_read(zoo):
    source = CountingSource(zoo.pb("large_constant"))
    assert source.size > 32 * 1024 * 1024
    read_saved_model(source)
    assert len(source.reads) <= 6
    assert sum(length for _, length in source.reads) < 2 * 1024 * 1024


@pytest.mark.parametrize("name", [n for n in MODELS if n != "large_constant"])
def test_small_files_take_one_read(zoo, name):
    source = CountingSource(zoo.pb(name))
    read_saved_model(source)
    assert len(source.reads) == 1
