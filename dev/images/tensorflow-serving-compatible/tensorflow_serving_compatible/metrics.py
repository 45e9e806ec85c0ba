"""Counters and histograms under TensorFlow Serving's names, and their text page.

The names, labels and buckets are those of servables/tensorflow/util.cc,
saved_model_warmup_util.cc and batching_session.cc; the page is that of util/prometheus_exporter.cc
(colons for slashes, a `# TYPE` line, no help). prometheus-client would append `_total` to these
names, hence this module. Only cells that were touched appear. Thread-safe.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Sequence

PAGE_PATH = "/monitoring/prometheus/metrics"


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """tsl::monitoring::Buckets::Exponential: the upper bounds below the last, open bucket."""
    bounds, bound = [], scale
    for _ in range(count):
        bounds.append(bound)
        bound *= growth
    return bounds


# "Scale of 10, power of 1.8 with bucket count 33 (~20 minutes)" of util.cc, in microseconds.
LATENCY = exponential(10, 1.8, 33)


class Counter:
    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        self.name, self._labels = name, labels
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], int] = {}

    def add(self, amount: int, *values: str) -> None:
        with self._lock:
            self._cells[values] = self._cells.get(values, 0) + amount

    def lines(self) -> list[str]:
        with self._lock:
            cells = dict(self._cells)
        name = _metric_name(self.name)
        return [f"# TYPE {name} {self.kind}"] + [
            f"{name}{{{_pairs(self._labels, values)}}} {amount}"
            for values, amount in sorted(cells.items())
        ]


class Sampler:
    """A histogram; a value on a bound falls into the bucket above it, as in TensorFlow."""

    def __init__(self, name: str, *labels: str, bounds: Sequence[float] = LATENCY) -> None:
        self.name, self._labels, self._bounds = name, labels, bounds
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, value: float, *values: str) -> None:
        with self._lock:
            counts = self._cells.setdefault(values, [0] * (len(self._bounds) + 1))
            counts[bisect_right(self._bounds, value)] += 1
            self._sums[values] = self._sums.get(values, 0.0) + value

    def lines(self) -> list[str]:
        with self._lock:
            cells = {values: (list(counts), self._sums[values])
                     for values, counts in self._cells.items()}  # fmt: skip
        name = _metric_name(self.name)
        page = [f"# TYPE {name} histogram"]
        for values, (counts, total) in sorted(cells.items()):
            pairs = _pairs(self._labels, values)
            prefix = f"{name}_bucket{{{pairs}{',' if pairs else ''}"
            limits = [f"{bound:.6g}" for bound in self._bounds] + ["+Inf"]
            running = 0
            for limit, count in zip(limits, counts, strict=True):
                running += count
                page.append(f'{prefix}le="{limit}"}} {running}')
            page.append(f"{name}_sum{{{pairs}}} {total:.6g}")
            page.append(f"{name}_count{{{pairs}}} {running}")
        return page


def _metric_name(path: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", ":", path)


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(
        '{}="{}"'.format(
            re.sub(r"[^a-zA-Z0-9]", "_", name), value.replace("\\", "\\\\").replace('"', '\\"')
        )
        for name, value in zip(names, values, strict=True)
    )


class Metrics:
    """Every metric of this server."""

    def __init__(self) -> None:
        serving = "/tensorflow/serving"
        self.requests = Counter(f"{serving}/request_count", "model_name", "status")
        self.request_latency = Sampler(
            f"{serving}/request_latency", "model_name", "API", "entrypoint"
        )
        self.runtime_latency = Sampler(f"{serving}/runtime_latency", "model_name", "API", "runtime")
        self.example_counts = Sampler(
            f"{serving}/request_example_counts", "model", bounds=exponential(1, 2, 15)
        )
        self.example_total = Counter(f"{serving}/request_example_count_total", "model")
        self.warmup_latency = Sampler(f"{serving}/model_warmup_latency", "model_path", "status")
        self.warmup_records = Counter(
            f"{serving}/model_warmup_records_read", "model_path", "status"
        )
        self.queuing_latency = Sampler(
            f"{serving}/batching_session/queuing_latency", "thread_pool_name",
            bounds=exponential(100, 1.2, 52),
        )  # fmt: skip
        self.batched_runs = Counter(f"{serving}/batching_session/wrapped_run_count")
        self.load_attempts = Counter(
            "/tensorflow/cc/saved_model/load_attempt_count", "model_path", "status"
        )
        self.load_latency = Counter("/tensorflow/cc/saved_model/load_latency", "model_path")

    def page(self) -> str:
        """The page's text, metrics in the order of their names."""
        lines: list[str] = []
        for metric in sorted(vars(self).values(), key=lambda entry: str(entry.name)):
            lines += metric.lines()
        return "\n".join(lines) + "\n"
