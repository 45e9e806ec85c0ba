"""Reading Envoy's statistics: an answer recorded from Envoy 1.40, and what no Envoy says.

`router_stats.json`: of 60 REST calls each version got half, and the canary answered 400; of 20 more
it answered 500 after 30 ms; then 10 gRPC calls, and 10 REST and 10 gRPC calls with its server gone.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.traffic.router_stats import build_filter, parse

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "router_stats.json").read_text())
STABLE, CANARY = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb"


def test_the_recorded_answer() -> None:
    found = parse(RECORDED, (STABLE, CANARY, "never-seen"))
    stable, canary = found[STABLE], found[CANARY]
    assert (stable.requests, stable.server_errors, stable.client_errors) == (56 + 12, 0, 0)
    assert (canary.requests, canary.server_errors, canary.client_errors) == (34 + 8, 11 + 6, 23)
    assert canary.timed == 31 + 2, "what no server answered has no latency"
    assert canary.latency[0.031, 0.032] == 8 + 1
    assert canary.latency[0.0, 0.001] == 20
    assert canary.slower_than(0.03) == 10
    assert found["never-seen"] == Counts()


def test_only_what_is_asked_for_is_asked_for() -> None:
    pattern = re.compile(build_filter((CANARY, STABLE)))
    listed = [e["name"] for e in RECORDED["stats"] if "name" in e]
    assert all(map(pattern.search, listed))
    for other in (
        "cluster.flowers-v9-cccccccc/rest.external.upstream_rq_completed",
        f"cluster.{STABLE}/rest.upstream_rq_completed",
        f"cluster.{STABLE}~other/rest.internal.upstream_rq_5xx",
        f"cluster.{STABLE}/rest.external.upstream_rq_200",
        f"cluster.{STABLE}/grpc.grpc.success",
        f"cluster.x{STABLE}/grpc.grpc.0",
    ):
        assert not pattern.search(other)


def test_copies_count_but_not_those_that_were_never_sent() -> None:
    """REST: 6 of 10 answered, 4 not sent (503 of Envoy's own), 2 cut off beside them. gRPC: 3 of 9
    failed by their code, two hosts."""
    rest, grpc = f"cluster.{CANARY}~mirror/rest", f"cluster.{CANARY}~mirror/grpc"
    values = {
        f"{rest}.internal.upstream_rq_completed": 10,
        f"{rest}.internal.upstream_rq_5xx": 4,
        f"{rest}.internal.upstream_rq_4xx": 1,
        f"{rest}.upstream_rq_active_overflow": 4,
        f"{rest}.upstream_rq_max_duration_reached": 2,
        f"{grpc}.internal.upstream_rq_completed": 9,
        f"{grpc}.endpoint.10.0.0.7_8500.rq_error": 2,
        f"{grpc}.endpoint.10.0.0.8_8500.rq_error": 1,
        f"cluster.{CANARY}/rest.external.upstream_rq_completed": 5,
    }
    pattern = re.compile(build_filter((CANARY, STABLE)))
    assert all(map(pattern.search, values))
    stats = [{"name": name, "value": value} for name, value in values.items()]
    assert parse({"stats": stats}, (CANARY,))[CANARY] == Counts(8 + 9 + 5, 2 + 3, 1)


def counter(name: str, value: object) -> dict[str, Any]:
    return {"stats": [{"name": f"cluster.{CANARY}/{name}", "value": value}]}


@pytest.mark.parametrize("code", range(1, 17))
def test_each_grpc_code_is_one_or_the_other(code: int) -> None:
    counts = parse(counter(f"grpc.grpc.{code}", 5), (CANARY,))[CANARY]
    server = code in (2, 4, 12, 13, 14, 15)
    wanted = (5, 5, 0) if server else (5, 0, 5)
    assert (counts.requests, counts.server_errors, counts.client_errors) == wanted


def test_a_part_is_never_more_than_the_whole() -> None:
    stats = [
        {"name": f"cluster.{CANARY}/rest.external.upstream_rq_completed", "value": 10},
        {"name": f"cluster.{CANARY}/rest.external.upstream_rq_5xx", "value": 11},
    ]
    assert parse({"stats": stats}, (CANARY,))[CANARY] == Counts(11, 11, 0)


@pytest.mark.parametrize(
    "listing",
    [
        {},
        {"stats": 7},
        {"stats": [7]},
        {"stats": [{}]},
        counter("grpc.grpc.2", "many"),
        counter("grpc.grpc.2", -1),
        counter("grpc.grpc.2", 1.5),
        {"stats": [{"histograms": {}}]},
    ],
)
def test_a_liar_is_refused(listing: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse(listing, (CANARY,))


def test_a_bucket_without_edges_is_refused() -> None:
    broken = copy.deepcopy(RECORDED)
    histograms = next(e for e in broken["stats"] if "histograms" in e)["histograms"]["details"]
    histograms[0]["totals"][0] = {"count": 1}
    with pytest.raises(KeyError):
        parse(broken, (CANARY,))
