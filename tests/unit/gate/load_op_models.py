"""What TensorFlow's C++ loader, which the server has too, says of SavedModels.

    load_op_models.py LIBRARIES FOLDER…

LIBRARIES is a folder with libtensorflow_cc.so.2. Prints a JSON object: name of the folder → what
refused it, "" where it loaded. No Python of TensorFlow is imported, so kernels are the server's.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

from lab.ops_registry import load


def main(libraries: str, *folders: str) -> None:
    tensorflow = load(Path(libraries))
    for name in ("TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel"):
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
        found[Path(folder).name] = message or f"code {code}" if code else ""
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
