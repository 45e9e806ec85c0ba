"""Versions that go wrong once clients call them: each is taken back before anybody is told to act.

One stable for all of them, called without a pause; it must not fail a single request. The budget is
10 seconds from the evidence to a proved weight of 0 on every router. It is told as a figure; what
is asserted is far above, because a slow machine is no defect.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_shop import PATIENCE, Shop, open_shop, process_of, refusal
from lab import diagnose
from lab.cluster import until
from lab.install import Installed
from lab.kube import Kube, Object
from lab.load import Load
from lab.objects import Step
from lab.record import Answer
from lab.rollback import Limit, Rollback, failed, find_rollback, slower_than
from lab.samples import CALC, FAILING, REFUSING, SOUND, TIRING, Sample

pytestmark = pytest.mark.cluster

AT_MOST = 30.0  # seconds; the budget is a third of it
LEAST = 30  # answers before a limit says anything
LIMITS: Object = {
    "source": "Router",
    "interval": "1s",
    "minRequests": LEAST,
    "maxServerErrorRate": "1%",
    "maxClientErrorIncrease": "2%",
    "maxLatency": {"p90": "20s"},
    "maxLatencyRatio": None,
}
"""Laid over those of the version before by a merge patch."""
ANY = Limit(failed, 0.0, 1)  # any failed request of a version
Record = Callable[[str, object], None]


@dataclass
class Market:
    """A healthy version 1 under load, and what has been tried beside it."""

    shop: Shop
    load: Load

    def try_out(self, sample: Sample, steps: tuple[Step, ...], **limits: Any) -> None:
        """Upload a version with these steps before it, and limits other than LIMITS."""
        analysis = {**LIMITS, **limits}
        steps_ = [step.manifest() for step in steps]
        self.shop.patch(rollout={"steps": steps_, "analysis": analysis})
        self.shop.upload(sample)

    def wait_called(self, number: int) -> str:
        """Until clients are answered by it at its full weight; its revision."""
        status = self.shop.wait(
            lambda s: (
                (s.get("candidate") or {}).get("number") == number
                and bool(s["candidate"].get("stepSince"))
            ),
            f"version {number} under weight",
        )
        seen = self.load.record
        assert until(lambda: number in seen.summary().versions, patience=PATIENCE)
        return str(status["candidate"]["revision"])

    def wait_refusal(self, number: int) -> Object:
        status = self.shop.wait(lambda s: refusal(s, number) is not None, f"{number} taken back")
        entry = refusal(status, number)
        assert entry is not None
        return entry

    def wait_gone(self, entry: Object, limit: Limit = ANY) -> Rollback:
        """Until no router knows it and its pods have left."""
        found: list[Rollback] = []

        def done() -> bool:
            told = find_rollback(self.shop.follower.story, self.load.record, entry, limit)
            found[:] = [told] if told else []
            return told is not None

        assert until(done, patience=PATIENCE), f"routers keep version {entry['number']}"
        self.shop.wait(lambda s: s["phase"] == "Serving", "version 1 serving alone")
        self.shop.wait_left()
        return found[0]


@pytest.fixture(scope="module")
def market(
    request: pytest.FixtureRequest, kube: Kube, installed: Installed, models: Path
) -> Iterator[Market]:
    before = request.session.testsfailed
    with open_shop(kube, installed, models, "bad-versions") as shop:
        shop.serve(CALC[0], replicas=2, steps=(Step(30, hold=300),))
        with shop.load() as load:
            yield Market(shop, load)
        if request.session.testsfailed > before:
            sys.stdout.write(diagnose.explain(kube, shop.namespace, "calc"))


LOST = {
    "deleted": (CALC[1], "none of its pods is ready any more"),
    "killed": (CALC[2], "exit code 137"),
}


@pytest.mark.parametrize("how", LOST)
def test_a_version_that_loses_its_only_pod_is_taken_back(
    market: Market, how: str, record_property: Record
) -> None:
    """At once as after a node's death, or its server alone, which the kubelet starts again."""
    shop, (sample, words) = market.shop, LOST[how]
    market.try_out(sample, (Step(30, hold=300),))
    pods = shop.pods("model", market.wait_called(sample.number))
    assert len(pods) == 1
    lost = time.time()
    if how == "deleted":
        shop.kube.delete("Pod", shop.namespace, pods[0]["metadata"]["name"], grace=0)
    else:
        assert _kill_server(pods[0])
    entry = market.wait_refusal(sample.number)
    _check_told(market, entry, "PodsLost", "it lost all its pods at 30 %: ")
    assert words in entry["message"]
    _check_times(market, entry, market.wait_gone(entry), record_property, lost)
    _check_stable(market, sample.number)


@dataclass(frozen=True)
class Wrong:
    """A version that answers wrongly: what is asked of it, and what is to be said of it."""

    sample: Sample
    limit: Limit
    words: str
    limits: Object


