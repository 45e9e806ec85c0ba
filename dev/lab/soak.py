"""`dev/soak [SCENARIO…] [--seeds N] [--minutes M]`: plays the stories of tests/simulation for long.

Every story under N seeds, spread over all cores, until done or until the time is over; then, with
`--crashes`, every crash point of each and every pair within its rollback, up to a state that is known
already (`--thorough`: each to the end). What fails is printed with the command that plays it again
and its transcript, and ends the command with 1. Must not judge: the stories and invariants are those
of the tests.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import click

TESTS = Path(__file__).parents[2] / "tests"
SHOWN = 5
"""Failures that are printed in full."""


def _simulation(module: str) -> Any:
    """A module of tests/simulation, which is no package of ours to import by name."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module(f"simulation.{module}")


Job = tuple[str, str, int, tuple[tuple[int, str], ...]]
"""(what, scenario, seed, faults); what: "seed", "crashes": all its crash points, or "thorough": each of
them to the story's end."""


def carry_out(job: Job) -> tuple[str, int, list[str]]:
    """In a child process: the scenario, how many runs, what failed."""
    what, name, seed, faults = job
    if what in ("crashes", "thorough"):
        tally = _simulation("sim_crashes").explore(name, seed, thorough=what == "thorough")
        return name, tally.runs, tally.failures
    play, fault = _simulation("sim_play"), _simulation("sim_world").Fault
    case = play.Case(name, seed, tuple(fault(*f) for f in faults))
    failure = case.attempt(play.end_state(play.play(name, seed)) if faults else None)
    return name, 1, [failure] if failure else []


def jobs_of(
    names: Iterable[str],
    seeds: range,
    faults: tuple[tuple[int, str], ...] = (),
    crashes: str = "",
) -> Iterator[Job]:
    """All work, seed by seed, so that a run that is cut short has tried every story."""
    listed = list(names)
    for seed, name in itertools.product(seeds, listed):
        yield "seed", name, seed, faults
    for name in listed if crashes else ():
        yield crashes, name, seeds.start, ()


def run(
    jobs: Iterator[Job], processes: int, until: float, enough: int | None = None
) -> tuple[Counter[str], list[str]]:
    """Runs per scenario and what failed; no job begins after `until` (monotonic), nor once there
    are `enough` failures."""
    runs: Counter[str] = Counter()
    failures: list[str] = []
    with ProcessPoolExecutor(processes) as pool:
        open_jobs: set[Future[tuple[str, int, list[str]]]] = set()
        while True:
            while len(open_jobs) < 2 * processes and time.monotonic() < until:
                if enough is not None and len(failures) >= enough:
                    break
                job = next(jobs, None)
                if job is None:
                    break
                open_jobs.add(pool.submit(carry_out, job))
            if not open_jobs:
                return runs, failures
            done, open_jobs = wait(open_jobs, return_when=FIRST_COMPLETED)
            for future in done:
                name, count, failed = future.result()
                runs[name] += count
                for failure in failed:
                    failures.append(failure)
                    if len(failures) <= SHOWN:
                        click.echo(f"FAILED: {failure}\n")


def _fault(text: str) -> tuple[int, str]:
    mode, _, write = text.partition("@")
    if mode not in ("before", "after", "lost") or not write.isdecimal():
        raise click.BadParameter(f"{text}: say before@N, after@N or lost@N")
    return int(write), mode


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--seeds", type=int, default=100, show_default=True, help="Per scenario.")
@click.option("--first", type=int, default=0, show_default=True, help="The first seed.")
@click.option("--minutes", type=float, help="Begin nothing new after this time.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, help="Processes; all cores.")
@click.option("--crashes", is_flag=True, help="Every crash point, and pairs in the rollback, too.")
@click.option(
    "--thorough", is_flag=True, help="Follow each crash to the end, even from known states."
)
@click.option("--stop", is_flag=True, help="Begin nothing new after the first failure.")
@click.option("--crash", "dies", multiple=True, help="Die at a write: before@N, after@N, lost@N.")
def main(
    scenarios: tuple[str, ...],
    seeds: int,
    first: int,
    minutes: float | None,
    jobs: int,
    crashes: bool,
    thorough: bool,
    stop: bool,
    dies: tuple[str, ...],
) -> None:
    """Play the simulated stories under many seeds and crashes."""
    known = list(_simulation("sim_stories").EVERY)
    unknown = sorted(set(scenarios) - set(known))
    if unknown:
        raise click.UsageError(f"no such scenario: {', '.join(unknown)}; there are {known}")
    began = time.monotonic()
    until = began + minutes * 60 if minutes is not None else float("inf")
    work = jobs_of(
        scenarios or known,
        range(first, first + seeds),
        tuple(_fault(text) for text in dies),
        "thorough" if thorough else "crashes" if crashes else "",
    )
    runs, failures = run(work, jobs, until, 1 if stop else None)
    for name in known:
        if runs[name]:
            click.echo(f"{name:28}{runs[name]:7} runs")
    took = time.monotonic() - began
    click.echo(f"{sum(runs.values())} runs, {len(failures)} failed, {took:.0f} s")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
