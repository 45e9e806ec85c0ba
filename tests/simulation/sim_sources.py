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


def _begin_asked(world: World, value: float | str | None, **analysis: Any) -> None:
    """Prometheus knows this of version 2."""
    if value is not None:
        world.metrics.prometheus.values[2] = value
    queries = [
        {"name": "errors", "query": 'errors{revision="{{ revision }}"}', "max": "0.02"},
        {"name": "served", "query": 'served{revision="{{ revision }}"}', "min": "0"},
    ]
    place = {"address": "http://prometheus:9090"}
    limits = {"source": "Prometheus", "prometheus": place, "queries": queries, **analysis}
    begin(world, Answers(), 0, limits=limits)


def query_beyond_its_bound(world: World) -> None:
    """One number is too high: taken back with the query's name, the number and the bound."""
    _begin_asked(world, 0.25)
    message = refused(world, "AnalysisFailed")
    assert "query errors: the answer is 0.25, the maximum is 0.02" in message
    assert "use the action retry to try it again" in message


def broken_look_of_queries_tolerated(world: World) -> None:
    """With failureLimit 2 the third broken look ends it, however many cycles see one."""
    _begin_asked(world, 0.25, failureLimit=2)
    for broken in (1, 2):
        world.run(lambda b=broken: _broken_looks(world) == b)  # type: ignore[misc]
        at = world.metrics.prometheus.asked_at
        for _ in range(5):
            world.wake(0.01)
            world.settle(0.2)
        if world.metrics.prometheus.asked_at == at:
            assert _broken_looks(world) == broken, "the same round is the same look"
    refused(world, "AnalysisFailed")


def queries_recover(world: World) -> None:
    """A broken look that was tolerated does not let the step go; the next one does."""
    _begin_asked(world, 0.25, failureLimit=1, onInconclusive="Advance")
    world.run(lambda: _broken_looks(world) == 1)
    world.metrics.prometheus.values[2] = 0.01
    world.run(lambda: world.stable_number() == 2)


def queries_within_bounds(world: World) -> None:
    """All numbers are fine: promoted."""
    _begin_asked(world, 0.01)
    world.run(lambda: world.stable_number() == 2)


def prometheus_silent(world: World) -> None:
    """Nobody answers: it waits, condemns nobody before the deadline, and says what is wrong."""
    world.metrics.prometheus.up = False
    _begin_asked(world, 0.25)
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    world.settle(60)
    assert not world.status["rejected"]
    message = refused(world, "DeadlineExceeded")
    assert "query errors: prometheus:9090 cannot be reached" in message


def prometheus_comes_back(world: World) -> None:
    """It waits as long as nobody answers, and goes on by itself."""
    world.metrics.prometheus.up = False
    _begin_asked(world, 0.01)
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    world.settle(30)
    world.metrics.prometheus.up = True
    world.run(lambda: world.stable_number() == 2)


def prometheus_silent_rollback(world: World) -> None:
    """Taken back at the end of the hold, as asked, though not before the first look."""
    world.metrics.prometheus.up = False
    _begin_asked(world, 0.01, onInconclusive="Rollback")
    assert "query errors: " in refused(world, "AnalysisInconclusive")


def prometheus_silent_advance(world: World) -> None:
    """It goes on without an answer, as asked."""
    world.metrics.prometheus.up = False
    _begin_asked(world, 0.25, onInconclusive="Advance")
    world.run(lambda: world.stable_number() == 2)


def no_number(world: World) -> None:
    """NaN, infinity and no series at all condemn nobody."""
    _begin_asked(world, "NaN")
    for text in ("NaN", "+Inf", "-Inf", None, "x"):
        if text is None:
            world.metrics.prometheus.values.clear()
        else:
            world.metrics.prometheus.values[2] = text
        world.settle(20)
        assert not world.status["rejected"]
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    world.metrics.prometheus.values[2] = 0
    world.run(lambda: world.stable_number() == 2)


def restart_at_the_end_of_a_hold(world: World) -> None:
    """A new operator counts the step anew: few requests by then are not the version's fault."""
    begin(world, Answers(), 100, onInconclusive="Rollback", minRequests=30)
    world.run(lambda: (world.status.get("candidate") or {}).get("step") == 1)
    world.run(lambda: "stepSince" in world.status["candidate"])
    world.settle(9)
    world.restart()
    world.run(lambda: world.stable_number() == 2 or bool(world.status["rejected"]))
    assert not world.status["rejected"], world.status["rejected"]
    world.metrics.stop()


def _broken_looks(world: World) -> int:
    candidate = world.status.get("candidate") or {}
    return int(candidate.get("analysis", {}).get("brokenLooks", 0))


SOURCES: dict[str, Scenario] = {
    s.__name__: s for s in (slow_servers, broken_look_of_queries_tolerated, prometheus_comes_back)
}
"""Played with all other stories, under a hundred seeds and at every crash point."""

MORE_SOURCES: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        slower_servers,
        errors_of_fast_servers,
        silent_servers,
        query_beyond_its_bound,
        queries_recover,
        queries_within_bounds,
        prometheus_silent,
        prometheus_silent_rollback,
        prometheus_silent_advance,
        no_number,
        restart_at_the_end_of_a_hold,
    )
}
"""Variations of them, under a few seeds."""
