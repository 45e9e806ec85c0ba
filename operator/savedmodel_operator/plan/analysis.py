"""Analysis in the rollout: what was counted, the limits of the spec, and what follows. Pure.

    counts of this step ─► look ─┬─ Failed, more often than failureLimit ─► the candidate ends
                                 ├─ Inconclusive when the hold is over ───► onInconclusive
                                 └─ Passed ───────────────────────────────► the next step

Evidence acts at once, in holds and pauses too; only leaving a step waits for its end. A person's
promote leaves a step without asking, and a pause is left by a person only. `analysis` has the
statistics, `observe.counters` the counts. What a formal look spent of the rollout's doubt goes
into status with the candidate; nothing else of a look does, so that counting writes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from savedmodel_operator.analysis import judge
from savedmodel_operator.analysis.judge import Limits, Outcome, Result
from savedmodel_operator.analysis.looks import look
from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import seconds
from savedmodel_operator.plan import queries
from savedmodel_operator.plan.memory import Candidate, unix
from savedmodel_operator.plan.snapshot import AnalysisView
from savedmodel_operator.plan.trial import End, Trial, Wait

FIRST_LOOK = 1.0  # seconds
PROMETHEUS = "Prometheus"

_SAYS = {"Router": "the routers' counters", "ServingMetrics": "the latencies of its pods"}

STALE_ROUNDS = 3
"""Rounds without any answer after which the counts say nothing about now."""


def limits_of(spec: Analysis) -> Limits:
    """The spec's strings as numbers.

    >>> limits_of(Analysis(max_server_error_rate="1%", max_latency={"p99.9": "250ms"})).latency
    {0.999: 0.25}
    """
    return Limits(
        min_requests=spec.min_requests,
        server_error_rate=_share(spec.max_server_error_rate),
        client_error_increase=_share(spec.max_client_error_increase),
        latency={_quantile(q): seconds(limit) for q, limit in spec.max_latency.items()},
        latency_ratio={_quantile(q): float(limit) for q, limit in spec.max_latency_ratio.items()},
    )


def take_look(trial: Trial) -> Trial:
    """The trial with this cycle's look; the candidate remembers what a formal one has spent."""
    spec, view = trial.world.snapshot.spec.rollout.analysis, _counted(trial)
    if spec is not None and spec.source == PROMETHEUS:
        return queries.take_look(trial, spec)
    if spec is None or view is None:
        return trial
    candidate = trial.candidate
    same = candidate.window == view.window
    ledger = candidate.ledger if same else candidate.ledger.new_window()
    found = look(limits_of(spec), _sound(view.candidate), _sound(view.stable), ledger)
    if found.ledger != ledger:
        candidate = replace(candidate, ledger=found.ledger, window=view.window)
    return replace(trial, candidate=candidate, look=found)


def find_failure(trial: Trial) -> End | None:
    """The end of a candidate that broke its limits more often than is tolerated."""
    spec, found = trial.world.snapshot.spec.rollout.analysis, trial.look
    if spec is None or found is None or found.outcome is not Outcome.Failed:
        return None
    worst = found.gravest
    if worst is None or found.ledger.broken <= spec.failure_limit:
        return None
    return End(Reason.RolledBack, Reason.AnalysisFailed, worst.sentence)


def check(trial: Trial) -> Candidate | Wait | End:
    """A step is left once its requests show nothing against it."""
    spec = trial.world.snapshot.spec.rollout.analysis
    if spec is None or trial.last or trial.advance or trial.candidate.step_since is None:
        return trial.candidate
    step = trial.here
    words = doubt(trial)
    choice = spec.on_inconclusive
    if spec.source == PROMETHEUS and queries.is_open(trial):
        choice = "Wait"
    if words is None or step.pause or choice == "Advance":
        return trial.candidate
    revision = trial.candidate.revision
    enough = _counted_enough(trial, seconds(step.hold))
    if choice == "Rollback" and trial.now >= enough:
        text = f"rollout.analysis says nothing by the end of the hold: {words}"
        return End(Reason.RolledBack, Reason.AnalysisInconclusive, text)
    deadline = trial.world.snapshot.spec.rollout.deadline
    since = max(trial.candidate.step_since + seconds(step.hold), trial.candidate.progress_since)
    until = since + seconds(deadline)  # from when a person let it go on, where it was paused
    if trial.now > until:
        text = f"rollout.analysis said nothing within rollout.deadline ({deadline}): {words}"
        return End(Reason.RolledBack, Reason.DeadlineExceeded, text)
    # The hold's clock stands, so that the step does not start over; this wait has its own end.
    stays = "goes on getting copies" if trial.mirrors else f"stays at {trial.weight} %"
    text = f"{revision} {stays} until the analysis passes: {words}"
    again = enough if choice == "Rollback" else _stale_from(trial)
    return Wait(Reason.AnalysisInconclusive, text, until + 0.001, clock_stops=True, again=again)


