"""`spec.rollout.analysis`: which measured figures end a rollout. Pure.

Part of `types`; every bound, pattern, rule and default of these fields stands here. What the
limits mean statistically is `analysis.judge`'s matter.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from savedmodel_operator.api.queries import MAX_QUERIES, Prometheus, Query
from savedmodel_operator.api.scalars import Base, Duration, cel

PERCENT_PATTERN = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$"
Percent = Annotated[str, Meta(pattern=PERCENT_PATTERN, max_length=9)]

RATIO_PATTERN = r"^[1-9][0-9]{0,2}(\.[0-9]{1,4})?$"
Ratio = Annotated[str, Meta(pattern=RATIO_PATTERN, max_length=9)]

Quantile = Literal["p50", "p90", "p95", "p99", "p99.9"]

_QUANTILES = cel(
    (
        "self.all(q, q.matches('^p(50|90|95|99|99[.]9)$'))",
        "must name quantiles: p50, p90, p95, p99 or p99.9",
    )
)
_AT_LEAST_1MS = cel(
    (
        "duration(self) >= duration('1ms') && duration(self) <= duration('1h')",
        "must be between 1ms and 1h",
    )
)
_INTERVAL = cel(
    (
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "must be between 1s and 1h",
    )
)


_PROMETHEUS = "(has(self.source) && self.source == 'Prometheus')"


class Analysis(Base, frozen=True):
    """What the candidate's requests are measured by while it carries a part of them.

    A limit ends the rollout only where chance cannot explain that it is broken: of healthy
    versions at most one in twenty is taken back, over all looks and limits of a rollout.
    """

    RULES = (
        (
            f"{_PROMETHEUS} || has(self.maxServerErrorRate) || has(self.maxClientErrorIncrease) || "
            "has(self.maxLatency) || has(self.maxLatencyRatio)",
            "set at least one limit: maxServerErrorRate, maxClientErrorIncrease, maxLatency or "
            "maxLatencyRatio",
        ),
        (
            f"{_PROMETHEUS} == has(self.prometheus) && {_PROMETHEUS} == has(self.queries)",
            "prometheus and queries are set together with source: Prometheus, and only then",
        ),
        (
            f"!{_PROMETHEUS} || !(has(self.maxServerErrorRate) || has(self.maxClientErrorIncrease)"
            " || has(self.maxLatency) || has(self.maxLatencyRatio))",
            "source: Prometheus knows what its queries ask: put maxServerErrorRate, "
            "maxClientErrorIncrease, maxLatency and maxLatencyRatio into queries with max and min, "
            "or use source: Router",
        ),
        (
            "!has(self.source) || self.source != 'ServingMetrics' || "
            "!(has(self.maxServerErrorRate) || has(self.maxClientErrorIncrease))",
            "source: ServingMetrics knows latencies only, because TensorFlow Serving counts probes "
            "among its requests: leave maxServerErrorRate and maxClientErrorIncrease out, or use "
            "source: Router",
        ),
    )

    source: Annotated[
        Literal["Router", "ServingMetrics", "Prometheus"],
        Meta(
            description="Router: what every router pod counts for each revision. ServingMetrics: "
            "the latencies that TensorFlow Serving measures inside the revision's own pods. "
            "Prometheus: what queries say."
        ),
    ] = "Router"
    interval: Annotated[
        Duration,
        Meta(description="How often it is counted.", extra_json_schema=_INTERVAL),
    ] = "5s"
    min_requests: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Requests that a limit needs in a step before it says anything. Queries "
            "need none.",
        ),
    ] = 100
    max_server_error_rate: (
        Annotated[
            Percent,
            Meta(
                description="The candidate's share of HTTP 5xx and of the gRPC codes UNKNOWN, "
                "DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS."
            ),
        ]
        | None
    ) = None
    max_client_error_increase: (
        Annotated[
            Percent,
            Meta(
                description="The candidate's share of HTTP 4xx and the other gRPC codes, minus "
                "stable's: TensorFlow Serving answers 400 for many failures of its own."
            ),
        ]
        | None
    ) = None
    max_latency: Annotated[
        dict[Quantile, Annotated[Duration, Meta(extra_json_schema=_AT_LEAST_1MS)]],
        Meta(
            min_length=1,
            max_length=5,
            description="Quantile of the candidate's latency → the most it may be, as p99: 250ms.",
            extra_json_schema=_QUANTILES,
        ),
    ] = field(default_factory=dict)
    max_latency_ratio: Annotated[
        dict[Quantile, Ratio],
        Meta(
            min_length=1,
            max_length=5,
            description="Quantile → how many times stable's in the same time it may be, as "
            'p99: "1.5".',
            extra_json_schema=_QUANTILES,
        ),
    ] = field(default_factory=dict)
    prometheus: Prometheus | None = None
    queries: Annotated[
        tuple[Query, ...],
        Meta(
            min_length=1,
            max_length=MAX_QUERIES,
            description="What Prometheus is asked at every interval, with source: Prometheus.",
        ),
    ] = ()
    failure_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Broken looks that are tolerated. A look is taken whenever a quarter more "
            "requests have come, or at every interval with source: Prometheus, so each one delays "
            "a rollback.",
        ),
    ] = 0
    on_inconclusive: Annotated[
        Literal["Wait", "Rollback", "Advance"],
        Meta(
            description="What follows when the hold is over and there are too few requests, "
            "chance may explain a broken limit, or a query has no answer. Waiting counts toward "
            "the deadline."
        ),
    ] = "Wait"


ROLLOUT_RULES = (
    (
        "!has(self.analysis) || has(self.mirror) || (has(self.steps) && size(self.steps) > 0)",
        "analysis compares the candidate with stable while both carry requests: set steps or "
        "mirror",
    ),
)
