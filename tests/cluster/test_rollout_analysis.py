"""A version that is wrong under requests only: what the routers count takes it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster_shop import Shop, refusal
from lab.follow import unix
from lab.load import Load
from lab.objects import Step
from lab.record import Answer
from lab.samples import CALC, REFUSING

pytestmark = pytest.mark.cluster

LIMITS = {
    "interval": "2s",
    "minRequests": 30,
    "maxServerErrorRate": "1%",
    "maxClientErrorIncrease": "2%",
    "maxLatency": {"p99": "20s"},
}
AT_MOST = 10.0  # seconds from the evidence until no router sends anything to it


def test_a_version_that_refuses_a_share_with_400_is_taken_back(
    shop: Shop, record_property: Callable[[str, object], None]
) -> None:
    number = REFUSING.number
    shop.serve(CALC[0], steps=(Step(20, hold=300),))
    shop.patch(rollout={"analysis": LIMITS})
    with shop.load() as load:
        shop.upload(REFUSING)
        status = shop.wait(lambda s: refusal(s, number) is not None, "the rollback")
        entry = refusal(status, number)
        assert entry is not None
        assert (entry["kind"], entry["reason"]) == ("RolledBack", "AnalysisFailed")
        assert "clientErrorIncrease: " in entry["message"]
        assert "the limit is 2 %" in entry["message"]
        shop.wait(lambda s: s["phase"] == "Serving", "version 1 serving alone")
        shop.wait_left()
    bad = _failures(load)
    assert bad, "nobody saw it fail"
    # Weight 0 is proved where its effect is: after this no client meets the version again.
    left = max(a.ended for a in load.record.answers[:] if a.failure or a.version == number)
    record_property("message", entry["message"])
    record_property(
        "first bad answer to the verdict, s", round(unix(entry["at"]) - bad[0].ended, 2)
    )
    record_property("verdict to its last answer, s", round(left - unix(entry["at"]), 2))
    assert left - unix(entry["at"]) <= AT_MOST
    others = [a for a in bad if "assertion failed" not in str(a.failure).lower()]
    assert others == [], "stable failed requests of its own"
    assert shop.status["stable"]["number"] == 1


def _failures(load: Load) -> list[Answer]:
    return sorted((a for a in load.record.answers[:] if a.failure), key=lambda a: a.ended)
