"""The examples in docstrings of the pure rooms and the CLI are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "savedmodel.bundle",
    "savedmodel.dtypes",
    "savedmodel.facts",
    "savedmodel.wire",
    "gate.difference",
    "gate.finding",
    "gate.renames",
    "gate.tensors",
    "gate.verdict",
    "cli.inspect_view",
    "cli.output",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"savedmodel_operator.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
