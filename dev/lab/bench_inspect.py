"""`dev/bench inspect`: our reader and command beside `saved_model_cli show`, on the same models.

Neighbours: `measured`. The models are made by TensorFlow at run time. Our package is compiled to
bytecode first, as an installed one is; TensorFlow is as the environment installed it. Rounds
alternate between the programs, so that a slow minute hits all of them.
"""

from __future__ import annotations

import compileall
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from lab.measured import Series, quiet_environment, take_peak, take_time
from lab.progress import step

ROOT = Path(__file__).resolve().parents[2]

MAKE = """
import sys
import numpy as np
import tensorflow as tf

class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(tf.ones([4, 3]))
        self.numbers = np.arange(int(sys.argv[2]) // 4, dtype=np.int32)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(self, x):
        found = tf.gather(tf.constant(self.numbers), tf.zeros([1], tf.int32))
        return {"y": x @ self.weight, "n": found}

if not sys.argv[2].isdecimal():
    import keras
    application = getattr(keras.applications, sys.argv[2])
    application(weights=None).export(sys.argv[1], verbose=False)
else:
    model = Model()
    tf.saved_model.save(model, sys.argv[1], signatures={"serving_default": model.serve})
"""

MODELS = {
    "small": "4000",
    "mobilenet": "MobileNetV2",
    "resnet": "ResNet50",
    "large": str(200 * 1024 * 1024),
}
"""Name → bytes of the constant in the graph, or the Keras application."""

READ = """
import sys, time
from savedmodel_operator.cli.folder import FileSource
from savedmodel_operator.savedmodel import read_saved_model

source = FileSource(sys.argv[1])
for _ in range(21):
    start, cpu = time.perf_counter(), time.process_time()
    read_saved_model(source)
    print(time.perf_counter() - start, time.process_time() - cpu)
"""

COMMAND = "from savedmodel_operator.cli.__main__ import main; main()"
CLI = "import sys; from tensorflow.python.tools.saved_model_cli import main; sys.exit(main())"


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--model", "names", multiple=True, type=click.Choice(list(MODELS)))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def run(rounds: int, names: tuple[str, ...], output: str) -> None:
    """Read SavedModels of several sizes, beside TensorFlow's saved_model_cli."""
    with tempfile.TemporaryDirectory(prefix="bench-inspect-") as folder:
        base = Path(folder)
        env = _install(base / "site")
        try:
            results = [_measure(base / name, name, env, rounds) for name in names or MODELS]
        except LabError as error:
            raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps(results, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(_table(results))


def _install(site: Path) -> dict[str, str]:
    """Our package with bytecode, as a wheel would install it; the environment to run it in."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "operator", site, ignore=ignore)
    compileall.compile_dir(site, quiet=2)
    return quiet_environment(PYTHONPATH=str(site))


def _measure(model: Path, name: str, env: Mapping[str, str], rounds: int) -> dict[str, Any]:
    with step(f"making the {name} model"):
        take_time([sys.executable, "-c", MAKE, model, MODELS[name]], env)
    pb = model / "saved_model.pb"
    one = ["--tag_set", "serve", "--signature_def", "serving_default"]
    programs: dict[str, list[str | Path]] = {
        "savedmodel inspect": [sys.executable, "-c", COMMAND, "inspect", model],
        "saved_model_cli show --all": [sys.executable, "-c", CLI, "show", "--dir", model, "--all"],
        "saved_model_cli show (one)": [sys.executable, "-c", CLI, "show", "--dir", model, *one],
    }
    series = {program: Series() for program in programs}
    for program, argv in programs.items():  # warm: page cache, bytecode
        with step(f"{name}: warming {program}"):
            take_time(argv, env)
    for number in range(rounds):
        with step(f"{name}: round {number + 1} of {rounds}"):
            for program, argv in programs.items():
                seconds, cpu = take_time(argv, env)
                series[program].seconds.append(seconds)
                series[program].cpu.append(cpu)
                series[program].peaks.append(take_peak(argv, env))
    reader = _read_in_process(pb, env, rounds)
    return _result(name, pb.stat().st_size, reader, series)


def _read_in_process(pb: Path, env: Mapping[str, str], rounds: int) -> Series:
    """Medians of 21 reads in each of so many processes."""
    argv = [sys.executable, "-c", READ, str(pb)]
    found = Series()
    for _ in range(rounds):
        done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, check=True)
        reads = [line.split() for line in done.stdout.splitlines()]
        found.seconds.append(statistics.median(float(seconds) for seconds, _ in reads))
        found.cpu.append(statistics.median(float(cpu) for _, cpu in reads))
        found.peaks.append(take_peak(argv, env))
    return found


def _result(name: str, size: int, reader: Series, series: dict[str, Series]) -> dict[str, Any]:
    all_, one = (series[f"saved_model_cli show {which}"] for which in ("--all", "(one)"))
    rows = {"reader in process": reader, **series}
    return {
        "model": name,
        "bytes": size,
        "rows": {
            row: {
                "seconds": found.median,
                "spread": found.spread,
                "cpuSeconds": found.median_cpu,
                "peakMiB": round(found.peak, 1),
                "fasterThanAll": all_.median / found.median,
                "fasterThanOne": one.median / found.median,
                "lessCpuThanAll": all_.median_cpu / found.median_cpu,
                "lessCpuThanOne": one.median_cpu / found.median_cpu,
            }
            for row, found in rows.items()
        },
    }


HEADINGS = (
    "model", "program", "time", "spread", "CPU", "peak",
    "× --all", "× (one)", "× CPU --all", "× CPU (one)",
)  # fmt: skip


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="saved_model.pb → tags, signatures, ops; median, fastest – slowest")
    for heading in HEADINGS:
        side: Literal["left", "right"] = "left" if heading in ("model", "program") else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    for result in results:
        label = f"{result['model']} {result['bytes'] / 1e6:.2f} MB"
        for row, found in result["rows"].items():
            low, high = found["spread"]
            ratios = ("fasterThanAll", "fasterThanOne", "lessCpuThanAll", "lessCpuThanOne")
            table.add_row(
                label,
                row,
                f"{found['seconds'] * 1e3:.1f} ms",
                f"{low * 1e3:.1f} – {high * 1e3:.1f}",
                f"{found['cpuSeconds'] * 1e3:.1f} ms",
                f"{found['peakMiB']:.1f} MiB",
                *(f"{found[ratio]:.1f}" for ratio in ratios),
            )
            label = ""
        table.add_section()
    return table
