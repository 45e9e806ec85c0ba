"""TensorFlow Serving's messages without TensorFlow's Python package, as the development server
imports them. The one place of this package that reaches into that server's folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[2] / "images" / "tensorflow-serving-compatible"


def _load() -> Any:
    if str(PROGRAM) not in sys.path:
        sys.path.append(str(PROGRAM))
    return importlib.import_module("tensorflow_serving_compatible.protos")


messages: Any = _load()
