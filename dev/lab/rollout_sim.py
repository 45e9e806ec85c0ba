"""Simulated rollouts for the statistics of analysis: requests are drawn, the real judge looks.

Neighbours: `savedmodel_operator.analysis` decides every look exactly as in the operator; `curves`
runs many of these and draws. Draws are NumPy's with a named seed. Nothing here judges.

What kind of answer each request had is drawn when somebody looks, for all requests since the look
before: sums of multinomial draws are multinomial, so this is no approximation and costs a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np
from scipy.stats import lognorm, norm

from savedmodel_operator.analysis.judge import Limits, Outcome
from savedmodel_operator.analysis.looks import Ledger, look
from savedmodel_operator.analysis.spending import stage
from savedmodel_operator.analysis.window import Counts

EDGES = np.concatenate([np.arange(10, 100) * 10.0**e for e in range(-5, 0)])
"""Seconds: lower edges of log-linear buckets with two digits, as Envoy's histograms have them."""

NEVER = 1e-9
"""The probability below which a bucket is left out."""

LIMITS = Limits(100, 0.01, 0.01, {0.99: 0.250}, {0.99: 1.5})


@dataclass(frozen=True)
class Version:
    """True shares of a version's answers, and its latency: lognormal with this 99th percentile."""

    server_errors: float = 0.005
    client_errors: float = 0.02
    p99: float = 0.150
    spread: float = 0.5

    @lru_cache(maxsize=64)  # noqa: B019  a few versions, of a few bytes each
    def buckets(self) -> tuple[list[tuple[float, float]], np.ndarray]:
        """(lower edge, upper edge) and probability of each bucket that is ever hit. Those below the
        median are one: no bound of the 99th percentile of a hundred requests or more is there."""
        scale = self.p99 / np.exp(self.spread * norm.ppf(0.99))
        below = lognorm.cdf(np.append(EDGES, np.inf), self.spread, scale=scale)
        below[0] = 0.0
        chances = np.diff(below)
        middle = int(np.searchsorted(np.cumsum(chances), 0.5))
        hit = [i for i in range(middle, len(EDGES)) if chances[i] > NEVER]
        lows, highs = EDGES.tolist(), [*EDGES.tolist()[1:], 99.0]
        edges = [(lows[0], lows[middle]), *((lows[i], highs[i]) for i in hit)]
        shares = np.array([chances[:middle].sum(), *(chances[i] for i in hit)])
        return edges, shares / shares.sum()


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
    """Counts of one version in one step; `served`: its requests until each look."""

    def __init__(self, version: Version, served: np.ndarray, draw: np.random.Generator) -> None:
        self._version, self._draw = version, draw
        self._served: list[int] = served.tolist()
        self._edges, self._chances = version.buckets()
        self._timed = np.zeros(len(self._edges), dtype=np.int64)
        self._known = self._server = self._client = 0

    def requests(self, at: int) -> int:
        """Until this look of the step."""
        return self._served[at]

    def counts(self, at: int) -> Counts:
        """Until this look of the step; never of an earlier one than before."""
        requests = self._served[at]
        new, self._known = requests - self._known, requests
        server = int(self._draw.binomial(new, self._version.server_errors))
        client = int(self._draw.binomial(new, self._version.client_errors))
        self._server += server
        self._client += min(client, new - server)
        self._timed += self._draw.multinomial(new, self._chances)
        timed = self._timed.tolist()
        latency = dict(zip(compress(self._edges, timed), filter(None, timed), strict=True))
        return Counts(requests, self._server, self._client, latency)


def run(
    rate: float, candidate: Version, stable: Version, seed: int, plan: Plan, limits: Limits
) -> Ending:
    """One rollout at so many requests per second, until it ends or is taken back."""
    draw, ledger, began, asked = np.random.default_rng(seed), Ledger(), 0.0, 0
    for weight, hold in plan.steps:
        ledger, reached = ledger.new_window(), (-1, -1)
        requests = draw.poisson(rate * plan.interval, int(hold / plan.interval))
        share = draw.binomial(requests, weight / 100)
        ours = _Tally(candidate, np.cumsum(share), draw)
        theirs = _Tally(stable, np.cumsum(requests - share), draw)
        for at in range(len(requests)):
            before, reached = reached, _stages(ours.requests(at), theirs.requests(at), limits)
            if reached == before:
                continue  # no formal look: nothing can fail
            seen = look(limits, ours.counts(at), theirs.counts(at), ledger)
            ledger = seen.ledger
            if seen.outcome is Outcome.Failed and seen.gravest is not None:
                seconds = began + (at + 1) * plan.interval
                return Ending(seconds, seen.gravest.metric, asked + ours.requests(at))
        began += hold
        asked += int(share.sum())
    return Ending(None, requests=asked)


def _stages(ours: int, theirs: int, limits: Limits) -> tuple[int, int]:
    """Of the samples that limits ask for: the candidate's, and the smaller of both."""
    least = limits.min_requests
    return stage(ours, least), stage(min(ours, theirs), least)
