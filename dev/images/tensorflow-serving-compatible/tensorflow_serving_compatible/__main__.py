"""The program: flags in, a server until the process is ended.

There is no signal handling, as in TensorFlow Serving: SIGTERM and SIGINT have their default
effect, which for process 1 of a container means none. Exit code 255 where it cannot start.
"""

from __future__ import annotations

import logging
import signal
import sys

from tensorflow_serving_compatible import flags as command_line

FAILED = 255


def version_text(library: str) -> str:
    return (
        "tensorflow-serving-compatible: NOT TensorFlow Serving. A stand-in for development and "
        "tests only.\n"
        f"TensorFlow Library: {library}\n"
    )


def main(arguments: list[str], program: str = "tensorflow_model_server") -> int:
    try:
        flags = command_line.parse(arguments)
    except command_line.FlagError as error:
        sys.stdout.write(f"{error}\n{command_line.usage(program)}")
        return FAILED
    # Imported late: a wrong flag should answer at once, not after loading libraries.
    from tensorflow_serving_compatible.errors import StatusError
    from tensorflow_serving_compatible.runtime import Library

    if flags.version:
        sys.stdout.write(version_text(Library.get().version()))
        return 0
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s"
    )
    from tensorflow_serving_compatible.server import build_and_start

    try:
        server = build_and_start(flags)
    except StatusError as error:
        sys.stdout.write(f"Failed to start server. Error: {error}\n")
        return FAILED
    server.wait()
    return 0


if __name__ == "__main__":
    # Python's own handler would turn SIGINT into an exception in the main thread.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Threads that still load a model would keep a failed start alive.
    import os

    os._exit(code)
