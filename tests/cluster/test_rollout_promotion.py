"""The main job: a better version takes over step by step while clients call, and nobody notices."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cluster_shop import PATIENCE, Shop
from lab.clients import Transport
from lab.cluster import until
from lab.load import Stream
from lab.objects import Step
from lab.questions import BlobQuestion
from lab.samples import BLOB, CALC

pytestmark = pytest.mark.cluster

MIB = 1024 * 1024


def test_promotion_under_load_fails_nobody_and_splits_exactly(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    """5,000 requests at 2 replicas each; every answer is computed by the version it names."""
    steps = (Step(10, hold=20), Step(50, hold=12))
    shop.serve(CALC[0], replicas=2, steps=steps)
    with shop.load(
        Stream("REST", Transport.REST, shop.question, 40),
        Stream("one-shot", Transport.REST_ONE_SHOT, shop.question, 5),
        Stream("gRPC", Transport.GRPC, shop.question, 40),
    ) as load:
        since = time.time()
        shop.upload(CALC[1])
        shop.wait_stable(2)
        assert until(lambda: len(load.record.answers) >= 5000, patience=PATIENCE)
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert seen.requests >= 5000
    assert set(seen.versions) == {1, 2}
    found = shop.splits(load, since)
    assert [split.share for split in found] == [10, 50, 100]
    for split in found:
        assert split.kept, f"{split.hits} of {split.requests} at {split.share} %: {split.bounds}"
        record_property(
            f"at {split.share} %",
            f"{split.hits} of {split.requests}, verified {split.window.convergence:.2f} s after "
            "it was written",
        )
    record_property("requests", f"{seen.requests}, p50 {seen.p50:.3f} s, p99 {seen.p99:.3f} s")


def test_bodies_of_20_mib_survive_a_promotion(shop: Shop) -> None:
    shop.question = BlobQuestion(20 * MIB, "calc")
    # A third of the pods gets a quarter of the requests, and few are under way at once: each costs
    # a second of a slow machine, and a pod that cannot answer its probe for that counts as lost.
    shop.serve(BLOB[0], replicas=2, steps=(Step(25, hold=20),))
    large = [
        Stream(t.value, t, shop.question, 1.5, under_way=2, timeout=60)
        for t in (Transport.REST, Transport.GRPC)
    ]
    with shop.load(*large) as load:
        shop.upload(BLOB[1])
        shop.wait_stable(2)
        assert until(lambda: len(load.record.answers) >= 120, patience=PATIENCE)
    for transport in (Transport.REST, Transport.GRPC):
        seen = load.record.summary(client=transport.value)
        assert seen.failed == 0, seen.explain()
        assert set(seen.versions) == {1, 2}
    assert load.record.summary().requests >= 100
