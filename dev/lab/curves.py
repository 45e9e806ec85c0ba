"""`dev/curves`: how often analysis condemns a healthy version, and how soon a bad one; as pictures.

Runs simulated rollouts (`rollout_sim`) in processes, writes docs/analysis/{false,detection}.svg and
figures.json beside them. The same seeds give the same figures. What is known is kept: started again,
it goes on with the points, and of a healthy one with the rollouts, that are missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any

from lab.rollout_sim import LIMITS, Ending, Plan, Version, run

RATES = (1, 3, 10, 30, 100, 300, 1000)
FACTORS = (1.5, 2.0, 5.0, 10.0)
HEALTHY = {
    "at every limit": (Version(0.01, 0.03, 0.250), Version(0.01, 0.02, 0.250 / 1.5)),
    "half of every limit": (Version(0.005, 0.025, 0.125), Version(0.005, 0.02, 0.125)),
}
"""Candidate and stable. At every limit is the worst healthy version that there can be."""


def bad(kind: str, factor: float) -> tuple[Version, Version]:
    """A candidate that breaks one limit by this factor, and a good stable."""
    stable = Version()
    if kind == "server errors":
        return Version(server_errors=0.01 * factor), stable
    if kind == "client errors":
        return Version(client_errors=stable.client_errors + 0.01 * factor), stable
    return Version(p99=0.250 * factor), stable


CHUNK = 500
"""Rollouts of a healthy version after which what is known is kept."""

KINDS = ("server errors", "client errors", "latency")


@dataclass(frozen=True)
class Case:
    """So many runs of one pair of versions at one rate, from one seed on."""

    rate: float
    versions: tuple[Version, Version]
    seed: int
    runs: int

    def endings(self) -> list[Ending]:
        """All of them."""
        return [
            run(self.rate, *self.versions, seed, Plan(), LIMITS)
            for seed in range(self.seed, self.seed + self.runs)
        ]


def _spread(pool: ProcessPoolExecutor, case: Case, chunk: int = 50) -> list[Ending]:
    parts = [
        Case(case.rate, case.versions, case.seed + i, min(chunk, case.runs - i))
        for i in range(0, case.runs, chunk)
    ]
    return [ending for part in pool.map(Case.endings, parts) for ending in part]


@dataclass(frozen=True)
class Figures:
    """What was measured so far, and the file in which it stands."""

    file: Path
    seed: int
    found: dict[str, Any]

    @classmethod
    def read(cls, file: Path, seed: int) -> Figures:
        """Earlier points count where they began with the same seed."""
        old = json.loads(file.read_text()) if file.exists() else {}
        fresh: dict[str, Any] = {"seed": seed, "healthy": {}, "bad": {}}
        return cls(file, seed, old if old.get("seed") == seed else fresh)

    def rows(self, kind: str, name: str) -> list[dict[str, Any]]:
        """One curve, by rate."""
        rows: list[dict[str, Any]] = self.found[kind].setdefault(name, [])
        return rows

    def known(self, kind: str, name: str, rate: float) -> dict[str, Any]:
        """What that point has so far."""
        fresh = {"rate": rate, "runs": 0, "rolledBack": 0}
        return next((r for r in self.rows(kind, name) if r["rate"] == rate), fresh)

    def add(self, kind: str, name: str, row: dict[str, Any]) -> None:
        """One more point, kept at once."""
        rows = self.rows(kind, name)
        rows[:] = sorted(
            [*(r for r in rows if r["rate"] != row["rate"]), row], key=itemgetter("rate")
        )
        self.file.write_text(json.dumps(self.found, indent=1) + "\n")
        print(f"{name}: {row}", flush=True)


def measure(
    figures: Figures, rates: Sequence[float], runs: int, bad_runs: int, jobs: int | None = None
) -> None:
    """All points; `runs` for each of the healthy ones, `bad_runs` for the others. `jobs`: processes,
    by default one for each core."""
    seed = figures.seed
    with ProcessPoolExecutor(jobs) as pool:
        for (name, pair), rate in product(HEALTHY.items(), rates):
            known = figures.known("healthy", name, rate)
            while known["runs"] < runs:
                begun, more = known["runs"], min(CHUNK, runs - known["runs"])
                seen = _spread(pool, Case(rate, pair, seed + begun, more))
                gone = known["rolledBack"] + sum(e.seconds is not None for e in seen)
                known = {"rate": rate, "runs": begun + more, "rolledBack": gone}
                figures.add("healthy", name, known)
        for kind, factor, rate in product(KINDS, FACTORS, rates):
            name = f"{kind} x{factor:g}"
            if figures.known("bad", name, rate)["runs"] < bad_runs:
                case = Case(rate, bad(kind, factor), seed, bad_runs)
                figures.add("bad", name, _caught(rate, _spread(pool, case, 20)))


def _caught(rate: float, endings: Sequence[Ending]) -> dict[str, Any]:
    times = sorted(e.seconds for e in endings if e.seconds is not None)
    return {
        "rate": rate,
        "runs": len(endings),
        "missed": len(endings) - len(times),
        "medianSeconds": statistics.median(times) if times else None,
        "p90Seconds": times[int(len(times) * 0.9)] if times else None,
    }


def draw(figures: dict[str, Any], folder: Path) -> None:
    """The pictures of what was measured."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "savedmodel"
    _draw_false(figures, folder / "false.svg")
    _draw_detection(figures, folder / "detection.svg")


