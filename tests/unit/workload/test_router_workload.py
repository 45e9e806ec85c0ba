"""Route plans and the router's objects, without an Envoy (tests/traffic has the real one)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from savedmodel_operator.workload import router
from savedmodel_operator.workload.envoy import Backend, RoutePlan, build_files, config_hash
from savedmodel_operator.workload.envoy_clusters import cluster_name, parse_cluster_name
from unit.workload import workload_cases as cases


def plan(*backends: Backend, stable: str | None = None, canary: str | None = None) -> RoutePlan:
    """A route of one object."""
    return RoutePlan("flowers", "shop", "flowers", backends, stable, canary)


@pytest.mark.parametrize(
    "backends",
    [
        (Backend("a", 1, 50),),
        (Backend("a", 1, 60), Backend("b", 2, 60)),
        (Backend("a", 1, 110), Backend("b", 2, -10)),
        (Backend("a", 1, 50), Backend("a", 1, 50)),
    ],
    ids=["too little", "too much", "negative", "doubled"],
)
def test_a_wrong_route_cannot_be_built(backends: tuple[Backend, ...]) -> None:
    with pytest.raises(ValueError):
        plan(*backends)


def test_the_candidate_comes_first() -> None:
    route = cases.make_route()
    assert [b.revision for b in route.ordered] == [cases.CANARY, cases.STABLE]


@pytest.mark.parametrize(
    ("route", "primary"),
    [
        (plan(), None),
        (plan(Backend("a", 1, 0)), None),
        (plan(Backend("a", 1, 100)), "a"),
        (plan(Backend("a", 1, 90), Backend("b", 2, 10), stable="b"), "b"),
        (plan(Backend("a", 1, 100), Backend("b", 2, 0), stable="b"), "b"),
        (plan(Backend("a", 1, 90), Backend("b", 2, 10), stable="gone"), "a"),
    ],
)
def test_questions_go_to_stable_or_the_heaviest(route: RoutePlan, primary: str | None) -> None:
    assert (route.primary.revision if route.primary else None) == primary


def test_of_two_revisions_of_one_number_stable_answers_for_it() -> None:
    backends = (Backend("new", 7, 90), Backend("old", 7, 10), Backend("gone", 7, 0))
    assert plan(*backends, stable="old", canary="new").numbers[7].revision == "old"
    assert plan(*backends, canary="new").numbers[7].revision == "new"


def test_the_hash_follows_every_part_of_the_route() -> None:
    routes = [
        cases.make_route(),
        cases.make_route(weight=26),
        plan(*cases.make_route().backends, stable=cases.STABLE),
        plan(),
    ]
    assert len({config_hash(r) for r in routes}) == len(routes)
    assert config_hash(cases.make_route()) == config_hash(cases.make_route())


def test_the_route_table_carries_the_hash() -> None:
    route = cases.make_route()
    files = build_files(route)
    [table] = json.loads(files["rds.json"])["resources"]
    first = table["virtual_hosts"][0]["routes"][0]
    assert first["match"] == {"path": "/_revision"}
    assert first["direct_response"]["body"]["inline_string"] == config_hash(route)


def test_listeners_never_change_with_the_route() -> None:
    """A changed listener is drained: connections would be lost at every step."""
    assert build_files(cases.make_route())["lds.json"] == build_files(plan())["lds.json"]


def test_clusters_never_change_with_weights_or_labels() -> None:
    """A changed cluster starts again without connections and health."""

    def clusters(route: RoutePlan) -> dict[str, Any]:
        return {c["name"]: c for c in json.loads(build_files(route)["cds.json"])["resources"]}

    before, after = cases.make_route(), cases.make_route(weight=100)
    promoted = plan(*after.backends, stable=cases.CANARY)
    assert clusters(before) == clusters(after) == clusters(promoted)
    assert len(clusters(before)) == 4


def test_weights_sum_to_a_hundred_in_every_weighted_route() -> None:
    [table] = json.loads(build_files(cases.make_route())["rds.json"])["resources"]
    weighted = [
        r["route"]["weighted_clusters"]
        for r in table["virtual_hosts"][0]["routes"]
        if "weighted_clusters" in r.get("route", {})
    ]
    assert len(weighted) == 5  # four gRPC methods and the REST verbs
    for entry in weighted:
        assert sum(c["weight"] for c in entry["clusters"]) == 100
        assert "total_weight" not in entry


def test_files_of_the_largest_route_fit_into_a_configmap() -> None:
    backends = [Backend(f"{'n' * 33}-v{2**63 - 1}-{i:08x}", 2**63 - 1 - i, 10) for i in range(10)]
    route = RoutePlan("n" * 33, "s" * 63, "m" * 128, tuple(backends))
    assert sum(map(len, build_files(route).values())) < 512 * 1024


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        (cluster_name("flowers-v7-aaaaaaaa", "rest"), ("flowers-v7-aaaaaaaa", "rest")),
        ("admin", None),
        ("/rest", ("", "rest")),
        ("flowers/other", None),
    ],
)
def test_cluster_names(name: str, parsed: tuple[str, str] | None) -> None:
    assert parse_cluster_name(name) == parsed


@pytest.mark.parametrize(
    ("limit", "workers"),
    [(None, "2"), ("500m", "1"), ("1", "1"), ("1500m", "2"), ("64", "16")],
)
def test_workers_follow_the_cpu_limit(limit: str | None, workers: str) -> None:
    resources = {"limits": {"cpu": limit}} if limit else {}
    spec = cases.make_spec(traffic={"router": {"resources": resources}})
    args = envoy(spec)["args"]
    assert args[args.index("--concurrency") + 1] == workers


def envoy(spec: Any) -> dict[str, Any]:
    """The router's container."""
    deployment = router.build_deployment(cases.OWNER, spec, cases.PLATFORM)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return container


def test_the_objects_own_router_image_wins() -> None:
    assert envoy(cases.make_spec())["image"] == cases.PLATFORM.router_image
    own = cases.make_spec(traffic={"router": {"image": "envoy:own"}})
    assert envoy(own)["image"] == "envoy:own"


def test_a_request_is_never_above_its_limit() -> None:
    small = {"limits": {"memory": "32Mi"}}
    found = envoy(cases.make_spec(traffic={"router": {"resources": small}}))["resources"]
    assert found["requests"] == {"cpu": "50m", "memory": "32Mi"}


def test_the_router_template_does_not_depend_on_the_rollout() -> None:
    """It may change only with what the user says about the router, or a new operator."""
    spec = cases.make_spec()
    other = cases.make_spec(
        serving={"drain": "1m", "replicas": 9, "image": "x:1"}, rollout={"steps": [{"weight": 1}]}
    )
    build = router.build_deployment
    assert build(cases.OWNER, spec, cases.PLATFORM) == build(cases.OWNER, other, cases.PLATFORM)
