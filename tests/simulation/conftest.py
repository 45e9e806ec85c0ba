"""What the simulation did, told at the end of the run: counts, and how long a plan takes.

The figures come from both processes of a run as properties of the tests. Must not judge: the time
of a plan is a budget (design §14), no test.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from simulation.sim_crashes import quantile

PROPERTY = "simulation"
COUNTS = ("runs", "points", "pairs", "merged", "equal", "cycles", "writes")


@pytest.fixture(scope="session")
def one_thread() -> Iterator[ProcessPoolExecutor]:
    """A process that may fork: pytest's own has threads when it is one of several."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One paragraph over all tests that told what they played."""
    total: Counter[str] = Counter()
    seconds: Counter[int] = Counter()
    names, seeds, took = set(), 0, 0.0
    reports = [r for k in ("passed", "failed") for r in terminalreporter.stats.get(k, ())]
    for report in reports:
        for key, value in getattr(report, "user_properties", ()):
            if key == PROPERTY:
                names.add(value["name"])
                seeds += value["seeds"]
                took += report.duration
                total.update({count: value[count] for count in COUNTS})
                seconds.update({int(k): n for k, n in value["seconds"].items()})
    if not names:
        return
    terminalreporter.section("simulation")
    terminalreporter.write_line(
        f"{len(names)} stories; {seeds} of them under a seed without crashes; {total['points']} "
        f"crash points and {total['pairs']} pairs in rollbacks ({total['equal']} more leave the same world "
        f"behind as one of these), {total['merged']} of them up to a "
        f"known state: {total['runs']} runs, "
        f"{total['cycles']} cycles, {total['writes']} writes in {took:.0f} s of test time"
    )
    terminalreporter.write_line(
        f"a plan takes {quantile(seconds, 0.5) * 1e3:.2f} ms of CPU (median), "
        f"{quantile(seconds, 0.99) * 1e3:.2f} ms (p99)"
    )
