"""Asks TensorFlow's C API which ops are registered, without importing TensorFlow's Python.

    python ops_registry.py FOLDER OUT [OP_LIBRARY…]

Neighbours: `ops_wheels` unpacks the libraries into FOLDER and starts this file as a process of its
own, because one process can hold only one TensorFlow. Writes the serialized OpList to OUT, and the
one with the op libraries loaded as well to OUT.more. Must not know what the lists are for.
"""

import ctypes
import sys
from pathlib import Path

LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")


class _Buffer(ctypes.Structure):
    """TF_Buffer of tensorflow/c/tf_buffer.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def load(folder: Path) -> ctypes.CDLL:
    """TensorFlow itself; its symbols are global, because op libraries look for them."""
    loaded = [ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL) for name in LIBRARIES]
    tensorflow = loaded[-1]
    tensorflow.TF_GetAllOpList.restype = ctypes.POINTER(_Buffer)
    tensorflow.TF_NewStatus.restype = ctypes.c_void_p
    tensorflow.TF_LoadLibrary.restype = ctypes.c_void_p
    tensorflow.TF_LoadLibrary.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    tensorflow.TF_GetCode.argtypes = (ctypes.c_void_p,)
    tensorflow.TF_Message.argtypes = (ctypes.c_void_p,)
    tensorflow.TF_Message.restype = ctypes.c_char_p
    return tensorflow


def op_list(tensorflow: ctypes.CDLL) -> bytes:
    """The serialized OpList of everything registered now."""
    buffer = tensorflow.TF_GetAllOpList().contents
    return ctypes.string_at(buffer.data, buffer.length)


def main(folder: str, out: str, *op_libraries: str) -> None:
    """Write the lists; SystemExit with TensorFlow's words for an op library that does not load."""
    tensorflow = load(Path(folder))
    Path(out).write_bytes(op_list(tensorflow))
    status = tensorflow.TF_NewStatus()
    for path in op_libraries:
        tensorflow.TF_LoadLibrary(path.encode(), status)
        if tensorflow.TF_GetCode(status):
            sys.exit(f"{path}: {tensorflow.TF_Message(status).decode(errors='replace')}")
    Path(out + ".more").write_bytes(op_list(tensorflow))


if __name__ == "__main__":
    main(*sys.argv[1:])
