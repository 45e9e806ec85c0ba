"""Every example in a docstring of the package is run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import savedmodel_operator

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(savedmodel_operator.__path__, "savedmodel_operator.")
    if not m.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
