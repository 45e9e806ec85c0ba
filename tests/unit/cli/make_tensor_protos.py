"""TensorFlow's own view of TensorProtos: writes its own, and reads ours. Run as a program.

python make_tensor_protos.py FOLDER    ours in FOLDER/ours.json, everything into FOLDER/tf.json
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

VALUES: dict[str, list[Any]] = {
    "DT_STRING": [b"", b"a\0", b"\xff"],
    "DT_BOOL": [True, False, True],
    "DT_COMPLEX64": [1 + 2j, 0, -1.5],
    "DT_COMPLEX128": [1 + 2j, 0, 1e300],
    "DT_UINT2": [0, 1, 3],
    "DT_INT2": [0, 1, -2],
}
SMALL = [0, 1, 2]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def plain(array: np.ndarray) -> list[Any]:
    if array.dtype == object:
        return [text(value) for value in array.ravel().tolist()]
    if array.dtype.kind == "c":
        return [[value.real, value.imag] for value in array.ravel().tolist()]
    if array.dtype.fields:  # a quantized type
        array = array.view(array.dtype[0])
    return [float(value) for value in array.ravel()]


def written(number: int, name: str) -> dict[str, Any]:
    """One tensor as content, and each of its values repeated, which takes the typed fields."""
    values = VALUES.get(name, SMALL)
    dtype = tf.as_dtype(number)
    array = np.array(values, dtype=dtype.as_numpy_dtype)
    content = tf.make_tensor_proto(array, dtype=dtype)
    try:
        typed = [
            tf.make_tensor_proto(array[i : i + 1], dtype=dtype, shape=[2, 2])
            for i in range(len(values))
        ]
    except TypeError:  # "Element type not supported in TensorProto"; the test knows which
        typed = []
    return {
        "values": plain(array),
        "content": text(content.SerializeToString()),
        "typed": [text(message.SerializeToString()) for message in typed],
    }


def main(folder: Path) -> None:
    ours = json.loads((folder / "ours.json").read_text())
    found: dict[str, Any] = {"written": {}, "read": {}}
    for name, number in types_pb2.DataType.items():
        if 0 < number < 100 and name not in ("DT_RESOURCE", "DT_VARIANT"):
            found["written"][name] = written(number, name)
    for name, data in ours.items():
        message = tensor_pb2.TensorProto.FromString(base64.b64decode(data))
        array = tf.make_ndarray(message)
        found["read"][name] = {
            "dtype": types_pb2.DataType.Name(message.dtype),
            "shape": list(array.shape),
            "values": plain(array),
        }
    (folder / "tf.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
