"""Copies reach the candidate's own server while clients get version 1 alone; then the steps go on,
and at a weight each user has one version."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable

import pytest

from cluster_shop import NAME, Shop
from lab.cluster import until
from lab.kube import Object
from lab.objects import Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster

V1, V2, *_ = CALC
HEADER = "x-user-id"
PERCENT = 50
USERS = [f"user-{n}" for n in range(40)]
ANSWERED = re.compile(
    r'^:tensorflow:serving:request_latency_count\{.*API="predict".*\} ([0-9.e+]+)$', re.M
)


def predictions(shop: Shop, number: int) -> float:
    """Predict requests that the pods of a version have answered, by their own servers."""
    pods = shop.kube.list("Pod", shop.namespace, f"savedmodel.dev/version={number}")
    total = 0.0
    for pod in pods:
        url = f"http://{pod['status']['podIP']}:8501/monitoring/prometheus/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            total += sum(map(float, ANSWERED.findall(answer.read().decode())))
    return total


def copied(status: Object) -> bool:
    candidate = status.get("candidate") or {}
    return candidate.get("mirror") == PERCENT and "stepSince" in candidate


def at_weight(weight: int) -> Callable[[Object], bool]:
    return lambda status: (
        status["phase"] == "Paused" and (status.get("candidate") or {}).get("weight") == weight
    )


def answerer(shop: Shop, user: str) -> str:
    """The version that answers this user's REST prediction."""
    service = shop.kube.get("Service", shop.namespace, NAME)
    assert service is not None
    request = urllib.request.Request(
        f"http://{service['spec']['clusterIP']}:8501/v1/models/{NAME}:predict",
        data=json.dumps({"instances": [1.0]}).encode(),
        headers={HEADER: user},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.headers["x-savedmodel-version"])


def test_copies_then_steps_and_users_who_stay(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    shop.serve(V1, steps=(Step(30, pause=True), Step(60, pause=True)))
    shop.patch(
        rollout={"mirror": {"percent": PERCENT, "hold": "10m"}},
        traffic={"sticky": {"header": HEADER}},
    )
    with shop.load() as load:
        shop.upload(V2)
        status = shop.wait(copied, "copies for version 2")
        candidate = status["candidate"]
        assert (candidate["step"], candidate["weight"]) == (-1, 0)
        assert f"mirrors {PERCENT} % of requests to {candidate['revision']}" in status["message"]
        assert status["next"].startswith("30 % at ")

        assert until(lambda: predictions(shop, 2) >= 50, patience=60), "no copies came"
        got = predictions(shop, 2)
        record_property("copies that the candidate's server answered", got)
        seen = load.record.summary()
        assert (seen.failed, set(seen.versions)) == (0, {1}), seen.explain()

        shop.act("promote mirror #enough")
        inside: set[str] = set()
        for weight in (30, 60):
            shop.wait(at_weight(weight), f"{weight} %")
            first = [answerer(shop, user) for user in USERS]
            assert first == [answerer(shop, user) for user in USERS]
            now = {user for user, version in zip(USERS, first, strict=True) if version == "2"}
            assert inside < now < set(USERS)
            inside = now
            shop.act(f"promote v2 #{weight}")
        shop.wait_stable(2)
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert set(seen.versions) == {1, 2}
