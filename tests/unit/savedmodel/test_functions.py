"""Functions of a SavedModel's object graph: against what `saved_model_cli` prints, and hostile bytes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodel_operator.savedmodel import BytesSource, MalformedModel, TensorSpec
from savedmodel_operator.savedmodel.dtypes import python_name
from savedmodel_operator.savedmodel.functions import Function, Trace, read_functions

SHOW = """
import contextlib, io, json, sys
from tensorflow.python.tools import saved_model_cli
shown = {}
for folder in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        saved_model_cli._show_all(folder)
    shown[folder] = text.getvalue()
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def shown(zoo) -> dict[str, str]:
    """What `saved_model_cli show --all` prints for each model."""
    names = [name for name in zoo.truth if (zoo.folder / name / "saved_model.pb").is_file()]
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *(str(zoo.folder / name) for name in names)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {path.rsplit("/", 1)[1]: text for path, text in json.loads(done.stdout).items()}


def _theirs(text: str) -> list[tuple[str, list[list[str]]]]:
    """Name, and for each option the tensors that are named in it."""
    found: list[tuple[str, list[list[str]]]] = []
    for line in text.partition("Concrete Functions:")[2].splitlines():
        if match := re.search(r"Function Name: '(.*)'", line):
            found.append((match[1], []))
        elif "Option #" in line:
            found[-1][1].append([])
        else:
            found[-1:] and found[-1][1][-1:] and found[-1][1][-1].extend(
                re.findall(r"TensorSpec\(shape=.*?, dtype=tf\.\w+, name='[^']*'\)", line)
            )
    return found


def _tensors(value: Any) -> list[str]:
    """The tensors inside an argument, as TensorFlow writes them."""
    if isinstance(value, TensorSpec):
        sizes = ["None" if n < 0 else str(n) for n in value.shape or ()]
        shape = f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
        shape = "<unknown>" if value.shape is None else shape
        return [
            f"TensorSpec(shape={shape}, dtype=tf.{python_name(value.dtype)}, name='{value.name}')"
        ]
    inner = value.values() if isinstance(value, dict) else value
    return [t for v in inner for t in _tensors(v)] if isinstance(value, dict | list | tuple) else []


def _ours(functions: tuple[Function, ...]) -> list[tuple[str, list[list[str]]]]:
    def tensors(trace: Trace) -> list[str]:
        return _tensors([*trace.arguments, dict(trace.keywords)])

    return [(f.name, [tensors(trace) for trace in f.traces]) for f in functions]


def test_they_are_what_saved_model_cli_shows(zoo, shown):
    compared = 0
    for name, text in shown.items():
        graphs = read_functions(BytesSource(zoo.pb(name)))
        ours = [entry for _, functions in graphs for entry in _ours(functions)]
        theirs = _theirs(text)
        assert [entry[0] for entry in ours] == [entry[0] for entry in theirs], name
        for (function, mine), (_, other) in zip(ours, theirs, strict=True):
            assert sorted(map(sorted, mine)) == sorted(map(sorted, other)), (name, function)
            compared += len(mine)
    assert compared >= 10


def test_a_tf1_model_has_none_and_tags_are_told(zoo):
    graphs = read_functions(BytesSource(zoo.pb("tf1_builder")))
    assert graphs == ((frozenset({"serve"}), ()), (frozenset({"serve", "tpu"}), ()))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(zoo, data):
    pb = bytearray(zoo.pb("keras2"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(pb) - 1))
        pb[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(pb)))
    for candidate in (bytes(pb), bytes(pb[:cut])):
        with contextlib.suppress(MalformedModel):
            read_functions(BytesSource(candidate))
