"""The server's heart: which models are configured, their labels, and looking one up.

Joins configuration, the watch on the versions' folders, the manager and the monitor, as
model_servers/server_core.cc does. The edges (REST, gRPC) and the reload of the configuration
file call it; it knows neither requests nor tensors.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from tensorflow_serving_compatible import config as configs
from tensorflow_serving_compatible.errors import (
    Code,
    StatusError,
    failed_precondition,
    invalid_argument,
)
from tensorflow_serving_compatible.flags import Flags
from tensorflow_serving_compatible.manager import Manager, Retries
from tensorflow_serving_compatible.model import Model, ModelLoader
from tensorflow_serving_compatible.monitor import Monitor, Published, State
from tensorflow_serving_compatible.versions import poll

log = logging.getLogger(__name__)


class ServerCore:
    def __init__(self, flags: Flags, loader: ModelLoader, initial_load_threads: int) -> None:
        self._flags = flags
        self.monitor = Monitor()
        self._manager = Manager(
            loader.load,
            self.monitor,
            Retries(flags.max_num_load_retries, flags.load_retry_interval_micros),
            load_threads=flags.num_load_threads,
            unload_threads=flags.num_unload_threads,
        )
        self._initial_load_threads = initial_load_threads
        self._reload_lock = threading.Lock()
        self._config: Any = None
        self._labels: dict[str, dict[str, int]] = {}
        # Held while versions are looked up and aspired, so that a look that began with the old
        # configuration cannot bring a removed model back.
        self._source = threading.Lock()
        self._watch = threading.Condition()
        self._watching = False

    # --- configuration -----------------------------------------------------------------

    def reload(self, config: Any) -> None:
        """Takes a ModelServerConfig and returns when its new models are available.

        The first call waits for every model. Raises StatusError: what is wrong with it, or
        which model did not become available.
        """
        with self._reload_lock:
            first = self._config is None
            if config.WhichOneof("config") is None:
                log.info("Taking no action for empty config.")
                return
            configs.validate(config)
            configs.refuse_unsupported(config)
            old = set() if first else {m.name for m in self._config.model_config_list.config}
            self._labels = self._resolve_labels(config)
            new = [m.name for m in config.model_config_list.config if m.name not in old]
            with self._source:
                self._config = config
                for name in old - {m.name for m in config.model_config_list.config}:
                    self._manager.set_aspired(name, [])
            if first:
                self._manager.start(self._initial_load_threads)
            self._start_watching()
            self._await(new, first=first)
            if first:
                self._manager.initial_loads_done()

    def _resolve_labels(self, config: Any) -> dict[str, dict[str, int]]:
        """Labels must point at available versions, except where the allow flag lets new ones."""
        resolved: dict[str, dict[str, int]] = {}
        for model in config.model_config_list.config:
            states = self.monitor.versions(model.name)
            for label, version in model.version_labels.items():
                present = self._labels.get(model.name, {}).get(label)
                allowed = self._flags.allow_version_labels_for_unavailable_models and present in (
                    None,
                    version,
                )
                known = states.get(version)
                if not allowed and (known is None or known.state is not State.AVAILABLE):
                    raise failed_precondition(
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference"
                    )
                resolved.setdefault(model.name, {})[label] = version
        return resolved

    def _await(self, names: list[str], *, first: bool) -> None:
        reached = self.monitor.wait_available(names)
        failed = {key: found for key, found in reached.items()
                  if found.state is not State.AVAILABLE}  # fmt: skip
        if not failed:
            return
        kind = "servable(s)" if first else "model(s)"
        details = "".join(
            f"{{{{name: {name} version: {version}}}{_due_to(found)}}}, "
            for (name, version), found in sorted(failed.items())
        )
        raise StatusError(
            Code.UNKNOWN, f"{len(failed)} {kind} did not become available: {{{details}}}"
        )

    # --- the watch on the file system --------------------------------------------------

    def _start_watching(self) -> None:
        """Looks at once (again), and then as often as --file_system_poll_wait_seconds says."""
        interval = self._flags.file_system_poll_wait_seconds
        if interval < 0:
            return
        with self._watch:
            if not self._watching:
                self._watching = True
                if interval == 0:
                    threading.Thread(target=self._look, name="fs_poll", daemon=True).start()
                else:
                    threading.Thread(
                        target=self._look_for_ever, args=(interval,), name="fs_poll", daemon=True
                    ).start()
            self._watch.notify_all()

    def _look_for_ever(self, interval: int) -> None:
        while True:
            self._look()
            with self._watch:
                self._watch.wait(interval)

    def _look(self) -> None:
        with self._source:
            self._look_at(self._config.model_config_list.config)

    def _look_at(self, models: Any) -> None:
        try:
            wanted = poll(models)
        except (StatusError, OSError) as error:
            log.error(  # noqa: TRY400 - polled again; a trace each second says nothing more
                "FileSystemStoragePathSource encountered a filesystem access error: %s",
                getattr(error, "message", error),
            )
            return
        for name, versions in wanted.items():
            if not versions:
                log.warning(
                    "No versions of servable %s found under base path. Did you forget to name "
                    "your leaf directory as a number (eg. '/1/')?", name,
                )  # fmt: skip
            self._manager.set_aspired(name, versions)

    # --- requests ----------------------------------------------------------------------

    @contextmanager
    def model(self, spec: Any) -> Iterator[tuple[int, Model]]:
        """The loaded version that a ModelSpec names, held while it is in use.

        Raises StatusError: NOT_FOUND, or INVALID_ARGUMENT for a spec without a name or with an
        unknown label.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        version: int | None = None
        if choice == "version":
            version = spec.version.value
        elif choice == "version_label":
            version = self._labels.get(spec.name, {}).get(spec.version_label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        with self._manager.use(spec.name, version) as (number, servable):
            yield number, cast("Model", servable)


def _due_to(found: Published) -> str:
    return f" due to error: {found.error}" if found.error else ""
