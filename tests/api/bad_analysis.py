"""Bad `rollout.analysis`: see `bad_manifests`."""

from __future__ import annotations

from api.good_manifest import STEP, Case

QUERY = {"name": "errors", "query": "sum(errors)", "max": "0.01"}
PROMETHEUS = {
    "source": "Prometheus",
    "prometheus": {"address": "http://prometheus.monitoring:9090"},
    "queries": [QUERY],
}

ANALYSIS: dict[str, Case] = {
    "analysis without a limit": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"minRequests": 50}},
        ("set at least one limit: maxServerErrorRate, maxClientErrorIncrease, maxLatency or",),
    ),
    "analysis without steps": (
        {"spec.rollout.analysis": {"maxServerErrorRate": "1%"}},
        (
            "analysis compares the candidate with stable while both carry requests: set steps or mirror",
        ),
    ),
    "error rate of a source without errors": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"source": "ServingMetrics", "maxServerErrorRate": "1%"},
        },
        ("TensorFlow Serving counts probes among its requests: leave maxServerErrorRate",),
    ),
    "client errors of a source without errors": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                "source": "ServingMetrics",
                "maxClientErrorIncrease": "1%",
                "maxLatency": {"p99": "1s"},
            },
        },
        ("source: ServingMetrics knows latencies only", "or use source: Router"),
    ),
    "queries without their source": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"maxServerErrorRate": "1%", "queries": [QUERY]},
        },
        ("prometheus and queries are set together with source: Prometheus",),
    ),
    "source without queries": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {**PROMETHEUS, "queries": []}},
        ("spec.rollout.analysis.queries in body should have at least 1 items",),
    ),
    "source without an address": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"source": "Prometheus", "queries": [QUERY]},
        },
        ("prometheus and queries are set together with source: Prometheus",),
    ),
    "limits of the router for queries": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "maxLatency": {"p99": "1s"}},
        },
        (
            "put maxServerErrorRate, maxClientErrorIncrease, maxLatency and maxLatencyRatio into queries",
        ),
    ),
    "query without a bound": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [{"name": "a", "query": "up"}]},
        },
        ("set max, min or both",),
    ),
    "query with crossed bounds": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "min": "2", "max": "1.5e0"}],
            },
        },
        ("min must not be above max",),
    ),
    "bound of a query with a unit": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [{**QUERY, "max": "1%"}]},
        },
        ("must be a number as a string",),
    ),
    "two queries of one name": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {**PROMETHEUS, "queries": [QUERY, QUERY]},
        },
        ("Duplicate value",),
    ),
    "more queries than anybody reads": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "name": f"q{n}"} for n in range(11)],
            },
        },
        ("Too many: 11: must have at most 10 items",),
    ),
    "unknown variable of a query": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "query": "up{a='{{ nmae }}'}"}],
            },
        },
        ("variables are {{ name }}, {{ namespace }}, {{ model }}",),
    ),
    "variable of Argo": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "queries": [{**QUERY, "query": "up{a='{{args.name}}'}"}],
            },
        },
        ("anything else in double braces is none",),
    ),
    "address of Prometheus with a query": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://p:9090/graph?g0=up"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "address of Prometheus with a password": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://me:secret@p:9090"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "address of Prometheus that climbs": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://p/a/../../b"},
            },
        },
        ("must be http(s)://HOST[:PORT] with at most a path",),
    ),
    "token in clear": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {
                **PROMETHEUS,
                "prometheus": {"address": "http://p:9090", "secretRef": {"name": "prometheus"}},
            },
        },
        ("a token is sent, and a certificate judged, over https only: write https://",),
    ),
    "rate as a bare number": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxServerErrorRate": "1"}},
        ('must be a percentage from "0%" to "100%"',),
    ),
    "rate above all": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxServerErrorRate": "101%"}},
        ('must be a percentage from "0%" to "100%"',),
    ),
    "unknown quantile": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxLatency": {"p98": "1s"}}},
        ("must name quantiles: p50, p90, p95, p99 or p99.9",),
    ),
    "no time at all": (
        {"spec.rollout.steps": [STEP], "spec.rollout.analysis": {"maxLatency": {"p99": "0s"}}},
        ("must be between 1ms and 1h",),
    ),
    "ratio below 1": (
        {
            "spec.rollout.steps": [STEP],
            "spec.rollout.analysis": {"maxLatencyRatio": {"p99": "0.5"}},
        },
        ("must be a number of at least 1 as a string",),
    ),
}
