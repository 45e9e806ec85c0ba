"""Pods that are killed, drained or fall silent, and a cluster without DNS, in the middle of a rollout.

One shop for all of them: version 1 is stable and version 2 carries 60 %, two pods each, behind two
routers; four kinds of client call them without a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from campaign_case import Seen, case
from data_plane import (
    REDIAL,
    ROUTER,
    SERVER,
    TIMEOUT,
    Plane,
    in_flight,
    is_refused,
    kill,
    opened,
    wait_restarted,
)

from cluster_shop import PATIENCE, operator_pod
from lab import packets
from lab.cluster import until
from lab.follow import condition
from lab.kube import Kube
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.usefixtures("installed", "models")

EJECTED = 3.0
"""Seconds after which a silent pod is out: the budget."""

LOADED = 2.0
"""What a machine whose cores are taken may add to that."""

NO_DNS = 60.0
DNS = "deployment/coredns"


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    steps = (Step(60, pause=True), Step(80, pause=True))
    with opened(request, "data-plane", steps) as found:
        found.shop.upload(CALC[1])
        found.shop.wait_paused(2)
        yield found


NOTHING_ELSE = "0 failed requests outside those in flight on it"


@case("H1", "SIGKILL to a stable pod's server", NOTHING_ELSE, "cluster")
def test_h1_a_killed_stable_pod_costs_what_was_in_flight_on_it(plane: Plane, seen: Seen) -> None:
    _kill_server(plane, "stable", seen)


@case("H2", "SIGKILL to a candidate pod's server at 60 %", NOTHING_ELSE, "cluster")
def test_h2_a_killed_candidate_pod_costs_what_was_in_flight_on_it(plane: Plane, seen: Seen) -> None:
    _kill_server(plane, "candidate", seen)
    assert plane.shop.status["phase"] == "Paused"


@case(
    "H3",
    "SIGKILL to a router's Envoy",
    "0 failed requests outside those in flight on it and connects that are refused until the kubelet "
    "has started it again: its address stays in the Service, so that kube-proxy still leads to it (no "
    "byte reached anybody; docs/clients.md tells clients to connect again)",
    "cluster",
)
def test_h3_a_killed_router_costs_what_was_in_flight_and_refused_connects(
    plane: Plane, seen: Seen
) -> None:
    shop, pod, since = plane.shop, plane.pod("router"), time.time()
    at = kill(pod, ROUTER)
    wait_restarted(shop, pod)
    back = time.time()
    cost = plane.count(since)
    refused = [
        a for a in cost.failed if is_refused(a) and at <= a.ended and a.started <= back + REDIAL
    ]
    others = [a for a in cost.failed if a not in refused]
    last = max((a.started - at for a in refused), default=0.0)
    seen.say(
        f"{cost}; {len(refused)} of them refused connects, the last begun {last:.1f} s after the kill, "
        f"and {len(others)} in flight; ready again after {back - at:.1f} s"
    )
    assert all(map(in_flight(at), others)), cost.explain()


def _kill_server(plane: Plane, part: str, seen: Seen) -> None:
    pod, since = plane.pod(part), time.time()
    at = kill(pod, SERVER)
    wait_restarted(plane.shop, pod)
    cost = plane.count(since)
    seen.say(str(cost))
    late = cost.outside(in_flight(at))
    assert not late, cost.explain()


@pytest.mark.parametrize("part", ["stable", "candidate", "router"])
@case("H4", "stable, candidate and router pod drained (evicted)", "0 failed requests", "cluster")
def test_h4_a_drained_pod_costs_nothing(plane: Plane, part: str, seen: Seen) -> None:
    shop, pod, since = plane.shop, plane.pod(part), time.time()
    shop.kube.evict(shop.namespace, pod["metadata"]["name"])
    if part == "router":
        shop.wait_pods("router", 2, without=pod["metadata"]["uid"])
    else:
        revision = plane.revision(part)
        shop.wait_pods("model", 2, without=pod["metadata"]["uid"], revision=revision)
    shop.wait_left()
    cost = plane.count(since)
    seen.say(f"{part}: {cost}")
    assert not cost.failed, cost.explain()


@case("H5", "CoreDNS restarted", "0 failed requests", "cluster")
def test_h5_a_restarted_dns_costs_nothing(plane: Plane, seen: Seen) -> None:
    since = time.time()
    plane.shop.cluster.kubectl("-n", "kube-system", "rollout", "restart", DNS)
    plane.shop.cluster.wait_rolled_out("kube-system", "coredns")
    cost = plane.count(since)
    seen.say(str(cost))
    assert not cost.failed, cost.explain()


@case(
    "H6",
    "no CoreDNS for 60 s, and a stable pod drained meanwhile",
    "0 failed requests; with DNS everything comes back by itself",
    "cluster",
)
def test_h6_a_minute_without_dns_costs_nothing(plane: Plane, seen: Seen) -> None:
    shop, since, stable = plane.shop, time.time(), plane.revision("stable")
    pod = plane.pod("stable")
    try:
        shop.cluster.kubectl("-n", "kube-system", "scale", DNS, "--replicas=0")
        assert until(lambda: not _dns_pods(shop.kube), patience=PATIENCE), "DNS is still there"
        gone = time.time()
        shop.kube.evict(shop.namespace, pod["metadata"]["name"])
        assert until(lambda: time.time() - gone >= NO_DNS, patience=2 * NO_DNS)
        assert not _dns_pods(shop.kube)
    finally:
        shop.cluster.kubectl("-n", "kube-system", "scale", DNS, "--replicas=1")
        shop.cluster.wait_rolled_out("kube-system", "coredns")
    shop.wait_pods("model", 2, without=pod["metadata"]["uid"], revision=stable)
    shop.wait_left()
    cost = plane.count(since)
    seen.say(str(cost))
    assert not cost.failed, cost.explain()


def _dns_pods(kube: Kube) -> list[str]:
    return [p["metadata"]["name"] for p in kube.list("Pod", "kube-system", "k8s-app=kube-dns")]


@pytest.mark.parametrize("part", ["stable", "candidate"])
@case(
    "H7",
    "one of two pods dies without a FIN: all its packets dropped by iptables",
    f"failed requests only of those sent before health checks eject it: begun within {EJECTED:g} s"
    f" (+ {LOADED:g} s for a loaded machine)",
    "cluster",
)
def test_h7_a_silent_pod_costs_what_was_sent_before_it_was_ejected(
    plane: Plane, part: str, seen: Seen
) -> None:
    shop, pod, since = plane.shop, plane.pod(part), time.time()
    with packets.dropped(shop.kube.instance, (pod["status"]["podIP"], packets.ANY)) as at:
        cost = plane.count(since, timeout=EJECTED + LOADED + TIMEOUT)
    last = max((a.started - at for a in cost.failed), default=0.0)
    seen.say(f"{part}: {cost}, the last one begun {last:.1f} s after the first lost packet")
    late = cost.outside(lambda a: a.ended >= at and a.started - at <= EJECTED + LOADED)
    assert not late, cost.explain()
    shop.wait(lambda s: s["phase"] == "Paused", "the pause")


@case(
    "H8",
    "the operator cannot reach one of two routers; a step is due, then a rollback",
    "RouterUnverified with the pod's name and no step; the rollback deletes that router after 5 s, "
    "the other one stays; 0 failed requests",
    "cluster",
)
def test_h8_a_router_out_of_reach_holds_the_step_and_not_the_rollback(
    plane: Plane, seen: Seen
) -> None:
    shop, since = plane.shop, time.time()
    pod = plane.pod("router")
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    other = next(p for p in shop.pods("router") if p["metadata"]["uid"] != uid)
    operator = operator_pod(shop.kube)["status"]["podIP"]
    with packets.dropped(shop.kube.instance, (operator, pod["status"]["podIP"])):
        shop.act("promote v2")
        status = shop.wait(
            lambda s: (
                condition(s, "TrafficSynced") == "False"
                and name in _synced(s)["message"]
                and other["metadata"]["name"] not in _synced(s)["message"]
            ),
            "the router out of reach",
        )
        assert _synced(status)["reason"] == "RouterUnverified"
        seen.say(_synced(status)["message"])
        assert "stepSince" not in status["candidate"], status["candidate"]
        shop.act("abort")
        asked = time.time()
        shop.wait_pods("router", 2, without=uid)
        shop.wait(lambda s: s["phase"] == "Serving", "version 1 alone")
        took = time.time() - asked
        last = max(a.ended for a in plane.load.record.answers[:] if a.version == 2) - asked
    left = {p["metadata"]["uid"] for p in shop.pods("router")}
    assert other["metadata"]["uid"] in left, "the router that could be proved went, too"
    shop.wait_left()
    cost = plane.count(since)
    seen.say(
        f"after the abort version 2's last answer came within {max(last, 0):.1f} s, and every router "
        f"was proved within {took:.1f} s; {cost}"
    )
    assert not cost.failed, cost.explain()


def _synced(status: dict) -> dict:  # type: ignore[type-arg]
    return next(c for c in status["conditions"] if c["type"] == "TrafficSynced")
