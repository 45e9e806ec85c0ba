"""The API server fails or vanishes in the middle of a rollout that clients live through: A3 and A10, felt.

On the real cluster; the operator is a process outside of it, behind a proxy. Clients talk to routers
and pods, never to the API server, so they must not notice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from campaign_case import Seen, case
from operator_process import outside
from replica import Replica, until
from write_counts import busiest, made_and_deleted

from cluster_shop import Shop, open_shop
from lab.injection import ApiProxy, Partition, Refuse
from lab.install import Installed
from lab.kube import Kube, Object
from lab.load import Load
from lab.objects import Step
from lab.samples import CALC, SOUND, Sample

OUTAGE = 60.0  # seconds: longer than the Lease (15 s) and than the hold
QUIET = 10.0
"""Requests per second. A rollout makes more for a moment; an outage must not."""

FIRST, SECOND = 30, 60
STEPS = (Step(FIRST, hold=8), Step(SECOND, hold=8))
KINDS = ("Deployment", "Service", "PodDisruptionBudget")
LABEL = "savedmodel.dev/revision"
RESOURCES = ("deployments", "services", "poddisruptionbudgets")
EXPECTED = (
    "0 failed requests; leads again by itself; each step once, the one that was on is proved again; "
    "workloads made and deleted as without fault"
)


@dataclass(frozen=True)
class Rollouts:
    """A shop whose operator is outside, behind a proxy; `clean`: what a rollout without fault makes
    and deletes."""

    shop: Shop
    proxy: ApiProxy
    operator: Replica
    clean: Counter[Any]

    def counts(self, since: float) -> Counter[Any]:
        return _workloads(self.proxy, since)


@pytest.fixture(scope="module")
def rollouts(
    kube: Kube, installed: Installed, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rollouts]:
    """Version 2 serves; version 1 was its clean rollout's stable."""
    folder = tmp_path_factory.mktemp("rollouts")
    with (
        ApiProxy(kube.instance.kubeconfig, folder / "proxy") as proxy,
        outside(kube, folder / "outside") as post,
        open_shop(kube, installed, models, "api-outage") as shop,
    ):
        operator = post.start(proxy=proxy)
        operator.wait_leading()
        shop.serve(CALC[0], steps=STEPS)
        began = time.time()
        shop.upload(CALC[1])
        shop.wait_stable(2)
        _wait_alone(shop, proxy, began)
        yield Rollouts(shop, proxy, operator, _workloads(proxy, began))


@case(
    "H14",
    f"HTTP 503 on every call of the operator for {OUTAGE:.0f} s in the hold of a step (as A3)",
    f"{EXPECTED}; no hot loop",
    "cluster",
)
def test_h14_clients_do_not_feel_a_failing_api_server(rollouts: Rollouts, seen: Seen) -> None:
    began = time.time()
    with rollouts.shop.load() as load:
        _begin(rollouts.shop, CALC[2])
        broken = time.time()
        with rollouts.proxy.inject(Refuse(503, "ServiceUnavailable")):
            time.sleep(OUTAGE)
        healed = time.time()
        rollouts.operator.wait_leading()
        led = time.time() - healed
        words = _finish(rollouts, CALC[2], load, began)
    calls = [call for call in rollouts.proxy.calls(since=broken) if call.at < healed]
    rate = busiest(calls)
    seen.say(
        f"{words}; {len(calls)} calls in {OUTAGE:.0f} s of 503, at most {rate:.1f}/s; led again after "
        f"{led:.1f} s"
    )
    assert rate < QUIET


@case(
    "H15",
    f"all bytes between operator and API server vanish for {OUTAGE:.0f} s in the hold of a step (as A10)",
    f"{EXPECTED}; it stops writing by itself",
    "cluster",
)
def test_h15_clients_do_not_feel_a_partition(rollouts: Rollouts, seen: Seen) -> None:
    began = time.time()
    with rollouts.shop.load() as load:
        _begin(rollouts.shop, SOUND)
        with rollouts.proxy.inject(Partition()) as partition:
            cut = time.monotonic()
            until(lambda: not rollouts.operator.leads(), "the operator to stop writing", OUTAGE)
            stopped = time.monotonic() - cut
            time.sleep(max(0.0, OUTAGE - stopped))
        healed = time.time()
        rollouts.operator.wait_leading()
        led = time.time() - healed
        words = _finish(rollouts, SOUND, load, began)
    assert partition.hits
    seen.say(
        f"{words}; {partition.hits} calls hung in {OUTAGE:.0f} s; it stopped writing after "
        f"{stopped:.1f} s and led again {led:.1f} s after the end"
    )


def _begin(shop: Shop, sample: Sample) -> None:
    """Until the first step's weight is on every router."""
    shop.upload(sample)

    def done(status: Object) -> bool:
        candidate = status.get("candidate") or {}
        return (candidate.get("number"), candidate.get("weight")) == (sample.number, FIRST)

    shop.wait(done, f"version {sample.number} at {FIRST} %")


def _finish(rollouts: Rollouts, sample: Sample, load: Load, began: float) -> str:
    """The rollout's end is that of a clean one, and no client noticed anything; in words."""
    shop = rollouts.shop
    shop.wait_stable(sample.number)
    _wait_alone(shop, rollouts.proxy, began)
    shop.wait_left()
    answered = load.stop().summary()
    assert answered.failed == 0, answered.explain()
    assert rollouts.counts(began) == rollouts.clean
    assert _weights(shop, sample.number) == [FIRST, SECOND], "each step once, in order"
    return f"{answered.requests} requests, 0 failed; each step once, workloads as without fault"


def _wait_alone(shop: Shop, proxy: ApiProxy, since: float) -> None:
    """Until nothing of the former stable is there, and the proxy has noted how it went: it notes a
    call after the server has answered, and others see its effect before."""
    stable = shop.status["stable"]["revision"]

    def done() -> bool:
        found = (o for kind in KINDS for o in shop.kube.list(kind, shop.namespace, LABEL))
        noted = {what for verb, what, _ in _workloads(proxy, since) if verb == "delete"}
        return {o["metadata"]["name"] for o in found} == {stable} and noted == {*RESOURCES}

    until(done, "the former stable to go")


def _workloads(proxy: ApiProxy, since: float) -> Counter[Any]:
    """What was made and deleted of them since then, names without what differs by version."""
    found = made_and_deleted(proxy.calls(since=since))
    return Counter({key: count for key, count in found.items() if key[1] in RESOURCES})


def _weights(shop: Shop, number: int) -> list[int]:
    """Of the candidate, as they followed each other."""
    found: list[int] = []
    for _, status in shop.follower.story.statuses:
        candidate = status.get("candidate") or {}
        weight = candidate.get("weight")
        if candidate.get("number") == number and weight and found[-1:] != [weight]:
            found.append(weight)
    return found