def _counted_enough(trial: Trial, hold: float) -> float:
    """When what is counted is as old as the hold. An operator that was restarted in a step counts it
    anew, and that there are few requests then is not the candidate's fault."""
    view, spec = trial.world.snapshot.analysis, trial.world.snapshot.spec.rollout.analysis
    if spec is not None and spec.source == PROMETHEUS:
        return 0.0  # a look is whole whenever it is taken
    began = unix(view.window) if view is not None and trial.look is not None else None
    return trial.now + FIRST_LOOK if began is None else began + hold


def _stale_from(trial: Trial) -> float | None:
    """When the counts will say nothing about now, if no more of them come: silence wakes nobody."""
    view, spec = trial.world.snapshot.analysis, trial.world.snapshot.spec.rollout.analysis
    if view is None or spec is None or spec.source == PROMETHEUS:
        return None
    stale = view.taken_at + STALE_ROUNDS * seconds(spec.interval) + 0.001
    return stale if stale > trial.now else None


def until_counted(trial: Trial, wait: Wait) -> Wait:
    """The wait with one more cycle while nothing is counted yet: counting begins with a cycle that
    finds the weight in status, and our own write of it wakes nobody."""
    asked = trial.world.snapshot.spec.rollout.analysis is not None
    if not asked or trial.look is not None or trial.candidate.step_since is None:
        return wait
    return replace(wait, again=trial.now + FIRST_LOOK)


def doubt(trial: Trial) -> str | None:
    """Why the analysis has not passed yet; None where it has. Words that change seldom: each
    change is a write of status."""
    spec = trial.world.snapshot.spec.rollout.analysis
    if spec is not None and spec.source == PROMETHEUS:
        return queries.doubt(trial, STALE_ROUNDS * seconds(spec.interval))
    if trial.look is None:
        return f"{_SAYS[spec.source]} have not been read yet" if spec else None
    view = trial.world.snapshot.analysis
    if view is None or spec is None:
        return None
    if trial.now - view.taken_at > STALE_ROUNDS * seconds(spec.interval):
        return f"{_SAYS[spec.source]} cannot be read any more"
    worst = trial.look.gravest
    if worst is None or worst.outcome is Outcome.Passed:
        return None
    return _brief(worst, spec.min_requests)


def _brief(result: Result, least: int) -> str:
    if result.samples < least or result.observed is None:
        tenth = result.samples * 10 // least * least // 10
        return f"at least {tenth} of {least} requests that {result.metric} needs"
    return f"{result.metric} is beyond its limit so far, which chance may still explain"


def _counted(trial: Trial) -> AnalysisView | None:
    """What was counted of this candidate against this stable in this step."""
    view, stable = trial.world.snapshot.analysis, trial.memory.stable
    if view is None or stable is None:
        return None
    belongs = (view.revision, view.against, view.step)
    wanted = (trial.candidate.revision, stable.revision, trial.candidate.step)
    return view if belongs == wanted else None


def _sound(counts: Counts) -> Counts:
    """Differences of counters that were read one by one: parts may be ahead of their sum."""
    total = max(counts.requests, counts.server_errors + counts.client_errors)
    return replace(counts, requests=total)


def _share(text: str | None) -> float | None:
    return None if text is None else float(text.removesuffix("%")) / 100


def _quantile(name: str) -> float:
    """Decimal places as people write them: 0.999, not 0.9990000000000001."""
    quantile = round(float(name.removeprefix("p")) / 100, 6)
    assert judge.name(quantile) == name
    return quantile
