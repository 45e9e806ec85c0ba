"""Keys that real exporters choose are recognised in what they write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from savedmodel_operator.gate import Finding, compare
from savedmodel_operator.savedmodel import BytesSource, Signature, read_saved_model

PROGRAM = Path(__file__).parent / "make_exports.py"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def differences(exports: Path, old: str, new: str) -> list[Finding]:
    """Of the default signature; Keras 3 writes every signature a second time as `serve`."""

    def signature(name: str) -> dict[str, Signature]:
        data = (exports / name / "saved_model.pb").read_bytes()
        facts = read_saved_model(BytesSource(data))
        return {"serving_default": facts.graphs[0].signatures["serving_default"]}

    return list(compare(signature(old), signature(new)))


@pytest.mark.parametrize(
    ("model", "rows", "remedy"),
    [
        ("one", ["keras-input-renumbered"], "keras.Input(..., name=...)"),
        ("two", ["keras-inputs-renumbered"] * 2, "keras.Input(..., name=...)"),
        (
            "old",
            ["keras-inputs-renumbered"] * 2 + ["keras-output-renumbered"] * 2,
            "name the layer",
        ),
        ("small", ["keras-input-renumbered", "sole-output-renamed"], "name the layer"),
    ],
)
def test_the_same_code_exported_again(exports, model, rows, remedy) -> None:
    found = differences(exports, f"{model}1", f"{model}2")
    assert [f.row for f in found] == rows
    assert any(remedy in f.sentence() for f in found)
    assert all(f.breaks for f in found)


def test_each_renumbered_input_is_matched_with_its_own(exports) -> None:
    """By type and shape: the float one with the float one."""
    found = differences(exports, "two1", "two2")
    assert not [f for f in found if f.row.startswith("input-dtype")]
    assert all(" → keras_tensor_" in f.change for f in found)


@pytest.mark.parametrize(
    ("other", "kind", "keys"),
    [
        ("sparse", "sparse", "x, x_1, x_2"),
        ("ragged", "ragged", "x, x_1"),
        ("ragged4", "ragged", "x, x_1, x_2, x_3"),
    ],
)
def test_sparse_and_ragged_inputs_are_seen_through(exports, other, kind, keys) -> None:
    there = [f for f in differences(exports, "dense", other) if ".inputs." in f.path]
    assert [(f.row, f.path) for f in there] == [("input-flattened", "serving_default.inputs.x")]
    assert there[0].fact == f"(DT_FLOAT [-1,5]) is now {kind} and is sent as {keys}"
    back = [f for f in differences(exports, other, "dense") if ".inputs." in f.path]
    assert [f.row for f in back] == ["input-unflattened"]
    assert back[0].fact == f"was {kind}, sent as {keys}, and is now dense (DT_FLOAT [-1,5])"