def _axes(rows: int, columns: int, title: str) -> tuple[Any, Any]:
    from matplotlib import pyplot

    size = (5.2 * columns, 4 * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False)
    figure.suptitle(title)
    figure.subplots_adjust(hspace=0.35)
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.set_xlabel("requests per second, both versions together")
        axis.grid(alpha=0.3)
    return figure, axes


def _draw_false(figures: dict[str, Any], file: Path) -> None:
    figure, ((axis,),) = _axes(1, 1, "Healthy versions that were rolled back")
    for name, rows in figures["healthy"].items():
        rates, shares = _columns(rows, lambda r: 100 * r["rolledBack"] / r["runs"])
        axis.plot(rates, shares, marker="o", label=name)
    axis.axhline(5, color="red", linestyle="--", label="budget: 5 %")
    axis.set_ylabel("% of rollouts")
    axis.set_ylim(-0.2, 6)
    axis.legend()
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")


def _draw_detection(figures: dict[str, Any], file: Path) -> None:
    figure, axes = _axes(2, len(KINDS), "Bad versions: missed, and time to the verdict")
    for i, kind in enumerate(KINDS):
        missed, times = axes[:, i]
        for factor in FACTORS:
            rows = figures["bad"][f"{kind} x{factor:g}"]
            label = f"{factor:g} × the limit"
            missed.plot(
                *_columns(rows, lambda r: 100 * r["missed"] / r["runs"]), marker="o", label=label
            )
            known = [r for r in rows if r["medianSeconds"] is not None]
            times.plot(*_columns(known, lambda r: r["medianSeconds"]), marker="o", label=label)
        missed.set_title(f"{kind}: missed, % of rollouts")
        times.set_title(f"{kind}: median seconds to the verdict")
        times.set_yscale("log")
        missed.set_ylim(-3, 103)
        missed.legend()
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")


def _columns(rows: Iterable[dict[str, Any]], value: Any) -> tuple[list[float], list[float]]:
    listed = list(rows)
    return [row["rate"] for row in listed], [value(row) for row in listed]


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(prog="dev/curves", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="rollouts per healthy point")
    parser.add_argument("--bad-runs", type=int, default=1000, help="rollouts per bad point")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, help="processes; by default one for each core")
    parser.add_argument("--out", type=Path, default=Path("docs/analysis"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    figures = Figures.read(options.out / "figures.json", options.seed)
    measure(figures, options.rates, options.runs, options.bad_runs, options.jobs)
    draw(figures.found, options.out)


if __name__ == "__main__":
    main()
