"""What the cases of group D share: a healthy stable of two pods under load, and what is tried beside it.

Neighbours: `cluster_shop` does the work. Must not know what a case injects.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_shop import PATIENCE, Shop, open_shop
from lab import diagnose
from lab.clients import Transport
from lab.cluster import until
from lab.follow import condition
from lab.install import Installed
from lab.kube import Kube, Object
from lab.load import Load, Stream
from lab.objects import Step
from lab.samples import CALC

SHORT, LONG = "15s", "10m"  # deadlines of a rollout
ASKED = 30  # answered requests that make "stable does not feel it" more than a word


@dataclass
class Stand:
    """Version 1 on two pods under load."""

    shop: Shop
    load: Load

    def end(self, serving: Object, back: Object, deadline: str = LONG) -> Object:
        """Try these serving inputs until they are taken back; the entry of rejected[]."""
        shop = self.shop
        known, stable = len(shop.status.get("rejected") or ()), shop.status["stable"]["revision"]
        shop.patch(serving=serving, rollout={"deadline": deadline})
        try:
            status = shop.wait(
                lambda s: len(s.get("rejected") or ()) > known or s["stable"]["revision"] != stable,
                "the end of the candidate",
                2 * PATIENCE,
            )
        finally:
            self.put_back(back)
        assert status["stable"]["revision"] == stable, "it was promoted"
        entry: Object = status["rejected"][0]
        return entry

    def put_back(self, serving: Object) -> None:
        """The inputs of stable again, until it serves alone."""
        self.shop.patch(serving=serving, rollout={"deadline": LONG})
        self.shop.wait(lambda s: s["phase"] == "Serving", "version 1 serving alone")
        self.shop.wait_left()

    def stood(self, since: float) -> str:
        """Stable answered all the time, and alone; in words."""
        now, seen = time.time(), self.load.record
        assert until(lambda: seen.summary(now).requests >= ASKED, patience=PATIENCE)
        found = seen.summary(since)
        assert found.failed == 0, found.explain()
        stable = self.shop.status["stable"]["revision"]
        assert set(found.revisions) == {stable}, found.revisions
        assert condition(self.shop.status, "Ready") == "True"
        return f"{found.requests} requests of clients, 0 failed, all by stable"


def calm_load(shop: Shop) -> Load:
    """Clients that no machine is too slow for: what is looked at here is no question of pace."""
    rates = ((Transport.REST, 4), (Transport.REST_ONE_SHOT, 1), (Transport.GRPC, 4))
    return shop.load(*(Stream(t.value, t, shop.question, rate) for t, rate in rates))


@contextmanager
def open_stand(
    request: pytest.FixtureRequest, kube: Kube, installed: Installed, models: Path, title: str
) -> Iterator[Stand]:
    """Version 1 serving; a failed test shows what a person would look at."""
    before = request.session.testsfailed
    with open_shop(kube, installed, models, title) as shop:
        shop.serve(CALC[0], replicas=2, steps=(Step(50, hold=2),))
        with calm_load(shop) as load:
            yield Stand(shop, load)
        if request.session.testsfailed > before:
            sys.stdout.write(diagnose.explain(kube, shop.namespace, "calc"))


def rolling_out(status: Object) -> Any:
    """The condition RollingOut."""
    return next(c for c in status["conditions"] if c["type"] == "RollingOut")
