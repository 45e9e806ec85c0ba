"""The TensorFlow C library: loading a SavedModel and running its session.

The only module that talks to the runtime, through the C API of the wheel's shared objects
(tensorflow/c/c_api.h, tf_tensor.h, tf_tstring.h). `TF_LoadSessionFromSavedModel` is the loader
family that TensorFlow Serving uses, and `TF_SessionRun` hands tensors to Session::Run as they
are, so messages about missing files, ops, kernels, dtypes and shapes are the runtime's own. In
particular the Python ops (`PyFunc`, `EagerPyFunc`) have no kernels here, as in the C++ server.
ctypes releases the interpreter lock while a call runs, so sessions run in parallel.
"""

from __future__ import annotations

import ctypes as c
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_serving_compatible import wheel
from tensorflow_serving_compatible.errors import Code, StatusError, not_found
from tensorflow_serving_compatible.protos import config_pb2, meta_graph_pb2
from tensorflow_serving_compatible.tensors import DT_STRING, Tensor, dtype_name, storage

# sizeof(TF_TString): a 24-byte union, small strings inline.
_TSTRING = 24


class _Buffer(c.Structure):
    _fields_ = (("data", c.c_void_p), ("length", c.c_size_t), ("deallocator", c.c_void_p))


class _Output(c.Structure):
    _fields_ = (("operation", c.c_void_p), ("index", c.c_int))


_DEALLOCATOR = c.CFUNCTYPE(None, c.c_void_p, c.c_size_t, c.c_void_p)

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (c.c_char_p, []),
    "TF_NewStatus": (c.c_void_p, []),
    "TF_DeleteStatus": (None, [c.c_void_p]),
    "TF_GetCode": (c.c_int, [c.c_void_p]),
    "TF_Message": (c.c_char_p, [c.c_void_p]),
    "TF_NewGraph": (c.c_void_p, []),
    "TF_DeleteGraph": (None, [c.c_void_p]),
    "TF_NewSessionOptions": (c.c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c.c_void_p]),
    "TF_SetConfig": (None, [c.c_void_p, c.c_char_p, c.c_size_t, c.c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c.c_void_p,
        [c.c_void_p, c.c_void_p, c.c_char_p, c.c_void_p, c.c_int, c.c_void_p, c.c_void_p,
         c.c_void_p],
    ),
    "TF_CloseSession": (None, [c.c_void_p, c.c_void_p]),
    "TF_DeleteSession": (None, [c.c_void_p, c.c_void_p]),
    "TF_NewBuffer": (c.POINTER(_Buffer), []),
    "TF_DeleteBuffer": (None, [c.c_void_p]),
    "TF_GraphOperationByName": (c.c_void_p, [c.c_void_p, c.c_char_p]),
    "TF_SessionRun": (
        None,
        [c.c_void_p, c.c_void_p, c.c_void_p, c.c_void_p, c.c_int, c.c_void_p, c.c_void_p,
         c.c_int, c.c_void_p, c.c_int, c.c_void_p, c.c_void_p],
    ),
    "TF_AllocateTensor": (c.c_void_p, [c.c_int, c.c_void_p, c.c_int, c.c_size_t]),
    "TF_NewTensor": (
        c.c_void_p,
        [c.c_int, c.c_void_p, c.c_int, c.c_void_p, c.c_size_t, _DEALLOCATOR, c.c_void_p],
    ),
    "TF_DeleteTensor": (None, [c.c_void_p]),
    "TF_TensorType": (c.c_int, [c.c_void_p]),
    "TF_NumDims": (c.c_int, [c.c_void_p]),
    "TF_Dim": (c.c_int64, [c.c_void_p, c.c_int]),
    "TF_TensorData": (c.c_void_p, [c.c_void_p]),
    "TF_TensorByteSize": (c.c_size_t, [c.c_void_p]),
    "TF_StringInit": (None, [c.c_void_p]),
    "TF_StringCopy": (None, [c.c_void_p, c.c_char_p, c.c_size_t]),
    "TF_StringGetDataPointer": (c.c_void_p, [c.c_void_p]),
    "TF_StringGetSize": (c.c_size_t, [c.c_void_p]),
    "TF_StringDealloc": (None, [c.c_void_p]),
}  # fmt: skip


