"""Runs a program and says how long it took and how much memory it held at most.

Neighbours: the `bench_*` modules. Time and memory are measured in runs of their own, because
looking at the memory costs time. Must not know what is measured.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError

_LOOK_EVERY = 0.001
_LONGEST = 600.0


@dataclass
class Series:
    """What the rounds gave: seconds by the clock, seconds of CPU, and peak resident bytes."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def median_cpu(self) -> float:
        """Seconds of CPU, user and system, of all threads: hardly moved by other work."""
        return statistics.median(self.cpu)

    @property
    def spread(self) -> tuple[float, float]:
        """Fastest and slowest, in seconds."""
        return min(self.seconds), max(self.seconds)

    @property
    def peak(self) -> float:
        """Median of the peaks, in MiB."""
        return statistics.median(self.peaks) / 2**20


def take_time(argv: Sequence[str | Path], env: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from start to end, and seconds of CPU. Raises LabError if the program fails."""
    before, start = _children_cpu(), time.perf_counter()
    done = subprocess.run(
        [str(a) for a in argv], env=dict(env), capture_output=True, check=False, timeout=_LONGEST
    )
    spent = time.perf_counter() - start
    if done.returncode:
        raise LabError(f"{argv[0]} failed: {done.stderr.decode(errors='replace')[-400:]}")
    return spent, _children_cpu() - before


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def take_peak(argv: Sequence[str | Path], env: Mapping[str, str]) -> int:
    """Bytes resident at most (VmHWM), read until the program ends.

    Not from wait4: its figure starts with the memory of the process that forked.
    """
    with subprocess.Popen(
        [str(a) for a in argv],
        env=dict(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        peak, end = 0, time.monotonic() + _LONGEST
        while process.poll() is None and time.monotonic() < end:
            peak = max(peak, _high_water(process.pid))
            time.sleep(_LOOK_EVERY)
        if process.poll() is None:
            process.kill()
            raise LabError(f"{argv[0]} did not end within {_LONGEST:.0f} s")
    return peak


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) * 1024 if found else 0


def quiet_environment(**extra: str) -> dict[str, str]:
    """Ours without what slows Python's start, such as a ban on writing bytecode."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TF_"))}
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **extra}
