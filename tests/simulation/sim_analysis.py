"""Stories about analysis: what clients get from version 2, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulation.sim_invariants import written_weights
from simulation.sim_metrics import Answers
from simulation.sim_scenarios import Scenario, version
from simulation.sim_world import World

RATE = 40  # requests per second and router


ERRORS = {"maxServerErrorRate": "1%", "maxClientErrorIncrease": "2%"}


def begin(
    world: World,
    answers: Answers,
    rate: int = RATE,
    limits: Mapping[str, Any] = ERRORS,
    **analysis: Any,
) -> None:
    """Version 1 serves; version 2 comes, which answers so."""
    limits = {**limits, **analysis}
    world.edit_spec(lambda s: s["rollout"].update(analysis=limits))
    world.publish(version(1))
    world.run(lambda: world.stable_number() == 1)
    world.metrics.answers[2] = answers
    if rate:
        world.metrics.start(rate)
    world.publish(version(2), version(1))


def refused(world: World, reason: str) -> str:
    """Version 2 ends for this reason; its message."""
    world.run(lambda: bool(world.status["rejected"]), 600)
    [entry] = world.status["rejected"]
    assert (entry["number"], entry["kind"]) == (2, "RolledBack")
    assert entry["reason"] == reason, entry["message"]
    world.run(lambda: sum(written_weights(world).values()) == 100 == max(_weights(world)))
    world.run(lambda: not any(k[0] == "Deployment" and "-v2-" in k[1] for k in world.api.objects))
    assert world.stable_number() == 1
    world.metrics.stop()
    message: str = entry["message"]
    return message


def _weights(world: World) -> list[int]:
    return [w for name, w in written_weights(world).items() if "-v1-" in name]


def server_errors(world: World) -> None:
    """One request in twenty fails: rolled back with the figures."""
    begin(world, Answers(server_errors=0.1))
    message = refused(world, "AnalysisFailed")
    assert "serverErrorRate: " in message
    assert "requests failed with server errors, the limit is 1 %" in message


def client_errors(world: World) -> None:
    """TF Serving answers 400 for many of its own failures: the difference to stable counts."""
    begin(world, Answers(client_errors=0.2), maxServerErrorRate="5%")
    assert "clientErrorIncrease: " in refused(world, "AnalysisFailed")


def slow_answers(world: World) -> None:
    """The tail is too long."""
    begin(world, Answers(slow=0.1), maxLatency={"p99": "250ms"})
    assert "latency.p99: p99 of " in refused(world, "AnalysisFailed")


def slower_than_stable(world: World) -> None:
    """The median is forty times stable's."""
    begin(world, Answers(slow=1.0), maxLatencyRatio={"p50": "1.5"})
    assert "latencyRatio.p50: " in refused(world, "AnalysisFailed")


def broken_look_tolerated(world: World) -> None:
    """With failureLimit 1 the second broken look ends it."""
    begin(world, Answers(server_errors=0.2), failureLimit=1)
    world.run(
        lambda: (
            world.status.get("candidate", {}).get("analysis", {}).get("brokenLooks") == 1
            and not world.status["rejected"]
        )
    )
    refused(world, "AnalysisFailed")


def healthy_version(world: World) -> None:
    """Both answer alike, client errors included: promoted."""
    world.metrics.answers[1] = Answers(client_errors=0.05)
    limits = {"maxLatency": {"p99": "250ms"}, "maxLatencyRatio": {"p90": "2"}}
    begin(world, Answers(client_errors=0.05), maxClientErrorIncrease="30%", **limits)
    world.run(lambda: world.stable_number() == 2)
    world.metrics.stop()


def no_requests(world: World) -> None:
    """Nobody asks: it waits beyond the hold, and ends at the deadline."""
    begin(world, Answers(), rate=0)
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    text = refused(world, "DeadlineExceeded")  # after a restart nothing was counted yet
    assert "rollout.analysis said nothing within rollout.deadline (2m): " in text


def few_requests(world: World) -> None:
    """Two requests a second: the step lasts until there are enough."""
    begin(world, Answers(), rate=5)
    world.edit_spec(lambda s: s["rollout"].update(deadline="20m"))
    world.run(lambda: "AnalysisInconclusive" in reasons(world))
    world.run(lambda: world.stable_number() == 2)
    world.metrics.stop()


def inconclusive_rollback(world: World) -> None:
    """Without enough requests by the end of the hold it is taken back, as asked."""
    begin(world, Answers(), rate=0, onInconclusive="Rollback")
    refused(world, "AnalysisInconclusive")


def inconclusive_advance(world: World) -> None:
    """Without enough requests by the end of the hold it goes on, as asked."""
    begin(world, Answers(), rate=0, onInconclusive="Advance")
    world.run(lambda: world.stable_number() == 2)


def promoted_by_hand(world: World) -> None:
    """A person does not wait for requests."""
    begin(world, Answers(), rate=0)
    for step in (0, 1):
        world.run(
            lambda step=step: (  # type: ignore[misc]
                "AnalysisInconclusive" in reasons(world)
                and world.status["candidate"]["step"] == step
            )
        )
        world.act(f"promote v2 {step} #{step}")
    world.run(lambda: world.stable_number() == 2)


def fails_while_paused(world: World) -> None:
    """Evidence acts in a pause as well."""
    world.edit_spec(lambda s: s["rollout"].update(steps=[{"weight": 20, "pause": True}]))
    begin(world, Answers(), onInconclusive="Wait")
    world.run(lambda: world.status.get("phase") == "Paused")
    world.settle(60)
    world.metrics.answers[2] = Answers(server_errors=0.5)
    refused(world, "AnalysisFailed")


def reasons(world: World) -> set[str]:
    return {c["reason"] for c in world.status.get("conditions", ()) if c["type"] == "RollingOut"}


ANALYSIS: dict[str, Scenario] = {
    s.__name__: s
    for s in (
        server_errors,
        client_errors,
        slow_answers,
        slower_than_stable,
        broken_look_tolerated,
        healthy_version,
        no_requests,
        few_requests,
        inconclusive_rollback,
        inconclusive_advance,
        promoted_by_hand,
        fails_while_paused,
    )
}
