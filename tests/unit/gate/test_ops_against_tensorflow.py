"""The findings against TensorFlow's own loader: what it refuses, and only that, is refused here."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab import ops_try
from savedmodel_operator.api.types import Ops
from savedmodel_operator.cli.check import check
from savedmodel_operator.gate import Severity
from savedmodel_operator.gate.ops import find_ops
from savedmodel_operator.savedmodel import BytesSource, read_saved_model

HERE = Path(__file__).parent
INSTALLED = "2.21"

REFUSED = {
    "unknown_in_signature": ("Op type not registered 'OfTomorrow'", "op-missing"),
    "unknown_in_graph": ("Op type not registered 'OfTomorrow'", "op-missing"),
    "min_consumer_above": ("GraphDef min consumer version 2475 above current", "min-consumer"),
    "bad_consumer": ("GraphDef disallows consumer version 2474", "bad-consumer"),
}
"""What the loader says, and the finding that breaks."""

LOADED = {
    "as_it_is": (None, None),
    "jxl": (None, None),
    "min_consumer_equal": (None, None),
    "producer_of_tomorrow": (None, None),
    "new_attribute": ("attribute-unknown", Severity.Risk),
}

STRICTER = {"unknown_uncalled": "op-missing"}
"""Loads, because nothing calls the function, which no reader of the file alone can know for sure
(the op list follows no loops and branches); so it is refused, and gate.ops.custom lets it in."""

LAXER = {"ended_in_graph": "op-ended"}
"""The loader refuses it in the graph and not in a function, and the facts count both together; so
with functions it is a risk, which the candidate's own pod turns into a refusal."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ops")
    done = subprocess.run(
        [sys.executable, str(HERE / "make_op_models.py"), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def loaded(models: Path) -> dict[str, str]:
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    assert spec.origin is not None
    folders = sorted(str(path) for path in models.iterdir())
    answers = ops_try.load(Path(spec.origin).parent, folders)
    return {Path(folder).name: answer for folder, answer in answers.items()}


def found(models: Path, name: str, version: str = INSTALLED):
    facts = read_saved_model(BytesSource((models / name / "saved_model.pb").read_bytes()))
    return find_ops(facts.graphs[0], Ops(serving_version=version))


def test_every_model_is_judged(models):
    cases = {*REFUSED, *LOADED, *STRICTER, *LAXER}
    assert cases == {path.name for path in models.iterdir()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_loader_refuses(models, loaded, name):
    words, row = REFUSED[name]
    assert words in loaded[name]
    assert [f.row for f in found(models, name) if f.breaks] == [row]


@pytest.mark.parametrize("name", LOADED)
def test_what_the_loader_takes(models, loaded, name):
    row, severity = LOADED[name]
    assert loaded[name] == ""
    assert [(f.row, f.severity) for f in found(models, name)] == ([(row, severity)] if row else [])


@pytest.mark.parametrize("name", STRICTER)
def test_where_the_gate_asks_for_more(models, loaded, name):
    assert loaded[name] == ""
    assert [f.row for f in found(models, name) if f.breaks] == [STRICTER[name]]


@pytest.mark.parametrize("name", LAXER)
def test_where_the_loader_asks_for_more(models, loaded, name):
    assert "It has been removed in version 23" in loaded[name]
    assert [(f.row, f.breaks) for f in found(models, name)] == [(LAXER[name], False)]


def test_disagreement_is_told():
    tried = [
        ops_try.Tried("2.20", "a", "", ""),
        ops_try.Tried("2.20", "b", "op X", "not registered"),
        ops_try.Tried("2.20", "c", "", "not registered"),
    ]
    lines, agree = ops_try.report(tried)
    assert not agree
    assert "2.20: 2 of 3 agree, 1 refused by both" in lines
    assert "2.20 c: only the loader refuses: not registered" in lines
    assert ops_try.report(tried[:2])[1]


@pytest.mark.parametrize("version", ["2.16", "2.17", "2.18", "2.19", "2.20"])
def test_a_real_model_with_an_op_of_2_21(models, version):
    [finding] = found(models, "jxl", version)
    assert finding.sentence().startswith(
        f"op DecodeJxl is not in TensorFlow {version} (it came with 2.21)"
    )


MANIFEST = """
apiVersion: savedmodel.dev/v1alpha1
kind: SavedModelDeployment
metadata: {name: flowers}
spec:
  source: {uri: "s3://models/flowers", anonymous: true}
  serving: {image: "%s"}
  gate: {ops: {custom: [%s]}}
"""

COMMANDS = {
    "the image's tag": (MANIFEST % ("tensorflow/serving:2.20.0", ""), (), 1),
    "a newer image": (MANIFEST % ("tensorflow/serving:2.21.0", ""), (), 0),
    "an image with an op of its own": (MANIFEST % ("team/serving:2.20.0", "DecodeJxl"), (), 0),
    "an image without version": (MANIFEST % ("tensorflow/serving:latest", ""), (), 0),
    "the option against the tag": (
        MANIFEST % ("tensorflow/serving:2.21.0", ""), ("--serving-version", "2.20"), 1,
    ),
    "the option alone": (None, ("--serving-version", "2.20"), 1),
    "nothing known of the server": (None, (), 0),
    "a version that is not known": (None, ("--serving-version", "2.3"), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_check_on_the_command_line(models, name):
    manifest, options, code = COMMANDS[name]
    given = () if manifest is None else ("-f", "-")
    arguments = [str(models / "jxl"), *given, *options, "-o", "json"]
    done = CliRunner().invoke(check, arguments, input=manifest)
    assert done.exit_code == code, done.output
    if code == 1:
        assert json.loads(done.output)["reason"] == "OpMissing"
    if code == 0 and (manifest is None or "latest" in manifest):
        assert "set gate.ops.servingVersion" in done.output
