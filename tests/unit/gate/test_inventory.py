"""The op lists: what is written is what TensorFlow registers, and what the look-ups say of it."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from lab import ops as dev_ops
from lab import ops_module, ops_wheels
from savedmodel_operator.api.schema import build_crd
from savedmodel_operator.gate import inventory, inventory_data, ops
from savedmodel_operator.savedmodel.graph import PYTHON_OPS

COUNTS = {
    "tensorflow 2.19.1": 1787,
    "tensorflow 2.20.0": 1798,
    "tensorflow 2.21.0": 1799,
}
"""As counted by an independent program on the same wheels."""

GRAPH_DEF = {"2.19": 2129, "2.20": 2288, "2.21": 2474}
"""TF_GRAPH_DEF_VERSION in tensorflow/core/public/version.h of these releases."""


def test_the_installed_tensorflow_registers_what_is_written():
    assert dev_ops.check_installed() == []


def test_a_changed_list_is_seen():
    """The check above can fail: an op more, an op less, an attribute more."""
    listed = inventory.lists()["tensorflow 2.21.0"].ops
    registered = [ops_wheels.Op(name, op.attributes, op.deprecated) for name, op in listed.items()]
    assert dev_ops.differences(listed, registered) == []
    first = registered[0]
    assert dev_ops.differences(listed, registered[1:]) == [f"{first.name} is not registered"]
    more = [*registered, ops_wheels.Op("Nope", ())]
    assert dev_ops.differences(listed, more) == ["Nope is not in the module"]
    other = [ops_wheels.Op(first.name, ("q",)), *registered[1:]]
    assert len(dev_ops.differences(listed, other)) == 1


def test_the_module_is_what_the_generator_writes():
    """Not edited by hand: rendered again from its own lists it is the same."""
    written = Path(inventory_data.__file__).read_text(encoding="utf-8")
    lines = [line.strip() for line in written.splitlines()]
    wheels = [line for line in lines if line.endswith(".whl")]
    hashes = [line.split()[1] for line in lines if line.startswith("sha256")]
    lists = [
        _as_listed(name, wheel, digest)
        for name, wheel, digest in zip(inventory.lists(), wheels, hashes, strict=True)
    ]
    text = zlib.decompress(base64.b85decode(inventory_data.DATA)).decode()
    assert ops_module.text(lists) == text
    head = ops_module.render(lists).partition("DATA = (")[0]
    assert written.startswith(head)


def _as_listed(name: str, wheel: str, digest: str) -> ops_wheels.OpList:
    listed = inventory.lists()[name]
    project, version = name.split()
    full = {short: long for long, short in ops_module.SHORT.items()}[project]
    ops = sorted(ops_wheels.Op(n, o.attributes, o.deprecated) for n, o in listed.ops.items())
    return ops_wheels.OpList(full, version, tuple(ops), listed.graph_def, wheel, digest)


def test_the_api_offers_the_versions_that_there_are():
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    gate = schema["properties"]["spec"]["properties"]["gate"]["properties"]
    assert tuple(gate["ops"]["properties"]["servingVersion"]["enum"]) == inventory.VERSIONS


@pytest.mark.parametrize("name", COUNTS)
def test_as_many_ops_as_were_counted_elsewhere(name):
    assert len(inventory.lists()[name].ops) == COUNTS[name]


@pytest.mark.parametrize("version", GRAPH_DEF)
def test_graph_def_versions(version):
    assert inventory.graph_def_version(version) == GRAPH_DEF[version]


CAME = {
    "MatMul": "2.16", "SaveV2": "2.16", "SimpleMLInferenceOpWithHandle": "2.16",
    "WordpieceTokenizeWithOffsets": "2.16", "GlobalShuffleDataset": "2.17", "CheckPinned": "2.18",
    "DecodeWebP": "2.20", "TFText>Utf8Binarize": "2.20", "DecodeJxl": "2.21", "ZeroOut": None,
}  # fmt: skip


@pytest.mark.parametrize("op", CAME)
def test_first_version(op):
    assert inventory.first_version(op) == CAME[op]


def test_attributes_and_ends():
    assert "bad_indices_policy" not in inventory.ops("2.16")["GatherNd"].attributes
    assert "bad_indices_policy" in inventory.ops("2.17")["GatherNd"].attributes
    assert inventory.ops("2.20")["PlaceholderV2"].deprecated == 23
    assert inventory.ops("2.20")["MatMul"].deprecated == 0


def test_every_op_that_is_judged_by_name_exists():
    for name in ops.READS_FILES | ops.WRITES_FILES | ops.NEEDS_XLA | ops.PRINTS | PYTHON_OPS:
        assert inventory.first_version(name), name


def test_the_page_says_the_same():
    page = (Path(__file__).resolve().parents[3] / "docs/ops.md").read_text(encoding="utf-8")
    for version, lists in inventory_data.SERVERS.items():
        pins = " | ".join(name.split()[1] for name in lists)
        [row] = [line for line in page.splitlines() if line.startswith(f"| {version} ")]
        assert row.endswith(f"| {pins} | {inventory.graph_def_version(version)} |")


def test_no_training_of_decision_forests_is_linked():
    """The server links inference only: tensorflow_serving/model_servers/BUILD."""
    forests = inventory.lists()["forests 1.3.0"].ops
    assert len(forests) == 6
    assert not any("Train" in name for name in forests)
