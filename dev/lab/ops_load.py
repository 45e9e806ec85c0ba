"""What TensorFlow's C++ loader, which TensorFlow Serving has too, says of SavedModels.

    python ops_load.py LIBRARIES FOLDER…

Neighbours: `ops_registry` loads the libraries; `ops_try` and a unit test start this file as a
process of its own. LIBRARIES is a folder with libtensorflow_cc.so.2. Prints a JSON object: folder →
what refused it, "" where it loaded. No Python of TensorFlow is imported, so the kernels are those
that a server has. Must not judge.
"""

import ctypes
import json
import sys
from pathlib import Path

from lab.ops_registry import load

_RESULTS = ("TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel")


def main(libraries: str, *folders: str) -> None:
    """Ask about every folder, one after the other; what is loaded stays until the process ends."""
    tensorflow = load(Path(libraries))
    for name in _RESULTS:
        getattr(tensorflow, name).restype = ctypes.c_void_p
    tags = (ctypes.c_char_p * 1)(b"serve")
    found = {}
    for folder in folders:
        status = ctypes.c_void_p(tensorflow.TF_NewStatus())
        options = ctypes.c_void_p(tensorflow.TF_NewSessionOptions())
        graph = ctypes.c_void_p(tensorflow.TF_NewGraph())
        tensorflow.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, graph, None, status
        )
        code, message = tensorflow.TF_GetCode(status), tensorflow.TF_Message(status).decode()
        found[folder] = message or f"code {code}" if code else ""
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
