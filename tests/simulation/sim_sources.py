"""Stories about where the figures of an analysis come from: the model's own pods, Prometheus."""

from __future__ import annotations

from typing import Any

from simulation.sim_analysis import RATE, begin, reasons, refused
from simulation.sim_metrics import Answers
from simulation.sim_scenarios import Scenario
from simulation.sim_world import World


def _begin_served(world: World, answers: Answers, **analysis: Any) -> None:
    rate = analysis.pop("rate", RATE)
    analysis = {"maxLatency": {"p99": "250ms"}, **analysis, "source": "ServingMetrics"}
    begin(world, answers, rate, limits={k: v for k, v in analysis.items() if v})


def slow_servers(world: World) -> None:
    """The tail is too long by the servers' own measure."""
    _begin_served(world, Answers(slow=0.2))
    message = refused(world, "AnalysisFailed")
    assert "requests took 393 ms to 708 ms, the limit is 250 ms" in message


def slower_servers(world: World) -> None:
    """The median is far above that of stable's servers."""
    _begin_served(world, Answers(slow=1.0), maxLatency={}, maxLatencyRatio={"p50": "2"})
    assert "latencyRatio.p50: " in refused(world, "AnalysisFailed")


def errors_of_fast_servers(world: World) -> None:
    """This source knows no errors: what is quick is promoted."""
    _begin_served(world, Answers(client_errors=0.3))
    world.run(lambda: world.stable_number() == 2)
    world.metrics.stop()


def silent_servers(world: World) -> None:
    """Nobody asks them anything: that is no proof."""
    _begin_served(world, Answers(slow=1.0), rate=0)
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    refused(world, "DeadlineExceeded")


SOURCES: dict[str, Scenario] = {
    s.__name__: s for s in (slow_servers, slower_servers, errors_of_fast_servers, silent_servers)
}
