"""One loaded version, and how a path becomes one: session options, load, warm-up, batching.

Follows servables/tensorflow/saved_model_bundle_factory.cc and session_bundle_util.cc. The
runtime does the loading; warm-up replays records through the same functions as requests.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tensorflow_serving_compatible.config import read_text_proto
from tensorflow_serving_compatible.errors import StatusError, invalid_argument, not_found
from tensorflow_serving_compatible.flags import Flags
from tensorflow_serving_compatible.metrics import Metrics
from tensorflow_serving_compatible.protos import config_pb2
from tensorflow_serving_compatible.runtime import SavedModel
from tensorflow_serving_compatible.tensors import Tensor

log = logging.getLogger(__name__)


class Session(Protocol):
    """Session::Run, plain or batched."""

    def run(
        self,
        feeds: Sequence[tuple[str, Tensor]],
        fetches: Sequence[str],
        timeout_ms: int = 0,
    ) -> list[Tensor]: ...


class Model:
    """A loaded version: its signatures and the session that requests run in."""

    def __init__(self, saved: SavedModel, session: Session) -> None:
        self._saved = saved
        self.signatures: dict[str, Any] = saved.signatures
        self.session = session

    def close(self) -> None:
        self._saved.close()


WrapSession = Callable[[SavedModel], Session]
WarmUp = Callable[[str, Model], None]


class ModelLoader:
    def __init__(
        self, flags: Flags, metrics: Metrics, *, wrap: WrapSession | None, warm_up: WarmUp | None
    ) -> None:
        self._tags = flags.saved_model_tags.split(",") if flags.saved_model_tags else ["serve"]
        self._options = session_options(flags)
        self._metrics, self._wrap, self._warm_up = metrics, wrap, warm_up

    def load(self, name: str, version: int, path: str) -> Model:
        """Loads one version. Raises StatusError with the runtime's words."""
        folder = Path(path)
        if not any((folder / file).exists() for file in ("saved_model.pb", "saved_model.pbtxt")):
            raise not_found(
                "Specified file path does not appear to contain a SavedModel bundle (should "
                f"have a file called `saved_model.pb`)\nSpecified file path: {path}"
            )
        options = config_pb2.ConfigProto()
        options.CopyFrom(self._options)
        options.experimental.session_metadata.name = name
        options.experimental.session_metadata.version = version
        start = time.monotonic_ns()
        try:
            saved = SavedModel(path, self._tags, options.SerializeToString())
        except StatusError:
            self._metrics.load_attempts.add(1, path, "fail")
            raise
        self._metrics.load_attempts.add(1, path, "success")
        self._metrics.load_latency.add((time.monotonic_ns() - start) // 1000, path)
        model = Model(saved, self._wrap(saved) if self._wrap else saved)
        try:
            if self._warm_up is not None:
                self._warm_up(path, model)
        except StatusError:
            model.close()
            raise
        return model


def session_options(flags: Flags) -> Any:
    """The ConfigProto that model_servers/server.cc makes of the flags. Raises StatusError."""
    options = config_pb2.ConfigProto()
    if flags.tensorflow_session_config_file:
        read_text_proto(flags.tensorflow_session_config_file, options)
    options.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    both, intra, inter = (
        flags.tensorflow_session_parallelism,
        flags.tensorflow_intra_op_parallelism,
        flags.tensorflow_inter_op_parallelism,
    )
    if both > 0 and intra > 0 and inter > 0:
        raise invalid_argument(
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. "
            "You cannot configure all."
        )
    if intra > 0 or inter > 0:
        options.intra_op_parallelism_threads = intra
        options.inter_op_parallelism_threads = inter
    else:
        options.intra_op_parallelism_threads = both
        options.inter_op_parallelism_threads = both
    return options