class Library:
    """The loaded shared objects with typed entry points; one per process."""

    _lock = threading.Lock()
    _instance: Library | None = None

    def __init__(self) -> None:
        c.CDLL(str(wheel.FOLDER / "libtensorflow_framework.so.2"))
        self.api: Any = c.CDLL(str(wheel.FOLDER / "libtensorflow_cc.so.2"))
        for name, (result, arguments) in _SIGNATURES.items():
            entry = getattr(self.api, name)
            entry.restype, entry.argtypes = result, arguments
        self._libc: Any = c.CDLL(None)
        self._libc.malloc.restype, self._libc.malloc.argtypes = c.c_void_p, [c.c_size_t]
        self._libc.free.argtypes = [c.c_void_p]
        # Kept for the life of the process: TensorFlow may call it from any thread, any time.
        self._free_strings = _DEALLOCATOR(self._deallocate_strings)

    @classmethod
    def get(cls) -> Library:
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def version(self) -> str:
        return str(self.api.TF_Version().decode())

    def disable_xla(self) -> None:
        """tensorflow::DisableXlaCompilation(), which main.cc calls unless told otherwise."""
        self.api["_ZN10tensorflow21DisableXlaCompilationEv"]()

    def check(self, status: int) -> None:
        """Raises StatusError unless the TF_Status is OK; the message is TensorFlow's."""
        code = self.api.TF_GetCode(status)
        if code:
            message = self.api.TF_Message(status).decode("utf-8", "replace")
            raise StatusError(Code(code) if code in Code._value2member_map_ else Code.UNKNOWN,
                              message)  # fmt: skip

    def _deallocate_strings(self, data: int, length: int, _: int) -> None:
        for at in range(0, length, _TSTRING):
            self.api.TF_StringDealloc(data + at)
        self._libc.free(data)

    def new_tensor(self, tensor: Tensor) -> int:
        """A TF_Tensor with a copy of the values; the caller deletes it."""
        dims = (c.c_int64 * max(len(tensor.shape), 1))(*tensor.shape)
        if tensor.dtype == DT_STRING:
            return self._new_string_tensor(tensor, dims)
        array = np.ascontiguousarray(tensor.values, dtype=storage(tensor.dtype))
        made: int = self.api.TF_AllocateTensor(tensor.dtype, dims, len(tensor.shape), array.nbytes)
        if array.nbytes:
            c.memmove(self.api.TF_TensorData(made), array.ctypes.data, array.nbytes)
        return made

    def _new_string_tensor(self, tensor: Tensor, dims: Any) -> int:
        length = tensor.size * _TSTRING
        data = self._libc.malloc(max(length, 1))
        for index, value in enumerate(tensor.values):
            at = data + index * _TSTRING
            self.api.TF_StringInit(at)
            self.api.TF_StringCopy(at, value, len(value))
        made: int = self.api.TF_NewTensor(
            DT_STRING, dims, len(tensor.shape), data, length, self._free_strings, None
        )
        return made

    def read_tensor(self, source: int) -> Tensor:
        """A copy of a TF_Tensor.

        Raises StatusError(UNIMPLEMENTED) for element types without a protocol form here.
        """
        api = self.api
        dtype = api.TF_TensorType(source)
        shape = tuple(api.TF_Dim(source, axis) for axis in range(api.TF_NumDims(source)))
        data, length = api.TF_TensorData(source), api.TF_TensorByteSize(source)
        if dtype == DT_STRING:
            strings = []
            for at in range(data or 0, (data or 0) + Tensor(dtype, shape, ()).size * _TSTRING,
                            _TSTRING):  # fmt: skip
                strings.append(
                    c.string_at(api.TF_StringGetDataPointer(at), api.TF_StringGetSize(at))
                )
            return Tensor(dtype, shape, strings)
        kept = storage(dtype)
        if kept is None:
            raise StatusError(
                Code.UNIMPLEMENTED, f"tensors of type {dtype_name(dtype)} cannot be returned"
            )
        if not length:
            return Tensor(dtype, shape, np.zeros(0, dtype=kept))
        raw = (c.c_char * length).from_address(data)
        return Tensor(dtype, shape, np.frombuffer(raw, dtype=kept).copy())


