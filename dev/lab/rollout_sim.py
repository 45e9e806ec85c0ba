"""Simulated rollouts for the statistics of analysis: requests are drawn, the real judge looks.

Neighbours: `savedmodel_operator.analysis` decides every look exactly as in the operator; `curves`
runs many of these and draws. Draws are NumPy's with a named seed. Nothing here judges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import lognorm, norm

from savedmodel_operator.analysis.judge import Limits, Outcome
from savedmodel_operator.analysis.looks import Ledger, look
from savedmodel_operator.analysis.spending import stage
from savedmodel_operator.analysis.window import Counts

EDGES = np.concatenate([np.arange(10, 100) * 10.0**e for e in range(-5, 0)])
"""Seconds: lower edges of log-linear buckets with two digits, as Envoy's histograms have them."""

LIMITS = Limits(100, 0.01, 0.01, {0.99: 0.250}, {0.99: 1.5})


@dataclass(frozen=True)
class Version:
    """True shares of a version's answers, and its latency: lognormal with this 99th percentile."""

    server_errors: float = 0.005
    client_errors: float = 0.02
    p99: float = 0.150
    spread: float = 0.5

    def buckets(self) -> np.ndarray:
        """Probability of each bucket of EDGES."""
        scale = self.p99 / np.exp(self.spread * norm.ppf(0.99))
        below = lognorm.cdf(np.append(EDGES, np.inf), self.spread, scale=scale)
        below[0] = 0.0
        return np.diff(below)


@dataclass(frozen=True)
class Plan:
    """(weight in percent, seconds) of the steps; a look every `interval` seconds."""

    steps: tuple[tuple[int, float], ...] = ((5, 300.0), (25, 600.0), (50, 600.0))
    interval: float = 15.0


@dataclass(frozen=True)
class Ending:
    """`seconds`: from the first weight to the rollback; None where there was none."""

    seconds: float | None
    metric: str = ""
    requests: int = 0


class _Tally:
    """Counts that grow by draws."""

    def __init__(self, version: Version, draw: np.random.Generator) -> None:
        self._version, self._draw, self._chances = version, draw, version.buckets()
        self._timed = np.zeros(len(EDGES), dtype=np.int64)
        self.requests = self._server = self._client = 0

    def serve(self, requests: int) -> None:
        server = int(self._draw.binomial(requests, self._version.server_errors))
        client = int(self._draw.binomial(requests, self._version.client_errors))
        self.requests += requests
        self._server += server
        self._client += min(client, requests - server)
        self._timed += self._draw.multinomial(requests, self._chances)

    def counts(self) -> Counts:
        found = {_EDGES[i]: int(self._timed[i]) for i in np.nonzero(self._timed)[0]}
        return Counts(self.requests, self._server, self._client, found)


_EDGES = list(zip(EDGES.tolist(), [*EDGES.tolist()[1:], 99.0], strict=True))


def run(
    rate: float, candidate: Version, stable: Version, seed: int, plan: Plan, limits: Limits
) -> Ending:
    """One rollout at so many requests per second, until it ends or is taken back."""
    draw, ledger, clock, asked = np.random.default_rng(seed), Ledger(), 0.0, 0
    for weight, hold in plan.steps:
        ledger = ledger.new_window()
        ours, theirs = _Tally(candidate, draw), _Tally(stable, draw)
        stages = (-1, -1)
        for _ in range(int(hold / plan.interval)):
            clock += plan.interval
            requests = int(draw.poisson(rate * plan.interval))
            share = int(draw.binomial(requests, weight / 100))
            ours.serve(share)
            theirs.serve(requests - share)
            asked += share
            before = stages
            stages = (_stage(ours, limits), _stage(theirs, limits))
            if stages == before:
                continue  # no formal look: nothing can fail
            seen = look(limits, ours.counts(), theirs.counts(), ledger)
            ledger = seen.ledger
            if seen.outcome is Outcome.Failed and seen.gravest is not None:
                return Ending(clock, seen.gravest.metric, asked)
    return Ending(None, requests=asked)


def _stage(tally: _Tally, limits: Limits) -> int:
    return stage(tally.requests, limits.min_requests)
