"""Limits as numbers, and what a look spent, through status and back."""

from __future__ import annotations

import pytest

from savedmodel_operator.analysis.looks import Ledger
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.plan import memory
from savedmodel_operator.plan.analysis import limits_of
from savedmodel_operator.plan.memory import Candidate


def test_limits_are_shares_and_seconds() -> None:
    limits = limits_of(
        Analysis(
            min_requests=7,
            max_server_error_rate="0.5%",
            max_client_error_increase="100%",
            max_latency={"p50": "20ms", "p99.9": "1s500ms"},
            max_latency_ratio={"p95": "1.25"},
        )
    )
    assert limits.min_requests == 7
    assert limits.server_error_rate == pytest.approx(0.005)
    assert limits.client_error_increase == 1.0
    assert limits.latency == {0.5: 0.02, 0.999: 1.5}
    assert limits.latency_ratio == {0.95: 1.25}


def test_what_is_not_asked_is_no_limit() -> None:
    limits = limits_of(Analysis(max_latency={"p99": "1s"}))
    assert limits.server_error_rate is None
    assert limits.client_error_increase is None
    assert limits.latency_ratio == {}


LEDGER = Ledger({"serverErrorRate": 3, "latency.p99": 1}, {"serverErrorRate": 2}, 1)


def candidate(**more: object) -> Candidate:
    return Candidate(2, "sha256:2", "m-v2-00000000", 1.0, **more)  # type: ignore[arg-type]


def test_the_ledger_survives_a_restart() -> None:
    body = memory.write_candidate(candidate(ledger=LEDGER, window="2026-11-21T12:00:00.000Z"))
    assert body["analysis"] == {
        "window": "2026-11-21T12:00:00.000Z",
        "brokenLooks": 1,
        "metrics": [
            {"metric": "latency.p99", "looks": 1, "stage": -1},
            {"metric": "serverErrorRate", "looks": 3, "stage": 2},
        ],
    }
    found = memory.read({"candidate": body}).candidate
    assert found is not None
    assert (found.ledger, found.window) == (LEDGER, "2026-11-21T12:00:00.000Z")


@pytest.mark.parametrize(
    "damaged", [None, [], "x", {"window": "x"}, {"window": "x", "brokenLooks": 1, "metrics": [{}]}]
)
def test_a_damaged_ledger_is_an_empty_one(damaged: object) -> None:
    body = {**memory.write_candidate(candidate()), "analysis": damaged}
    found = memory.read({"candidate": body}).candidate
    assert found is not None
    assert (found.ledger, found.window) == (Ledger(), "")


def test_without_a_look_nothing_is_stored() -> None:
    assert "analysis" not in memory.write_candidate(candidate())