class SavedModel:
    """A loaded SavedModel: its MetaGraphDef without the graph, and its session."""

    def __init__(self, path: str, tags: Sequence[str], session_config: bytes) -> None:
        """Loads `path`; raises StatusError with the loader's own message."""
        self._library = Library.get()
        api = self._library.api
        self._graph = api.TF_NewGraph()
        self._session: int | None = None
        self._operations: dict[str, int] = {}
        status, options = api.TF_NewStatus(), api.TF_NewSessionOptions()
        buffer = api.TF_NewBuffer()
        names = (c.c_char_p * max(len(tags), 1))(*[tag.encode() for tag in tags])
        try:
            api.TF_SetConfig(options, session_config, len(session_config), status)
            self._library.check(status)
            self._session = api.TF_LoadSessionFromSavedModel(
                options, None, path.encode(), names, len(tags), self._graph, buffer, status
            )
            self._library.check(status)
            content = c.string_at(buffer.contents.data, buffer.contents.length)
        except StatusError:
            self.close()
            raise
        finally:
            api.TF_DeleteBuffer(buffer)
            api.TF_DeleteSessionOptions(options)
            api.TF_DeleteStatus(status)
        meta_graph = meta_graph_pb2.MetaGraphDef.FromString(content)
        # --remove_unused_fields_from_bundle_metagraph: the session has its own copy.
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)

    def close(self) -> None:
        """Frees session and graph; no run may be under way."""
        api = self._library.api
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session:
            status = api.TF_NewStatus()
            api.TF_CloseSession(session, status)
            api.TF_DeleteSession(session, status)
            api.TF_DeleteStatus(status)
        if graph:
            api.TF_DeleteGraph(graph)

    def _output(self, name: str, missing: str) -> _Output:
        """`op:index` (or `op`) as TF_Output; NOT_FOUND with the graph rewriter's own words."""
        operation, _, index = name.partition(":")
        found = self._operations.get(operation)
        if found is None:
            found = self._library.api.TF_GraphOperationByName(self._graph, operation.encode())
            if not found:
                raise not_found(missing)
            self._operations[operation] = found
        return _Output(found, int(index or 0))

    def run(
        self,
        feeds: Sequence[tuple[str, Tensor]],
        fetches: Sequence[str],
        timeout_ms: int = 0,
    ) -> list[Tensor]:
        """Session::Run: one tensor per fetch, in order. `timeout_ms` 0 means none.

        Raises StatusError with the session's message.
        """
        api, library = self._library.api, self._library
        inputs = [
            self._output(name, f"FeedInputs: unable to find feed output {name}")
            for name, _ in feeds
        ]
        outputs = [self._output(name, f"FetchOutputs node {name}: not found") for name in fetches]
        options = config_pb2.RunOptions(timeout_in_ms=timeout_ms).SerializeToString()
        buffer = _Buffer(c.cast(c.c_char_p(options), c.c_void_p), len(options), None)
        values = (c.c_void_p * max(len(inputs), 1))()
        results = (c.c_void_p * max(len(outputs), 1))()
        status = api.TF_NewStatus()
        try:
            for index, (_, tensor) in enumerate(feeds):
                values[index] = library.new_tensor(tensor)
            api.TF_SessionRun(
                self._session, c.byref(buffer),
                (_Output * max(len(inputs), 1))(*inputs), values, len(inputs),
                (_Output * max(len(outputs), 1))(*outputs), results, len(outputs),
                None, 0, None, status,
            )  # fmt: skip
            library.check(status)
            return [library.read_tensor(results[index] or 0) for index in range(len(outputs))]
        finally:
            for handle in (*values, *results):
                if handle:
                    api.TF_DeleteTensor(handle)
            api.TF_DeleteStatus(status)
