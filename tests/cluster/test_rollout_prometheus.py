"""Analysis by the model pods' own metrics and by queries: a real Prometheus reads the real routers, and
what it says is acted upon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster_shop import NAME, Shop, refusal
from lab import prometheus
from lab.kube import Object
from lab.objects import Step
from lab.samples import CALC, REFUSING

pytestmark = pytest.mark.cluster

REQUESTS = 'envoy_cluster_external_upstream_rq_xx{envoy_cluster_name="{{ revision }}/rest"'
ERRORS = (
    f'(sum(rate({REQUESTS},envoy_response_code_class=~"4|5"}}[5s])) or vector(0))'
    f" / sum(rate({REQUESTS}}}[5s]))"
)


SERVED: Object = {
    "source": "ServingMetrics",
    "interval": "1s",
    "minRequests": 20,
    "maxLatency": {"p90": "20s"},
    "maxLatencyRatio": {"p50": "100"},
}
"""Passed only by requests that were counted on the pods' own pages."""


def asked(address: str) -> Object:
    """Laid over SERVED by a merge patch."""
    return {
        "source": "Prometheus",
        "maxLatency": None,
        "maxLatencyRatio": None,
        "prometheus": {"address": address},
        "interval": "2s",
        "failureLimit": 1,
        "queries": [
            {"name": "errors", "query": ERRORS, "max": "0.05"},
            {"name": "requests", "query": f"sum(rate({REQUESTS}}}[5s]))", "min": "0"},
        ],
    }


def test_what_pods_and_prometheus_say_promotes_waits_and_takes_back(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    instance, place = shop.kube.instance, shop.namespace
    shop.serve(CALC[0], steps=(Step(40, hold=3),))
    address = prometheus.start(instance, place, NAME)
    shop.patch(rollout={"analysis": SERVED})
    with shop.load() as load:
        shop.upload(CALC[1])
        assert not shop.wait_stable(2).get("rejected"), "a good version is not condemned"

        shop.patch(rollout={"analysis": asked(address)})
        prometheus.stop(instance, place)
        shop.upload(CALC[2])
        status = shop.wait(
            lambda s: "query errors: " in str(condition_of(s).get("message")),
            "version 3 waiting for Prometheus",
        )
        assert condition_of(status)["reason"] == "AnalysisInconclusive"
        held = shop.follower.story.status["candidate"]
        assert (held["number"], held["weight"]) == (3, 40)
        prometheus.resume(instance, place)
        assert not shop.wait_stable(3).get("rejected"), "silence condemns nobody"

        # longer than Prometheus may lag behind on a machine that is short of time
        shop.patch(rollout={"steps": [{"weight": 40, "hold": "2m"}]})
        shop.upload(REFUSING)
        status = shop.wait(lambda s: refusal(s, REFUSING.number) is not None, "the rollback")
        entry = refusal(status, REFUSING.number)
        assert entry is not None
        assert (entry["kind"], entry["reason"]) == ("RolledBack", "AnalysisFailed")
        assert "query errors: the answer is 0." in entry["message"]
        assert "the maximum is 0.05" in entry["message"]
        record_property("message", entry["message"])
        shop.wait(lambda s: s["phase"] == "Serving", "version 3 serving alone")
        assert shop.status["stable"]["number"] == 3
    others = [
        a
        for a in load.record.answers[:]
        if a.failure and "assertion failed" not in a.failure.lower()
    ]
    assert others == [], "somebody else failed requests"


def condition_of(status: Object) -> Object:
    """RollingOut, which says why a candidate stays where it is."""
    found = [c for c in status.get("conditions") or () if c["type"] == "RollingOut"]
    return found[0] if found else {}
