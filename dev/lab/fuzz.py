"""`dev/fuzz [TARGET…] [--minutes N]`: looks for input that crashes, hangs, bloats or deceives.

Each target (`fuzz_targets`) gets its share of the time twice: atheris mutates bytes, led by the
coverage of the readers and begun with the kept corpus; hypothesis builds whole messages by their
descriptors (`fuzz_shapes`), writes them as binary and as text, and damages them. Findings go to
`--findings` and end the command with 1. `--keep` adds what reaches new code to the corpus in
`tests/unit/savedmodel/corpus`, which a unit test replays. Must not judge what a reader read.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from lab import fuzz_targets
from lab.fuzz_targets import TARGETS

CORPUS = Path(__file__).parents[2] / "tests" / "unit" / "savedmodel" / "corpus"
MAX_INPUT = 16 * 1024
"""Bytes of one input: hangs and bloat show by what a few bytes make a reader do."""

MAX_KEPT = 2048
"""Bytes of one kept file, so that the corpus stays small."""

MAX_FILES = 40
"""Kept files of one target."""


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(list(TARGETS)), metavar="[TARGET]...")
@click.option("--minutes", type=float, default=7.0, show_default=True, help="In all.")
@click.option("--engine", type=click.Choice(["both", "atheris", "hypothesis"]), default="both")
@click.option("--findings", type=click.Path(path_type=Path), help="Folder for inputs that fail.")
@click.option("--keep", is_flag=True, help="Add what reaches new code to the corpus.")
def main(
    targets: tuple[str, ...], minutes: float, engine: str, findings: Path | None, keep: bool
) -> None:
    """Fuzz the readers of bytes from outside."""
    chosen = targets or tuple(TARGETS)
    engines = ("atheris", "hypothesis") if engine == "both" else (engine,)
    seconds = max(2, int(minutes * 60 / len(chosen) / len(engines)))
    folder = findings or Path(tempfile.mkdtemp(prefix="fuzz-findings-"))
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for target in chosen:
        for name in engines:
            run = _atheris if name == "atheris" else _hypothesis
            cost, problem = run(target, seconds, folder, keep)
            failed |= bool(problem)
            click.echo(_line(target, name, seconds, cost, problem))
    if failed:
        click.echo(f"inputs that failed: {folder}", err=True)
    sys.exit(1 if failed else 0)


def _line(target: str, engine: str, seconds: int, cost: dict[str, float], problem: str) -> str:
    return (
        f"{target:12}{engine:11}{seconds:5} s {int(cost.get('runs', 0)):9} inputs, "
        f"{int(cost.get('accepted', 0)):8} accepted, most {cost.get('seconds', 0.0):.3f} s "
        f"{int(cost.get('memory', 0)) >> 20:3} MiB  {problem or 'no finding'}"
    )


def _atheris(target: str, seconds: int, folder: Path, keep: bool) -> tuple[dict[str, float], str]:
    kept = CORPUS / target
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        found, report = Path(work, "found"), Path(work, "report.json")
        found.mkdir()
        limits = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT}", "-rss_limit_mb=2048"]
        artifact = f"-artifact_prefix={folder}/{target}-"
        done = _child(target, report, str(found), str(kept), *limits, artifact)
        cost = json.loads(report.read_text()) if report.exists() else {}
        problem = "" if done.returncode == 0 else _problem(done.stdout + done.stderr)
        if keep and not problem:
            _keep(found, kept)
        return cost, problem


def _child(target: str, report: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.fuzz_child", target, str(report), *args]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _problem(log: str) -> str:
    """The line that says what was found: Python's own, else libFuzzer's."""
    _, python, said = log.partition("=== Uncaught Python exception: ===\n")
    lines = (said if python else log[log.find("ERROR: libFuzzer") :]).splitlines()
    return lines[0][:300] if lines else "it ended without a word"


def _keep(found: Path, kept: Path) -> None:
    """Adds small inputs that reached new code: libFuzzer wrote down only such."""
    room = MAX_FILES - sum(1 for _ in kept.iterdir())
    by_size = sorted(found.iterdir(), key=lambda file: (file.stat().st_size, file.name))
    fitting = [file for file in by_size if file.stat().st_size <= MAX_KEPT]
    for file in fitting[-max(room, 0) :] if room > 0 else ():
        shutil.copy(file, kept / file.name[:16])


def _hypothesis(
    target: str,
    seconds: int,
    folder: Path,
    keep: bool,  # noqa: ARG001  (its inputs are made, not kept)
) -> tuple[dict[str, float], str]:
    from lab.fuzz_shapes import explore

    cost = fuzz_targets.Cost()
    failing, problem = explore(target, seconds, cost)
    if failing is not None:
        Path(folder, f"{target}-hypothesis").write_bytes(failing)
    return asdict(cost), problem


if __name__ == "__main__":
    main(prog_name="dev/fuzz")
