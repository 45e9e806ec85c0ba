"""Finds the installed TensorFlow wheel and makes its messages importable without TensorFlow.

`import tensorflow` costs seconds of CPU and half a gigabyte for Python parts that no server
needs; the C library and the generated messages are enough. While `protos` imports them, a bare
package object stands in for `tensorflow`, so that `tensorflow.core...pb2` (and the stubs of
tensorflow-serving-api, which import them) load from the wheel's folder and
`tensorflow/__init__.py` never runs. Afterwards it is taken away: a process that imports the real
package later, or has before, is not disturbed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType


def _folder() -> Path:
    spec = PathFinder.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the TensorFlow wheel is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


FOLDER = _folder()


@contextmanager
def messages_only() -> Iterator[None]:
    """Within it, `tensorflow.core` messages import without TensorFlow itself."""
    if "tensorflow" in sys.modules:
        yield
        return
    package = ModuleType("tensorflow")
    package.__path__ = [str(FOLDER)]
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]
