"""`savedmodel run PATH` in TensorFlow, beside `saved_model_cli run`; and what absence says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def test_a_default_is_honoured_and_nothing_else_is_printed(models: Path, program):
    code, out, err = program(
        "run", models / "defaulted" / "1", "--input-exprs", "x=[1.5]", "-o", "json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "model": str(models / "defaulted" / "1"),
        "signature": "serving_default",
        "outputs": {"y": {"dtype": "float32", "shape": [1], "values": [15.0]}},
    }


def test_the_outputs_are_those_of_saved_model_cli(run_models: Path, program, tmp_path: Path):
    model = run_models / "names" / "1"
    given = ["--signature_def", "classify", "--input_examples", 'inputs=[{"age": [2.5]}, {}]']
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    code, _, err = program("run", model, *given, "--tag_set", "serve", "--outdir", ours)
    assert code == 0, err
    done = subprocess.run(
        [
            sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run",
            "--dir", str(model), "--tag_set", "serve", *given, "--outdir", str(theirs),
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(p.name for p in ours.iterdir()) == sorted(p.name for p in theirs.iterdir())
    for file in ours.iterdir():
        found = np.load(file)  # no pickle in it, other than theirs
        known = np.load(theirs / file.name, allow_pickle=True)
        assert found.tolist() == known.tolist(), file.name


def test_python_ops_are_no_false_pass(models: Path, program):
    code, out, err = program(
        "run", models / "zoo" / "1", "--signature-def", "python", "--input-exprs", "x=[1.0]"
    )
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert lines[0] == (
        "savedmodel run: EagerPyFunc, PyFunc: TensorFlow Serving cannot run this model"
    )
    assert lines[1].startswith("savedmodel run: TensorFlow cannot run 'python': ")
    assert "Could not find callback with key=pyfunc_0" in lines[1]


def test_a_model_that_does_not_load_is_no_verdict_on_the_inputs(models: Path, program):
    code, out, err = program("run", models / "index_gone" / "1", "--input-exprs", "x=[[1.0]]")
    assert (code, out) == (4, "")
    assert "TensorFlow cannot load " in err
    assert "not a valid checkpoint" in err


def test_what_does_not_fit_needs_no_tensorflow(models: Path, program):
    code, out, err = program(
        "run", models / "half" / "124", "--input-exprs", "x=[1.0]",
        before="sys.modules['tensorflow'] = None",
    )  # fmt: skip
    assert (code, out) == (1, "")
    assert err == "savedmodel run: input 'x' wants float32 [any, 1], given is [1]\n"
    code, _, err = program("run", models / "half" / "124", "--tag-set", "serve,gpu")
    assert (code, "has no MetaGraph [serve,gpu]; it has serve" in err) == (1, True)
    code, _, err = program("run", models / "cut" / "1")
    assert (code, str(models / "cut" / "1") in err) == (4, True)


@pytest.mark.parametrize(
    ("package", "extra", "options"),
    [
        ("tensorflow", "check", []),
        ("numpy", "run", []),
        ("grpc", "grpc", ["--grpc", "127.0.0.1:1", "--model-name", "m"]),
        ("google.protobuf.message_factory", "run", ["--input-examples", "inputs=[{}]"]),
    ],
)
def test_what_is_missing_is_named_with_its_extra(models: Path, program, package, extra, options):
    target = [] if "--grpc" in options else [models / "half" / "124"]
    given = ["--input-exprs", "x=[[1.0]]"] if "--input-examples" not in options else []
    code, out, err = program(
        "run", *target, *given, *options, before=f"sys.modules[{package!r}] = None"
    )
    assert (code, out) == (4, "")
    assert f"pip install 'savedmodel-operator[{extra}]' brings it" in err, err


def test_a_bucket_is_no_place_to_run(program):
    code, _, err = program("run", "s3://bucket/model/1")
    assert (code, "copy the version there" in err) == (4, True)
