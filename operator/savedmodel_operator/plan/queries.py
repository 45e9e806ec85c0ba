"""Queries in the rollout: what Prometheus answered, the bounds of the spec, and what follows. Pure.

    answers of this step ─► look ─┬─ beyond a bound, more often than failureLimit ─► the candidate ends
                                  ├─ no number when the hold is over ───► onInconclusive
                                  └─ all within ────────────────────────► the next step

The part of `plan.analysis` for source: Prometheus. A round of answers is one look, however many
cycles see it: status keeps the time of the latest broken one beside their number. A step is not
left before its first look, and not on a look that is broken.
"""

from __future__ import annotations

from dataclasses import replace

from savedmodel_operator.analysis.judge import Outcome
from savedmodel_operator.analysis.queries import Bounds, look
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.plan.memory import timestamp
from savedmodel_operator.plan.snapshot import QueriesView
from savedmodel_operator.plan.trial import Trial


def bounds_of(spec: Analysis) -> tuple[Bounds, ...]:
    """The spec's strings as numbers."""
    return tuple(Bounds(q.name, _number(q.max), _number(q.min)) for q in spec.queries)


def take_look(trial: Trial, spec: Analysis) -> Trial:
    """The trial with this cycle's look; the candidate remembers a broken one."""
    view = _asked(trial)
    if view is None:
        return trial
    candidate, round_ = trial.candidate, timestamp(view.asked_at)
    new = candidate.window != round_
    found = look(bounds_of(spec), view.answers, candidate.ledger, new=new)
    if found.ledger != candidate.ledger:
        candidate = replace(candidate, ledger=found.ledger, window=round_)
    return replace(trial, candidate=candidate, look=found)


def is_open(trial: Trial) -> bool:
    """Whether the next look is to be awaited whatever `onInconclusive` says."""
    return trial.look is None or trial.look.outcome is Outcome.Failed


def doubt(trial: Trial, stale_after: float) -> str | None:
    """Why the queries have not passed yet; None where they have. Words that change seldom."""
    view = trial.world.snapshot.queries
    if trial.look is None or view is None:
        return "Prometheus has not been asked in this step yet"
    if trial.now - view.asked_at > stale_after:
        return "Prometheus is not being asked any more"
    worst = trial.look.gravest
    if worst is None or worst.outcome is Outcome.Passed:
        return None
    if worst.outcome is Outcome.Failed:
        return f"{worst.metric} is beyond its bound, which failureLimit tolerates"
    return worst.sentence


def _asked(trial: Trial) -> QueriesView | None:
    """What was answered about this candidate against this stable in this step."""
    view, stable = trial.world.snapshot.queries, trial.memory.stable
    if view is None or stable is None:
        return None
    belongs = (view.revision, view.against, view.step)
    wanted = (trial.candidate.revision, stable.revision, trial.candidate.step)
    return view if belongs == wanted else None


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