WRONG = {
    "400s": Wrong(REFUSING, Limit(failed, 0.02, LEAST), "clientErrorIncrease: ", {}),
    # As seldom as by default: the time to weight 0 has room for that.
    "5xx": Wrong(FAILING, Limit(failed, 0.01, LEAST), "serverErrorRate: ", {"interval": "5s"}),
    "latency": Wrong(
        TIRING[0],
        Limit(slower_than(0.25), 0.1, LEAST),
        "latency.p90: ",
        {"maxLatency": {"p90": "250ms"}},
    ),
    # Stable takes a few milliseconds, so that this is beyond three times as much for every client.
    "latency beside stable's": Wrong(
        TIRING[1],
        Limit(slower_than(0.25), 0.5, LEAST),
        "latencyRatio.p50: ",
        {"maxLatencyRatio": {"p50": "3"}},
    ),
    # The pods' own histograms have an edge at 393 ms and none before it above the limit.
    "latency as its pods see it": Wrong(
        TIRING[2],
        Limit(slower_than(0.393), 0.1, LEAST),
        "latency.p90: ",
        {
            "source": "ServingMetrics",
            "maxServerErrorRate": None,
            "maxClientErrorIncrease": None,
            "maxLatency": {"p90": "250ms"},
        },
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_version_that_breaks_a_limit_is_taken_back(
    market: Market, case: Wrong, record_property: Record
) -> None:
    number = case.sample.number
    market.try_out(case.sample, (Step(30, hold=300),), **case.limits)
    entry = market.wait_refusal(number)
    _check_told(market, entry, "AnalysisFailed", case.words)
    record_property("message", entry["message"])
    _check_times(market, entry, market.wait_gone(entry, case.limit), record_property)
    _check_stable(market, number)


def test_a_version_in_a_crash_loop_is_taken_back(market: Market, record_property: Record) -> None:
    """One of its two pods: the other one answers, so that the loop itself is the evidence."""
    shop, number = market.shop, SOUND.number
    # What clients have of each crash may be enough for the analysis, which then comes first.
    market.try_out(SOUND, (Step(60, hold=300),), maxServerErrorRate="100%")
    pods = shop.pods("model", market.wait_called(number))
    assert len(pods) == 2
    evidence = _crash(shop, pods[0], 3)
    entry = market.wait_refusal(number)
    _check_told(market, entry, "CrashLoop", "restarted 3 times, exit code 137")
    _check_times(market, entry, market.wait_gone(entry), record_property, evidence)
    _check_stable(market, number)


def test_what_was_taken_back_is_not_tried_again(market: Market) -> None:
    """The bucket is read again on demand, and every version that was refused is still in it."""
    shop = market.shop
    shop.act("sync #look-again")
    shop.wait(lambda s: s.get("lastHandledAction") == "sync #look-again", "the bucket, read again")
    shop.wait(lambda s: s["phase"] == "Serving", "version 1 serving alone")
    rejected = shop.status["rejected"]
    assert rejected, "run it after the others"
    for entry in rejected:
        seen = [status for _, status in shop.follower.story.statuses]
        at = next(i for i, status in enumerate(seen) if refusal(status, entry["number"]))
        again = [
            s for s in seen[at:] if (s.get("candidate") or {}).get("number") == entry["number"]
        ]
        assert not again, f"version {entry['number']} was tried again"


def _crash(shop: Shop, pod: Object, times: int) -> float:
    """Kill its server until it has been restarted so often; when that was seen (Unix seconds)."""
    name = pod["metadata"]["name"]
    killed = -1
    for body in shop.kube.watch("Pod", shop.namespace, name, PATIENCE):
        found = (body or {}).get("status", {}).get("containerStatuses") or [{}]
        restarts = int(found[0].get("restartCount", 0))
        if body is None or restarts >= times:
            return time.time()
        if restarts > killed and "running" in found[0].get("state", {}):
            assert until(lambda pod=body: _kill_server(pod), patience=PATIENCE)
            killed = restarts
    raise AssertionError(f"{name} was not restarted {times} times")


def _kill_server(pod: Object) -> bool:
    """Whether it was there: a container counts as running a moment before its command does."""
    try:
        os.kill(process_of(pod, "--model_base_path"), signal.SIGKILL)
    except (AssertionError, ProcessLookupError):
        return False
    return True


def _check_told(market: Market, entry: Object, reason: str, words: str) -> None:
    """The reason and the sentence in status, history and an Event."""
    assert (entry["kind"], entry["reason"]) == ("RolledBack", reason), entry["message"]
    assert words in entry["message"]
    past = market.shop.status["history"][0]
    assert (past["outcome"], past["revision"]) == ("RolledBack", entry["revision"])
    assert past["message"] == entry["message"]

    def told() -> bool:
        events = market.shop.kube.list("Event", market.shop.namespace)
        found = [e for e in events if e["reason"] == "RolledBack"]
        return entry["message"][:1024] in [e["message"] for e in found]

    assert until(told, patience=PATIENCE), "no Event says it"


def _check_times(
    market: Market, entry: Object, found: Rollback, record: Record, evidence: float | None = None
) -> None:
    """Told as figures; evidence: when a pod was seen to be bad, else what clients saw counts."""
    spans = {
        "verdict": found.since_verdict,
        "evidence": found.since_broken if evidence is None else found.gone - evidence,
        "first bad answer": found.since_first_bad,
    }
    for what, seconds in spans.items():
        if seconds is not None:
            record(f"{what} to weight 0 on every router, s", round(seconds, 2))
    failures = [a.failure for a in _answers(market, entry["number"]) if a.failure]
    record("failed requests", f"{len(failures)}, as {failures[0]}" if failures else "none")
    assert spans["evidence"] is not None, "clients never saw it break its limit"
    assert spans["evidence"] <= AT_MOST
    late = [a for a in _answers(market, entry["number"]) if a.started > found.gone]
    assert not late, "a router sent it requests after it had been verified to send none"


def _check_stable(market: Market, number: int) -> None:
    """No failed request but those that the bad version answered, here and before."""
    bad = {entry["number"] for entry in market.shop.status["rejected"]}
    assert number in bad
    others = [a for a in market.load.record.answers[:] if a.failure and a.version not in bad]
    assert others == [], "stable failed requests of its own"
    assert market.shop.status["stable"]["number"] == 1


def _answers(market: Market, number: int) -> list[Answer]:
    return [a for a in market.load.record.answers[:] if a.version == number]
