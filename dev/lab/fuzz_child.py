"""One target under atheris: a process of its own, because libFuzzer ends it. For `fuzz` alone.

`python -m lab.fuzz_child TARGET REPORT libFuzzer's arguments…`. The costs are written to REPORT
every second, as the process has no orderly end.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it has none

INSTRUMENTED = ("api", "cli", "plan", "savedmodel", "storage", "workload")
with atheris.instrument_imports(include=[f"savedmodel_operator.{room}" for room in INSTRUMENTED]):
    from lab import fuzz_targets
    from lab.fuzz_oracle import Protobuf

_REPORT_EVERY = 1.0


def main() -> None:
    """Fuzzes until libFuzzer's arguments say to stop, or until a finding."""
    target, report = sys.argv[1], Path(sys.argv[2])
    cost, oracle = fuzz_targets.Cost(), Protobuf()
    written = 0.0

    def one_input(data: bytes) -> None:
        nonlocal written
        try:
            fuzz_targets.measured(target, data, cost, oracle)
        finally:
            if time.monotonic() - written > _REPORT_EVERY:
                report.write_text(json.dumps(asdict(cost)))
                written = time.monotonic()

    atheris.Setup([sys.argv[0], *sys.argv[3:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
