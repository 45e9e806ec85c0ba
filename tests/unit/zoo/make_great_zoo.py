"""Makes the zoo and writes down what TensorFlow says of each model: `make_great_zoo.py FOLDER`.

A process of its own, so that the tests never import TensorFlow. One folder per model, truth.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import zoo_graphs
import zoo_keras
import zoo_modules
import zoo_truth

ORIGINS = {**zoo_keras.ORIGINS, **zoo_modules.ORIGINS, **zoo_graphs.ORIGINS}


FOREIGN = ("edited_custom_op", "edited_versions")
"""No TensorFlow can import these."""

UNREADABLE = (*FOREIGN, "edited_names", "edited_contradictions", "constant_200mb")
"""saved_model_cli fails on these, or takes gigabytes."""


def main(folder: Path) -> None:
    found = {}
    for make, origin in ORIGINS.items():
        keras.backend.clear_session()
        path = folder / make.__name__
        make(str(path))
        found[make.__name__] = zoo_truth.truth(path, origin, make.__name__ not in FOREIGN)
    for name in found:
        if name not in UNREADABLE:
            found[name]["commandLine"] = zoo_truth.command_line(folder / name)
    (folder / "truth.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
