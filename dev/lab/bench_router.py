"""`dev/bench router`: what a request pays for the router, beside the same request without it.

Neighbours: `bench_router_envoy` has the processes, `bench_router_load` the client. A round calls the
backend directly and then through the router (and the other way round in the next one), with the same
client at the same rate, so that a slow minute hits both. All of them share this machine's cores: the
client's own lag stands beside the figures. With other work on the machine, `--realtime` keeps that
work from being what is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lab.bench_router_envoy import Process, answered, pair
from lab.bench_router_load import LINES, Timing, drive
from lab.errors import LabError
from lab.progress import step

MIB = 2**20
RATES = (200, 500, 1000)
IDLE = 4.0  # seconds
WARM_UP = 1.0  # seconds before the first round of each


@dataclass
class Point:
    """One protocol at one rate, a list item per round; seconds, and MiB."""

    protocol: str
    rate: int
    direct: list[Timing] = field(default_factory=list)
    routed: list[Timing] = field(default_factory=list)
    router_cpu: list[float] = field(default_factory=list)
    """Seconds of CPU per second of the run."""
    resident: list[float] = field(default_factory=list)

    def added(self, share: float) -> list[float]:
        """Seconds that the router adds to this quantile, per round."""
        pairs = zip(self.routed, self.direct, strict=True)
        return [with_.quantile(share) - without.quantile(share) for with_, without in pairs]


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(0.5, 60))
@click.option("--rate", "rates", multiple=True, type=click.IntRange(10, 10_000))
@click.option("--protocol", "protocols", multiple=True, type=click.Choice(list(LINES)))
@click.option("--realtime", is_flag=True, help="Before all other work of the machine; needs root.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def run(
    rounds: int,
    seconds: float,
    rates: tuple[int, ...],
    protocols: tuple[str, ...],
    realtime: bool,
    output: str,
) -> None:
    """What the router adds to a request, and what it needs for a thousand per second."""
    load_before = os.getloadavg()[0]
    if realtime:  # the two Envoys inherit it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    points, idle = [], 0.0
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-router-") as folder,
            pair(Path(folder)) as (backend, router),
        ):
            idle = _idle(router)
            for protocol in protocols or LINES:
                for rate in rates or RATES:
                    points.append(_measure(protocol, rate, rounds, seconds, backend, router))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    results = [_result(point) for point in points]
    if output == "json":
        machine: dict[str, Any] = {"cores": os.cpu_count(), "loadBefore": round(load_before, 2)}
        machine |= {"realtime": realtime, "idleCores": round(idle, 3)}
        click.echo(json.dumps({**machine, "points": results}, indent=2))
    else:
        click.echo(f"The router without a request: {idle:.3f} cores.")
        Console(width=None if sys.stdout.isatty() else 150).print(_table(results))


def _idle(router: Process) -> float:
    """Cores that it takes for its health checks and statistics."""
    cpu, begin = router.cpu, time.monotonic()
    time.sleep(IDLE)
    return (router.cpu - cpu) / (time.monotonic() - begin)


def _measure(
    protocol: str, rate: int, rounds: int, seconds: float, backend: Process, router: Process
) -> Point:
    point = Point(protocol, rate)
    with step(f"{protocol} at {rate}/s"):
        for process in (backend, router):
            drive(protocol, process.address, rate, WARM_UP)
        for number in range(rounds):
            for process in (backend, router) if number % 2 else (router, backend):
                cpu, before = process.cpu, answered(router)
                timing = drive(protocol, process.address, rate, seconds)
                if process is backend:
                    point.direct.append(timing)
                    continue
                timing.failed += len(timing.seconds) - (answered(router) - before)
                point.routed.append(timing)
                point.router_cpu.append((process.cpu - cpu) / timing.lasted)
                point.resident.append(process.resident / MIB)
    return point


def _result(point: Point) -> dict[str, Any]:
    runs = (*point.direct, *point.routed)
    per_thousand = [
        cpu / timing.rate * 1000 for cpu, timing in zip(point.router_cpu, point.routed, strict=True)
    ]
    return {
        "protocol": point.protocol,
        "rate": point.rate,
        "reached": round(min(timing.rate for timing in runs)),
        "requests": sum(len(timing.seconds) for timing in point.routed),
        "failed": sum(timing.failed for timing in runs),
        "directP50": _spread([t.quantile(0.5) * 1e3 for t in point.direct]),
        "directP99": _spread([t.quantile(0.99) * 1e3 for t in point.direct]),
        "addedP50": _spread([value * 1e3 for value in point.added(0.5)]),
        "addedP99": _spread([value * 1e3 for value in point.added(0.99)]),
        "clientLagP99": _spread([t.lag * 1e3 for t in runs]),
        "coresPerThousand": _spread(per_thousand),
        "residentMiB": _spread(point.resident),
    }


def _spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest of the rounds."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


COLUMNS = {
    "directP50": "p50 direct, ms",
    "addedP50": "added, ms",
    "directP99": "p99 direct, ms",
    "addedP99": "added, ms",
    "clientLagP99": "client late p99, ms",
    "coresPerThousand": "cores per 1,000/s",
    "residentMiB": "MiB",
}


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("requests", "failed", *COLUMNS.values(), title="median (least - greatest round)")
    for found in results:
        label = f"{found['protocol']} {found['rate']}/s"
        if found["reached"] < 0.98 * found["rate"]:
            label += f" (reached {found['reached']})"
        cells = (
            f"{found[key]['median']:.2f} ({found[key]['min']:.2f} - {found[key]['max']:.2f})"
            for key in COLUMNS
        )
        table.add_row(label, str(found["failed"]), *cells)
    return table
