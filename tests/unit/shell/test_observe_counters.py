"""Counting beside the cycles: one window for each step, woken only when there is something new."""

import asyncio
from dataclasses import replace

import pytest

from fake_server import child
from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.types import Rollout, Serving, Source, Spec
from savedmodel_operator.cluster.cache import observed
from savedmodel_operator.observe.counters import AT_ONCE, Counters, Subject, subject_of

pytestmark = pytest.mark.looptime

KEY = ("shop", "flowers")
SUBJECT = Subject("new", "old", 0, 2.0)


def router(name, ip, restarts=0, **state):
    return pod(name, ip, {"savedmodel.dev/component": "router"}, restarts, **state)


def server(name, ip, revision, restarts=0):
    labels = {"savedmodel.dev/component": "model", "savedmodel.dev/revision": revision}
    return pod(name, ip, labels, restarts)


def pod(name, ip, labels, restarts=0, **state):
    return observed(
        child(
            "Pod",
            name,
            labels=labels,
            status={
                "podIP": ip,
                "containerStatuses": [
                    {"state": state or {"running": {}}, "restartCount": restarts}
                ],
            },
        )
    )


class Routers:
    """What each address counts; `None` is silence."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.seen = {}
        self.asked, self.changes, self.running, self.most = [], [], 0, 0
        self.counters = Counters(self.count, lambda: 1000.0 + self.loop.time(), self.changed)

    def changed(self, owner):
        assert owner == KEY
        self.changes.append(self.loop.time())

    async def count(self, subject, place):
        ip, revisions = place.ip, place.revisions
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.1)
        self.running -= 1
        self.asked.append((ip, revisions))
        found = self.seen.get(ip)
        return None if found is None else dict(zip(revisions, found, strict=False))

    def set(self, ip, ours, theirs, errors=0):
        self.seen[ip] = (Counts(ours, errors), Counts(theirs))

    def view(self, *pods, subject=SUBJECT):
        return self.counters.view(KEY, subject, list(pods))


async def test_counts_of_all_routers_since_the_step_began():
    routers, pods = Routers(), (router("a", "10.0.0.1"), router("b", "10.0.0.2"))
    routers.set("10.0.0.1", 500, 900)
    routers.set("10.0.0.2", 0, 10)
    assert routers.view(*pods) is None
    await asyncio.sleep(1)
    first = routers.view(*pods)
    assert (first.candidate, first.stable) == (Counts(), Counts())
    assert (first.revision, first.against, first.step) == ("new", "old", 0)
    assert first.window == "1970-01-01T00:16:40.100Z"
    routers.set("10.0.0.1", 503, 990, errors=2)
    routers.set("10.0.0.2", 4, 20)
    await asyncio.sleep(2)
    view = routers.view(*pods)
    assert (view.candidate.requests, view.candidate.server_errors, view.stable.requests) == (
        7,
        2,
        100,
    )
    assert view.window == first.window
    assert view.taken_at > first.taken_at
    assert len(routers.changes) == 2
    await asyncio.sleep(20)
    assert len(routers.changes) == 2, "the same counts are no news"
    routers.counters.close()


async def test_another_step_or_process_begins_a_window_of_its_own():
    routers, pod = Routers(), router("a", "10.0.0.1")
    routers.set("10.0.0.1", 10, 10)
    routers.view(pod)
    await asyncio.sleep(1)
    first = routers.view(pod)
    routers.set("10.0.0.1", 30, 30)
    await asyncio.sleep(2)
    assert routers.view(pod).candidate.requests == 20
    assert routers.view(pod, subject=Subject("new", "old", 1, 2.0)) is None
    await asyncio.sleep(1)
    second = routers.view(pod, subject=Subject("new", "old", 1, 2.0))
    assert second.candidate.requests == 0
    assert second.window != first.window
    again = router("a", "10.0.0.1", restarts=1)
    routers.set("10.0.0.1", 5, 5)
    routers.view(again, subject=second and Subject("new", "old", 1, 2.0))
    await asyncio.sleep(2)
    routers.set("10.0.0.1", 8, 8)
    await asyncio.sleep(2)
    view = routers.view(again, subject=Subject("new", "old", 1, 2.0))
    assert view.candidate.requests == 3, "what the new process counted before it was known"
    routers.counters.close()


async def test_silence_is_no_news_and_its_end_is():
    routers, pod = Routers(), router("a", "10.0.0.1")
    assert routers.view(pod) is None
    await asyncio.sleep(10)
    assert routers.view(pod) is None
    assert routers.changes == []
    routers.set("10.0.0.1", 1, 1)
    await asyncio.sleep(3)
    taken = routers.view(pod).taken_at
    routers.seen.clear()
    await asyncio.sleep(10)
    assert routers.view(pod).taken_at <= taken + 2.1
    routers.set("10.0.0.1", 1, 1)
    await asyncio.sleep(3)
    assert len(routers.changes) == 2
    routers.counters.close()


async def test_nobody_is_asked_without_a_subject_and_few_at_once():
    routers = Routers()
    pods = [router(f"r{i}", f"10.0.0.{i}") for i in range(3 * AT_ONCE)]
    assert routers.view(*pods, subject=None) is None
    await asyncio.sleep(5)
    assert routers.asked == []
    routers.view(*pods, router("gone", "10.0.1.1", terminated={}))
    await asyncio.sleep(1)
    assert routers.most == AT_ONCE
    assert len(routers.asked) == 3 * AT_ONCE
    assert routers.view(*pods, subject=None) is None
    await asyncio.sleep(20)
    assert len(routers.asked) == 3 * AT_ONCE, "it stopped"


def spec(analysis):
    source = Source("s3://models/flowers", anonymous=True)
    return Spec(source, Serving("image:1"), rollout=Rollout(analysis=analysis))


STATUS = {
    "stable": {"revision": "old"},
    "candidate": {"revision": "new", "weight": 10, "step": 1},
}


META = Meta("flowers", "shop", "u", 1, "1", status=STATUS)


def test_only_a_candidate_with_requests_is_counted():
    asked = spec(Analysis(interval="10s", max_server_error_rate="1%"))
    assert subject_of(META, asked) == Subject("new", "old", 1, 10.0, model="flowers")
    assert subject_of(META, spec(None)) is None
    without = {**STATUS["candidate"], "weight": 0}
    copied = {**STATUS, "candidate": {**without, "mirror": 10, "step": -1}}
    wanted = Subject("new", "old", -1, 10.0, model="flowers")
    assert subject_of(replace(META, status=copied), asked) == wanted
    for status in (
        {"candidate": STATUS["candidate"]},
        {"stable": STATUS["stable"]},
        {**STATUS, "candidate": without},
        {**STATUS, "candidate": {"weight": "many"}},
    ):
        assert subject_of(replace(META, status=status), asked) is None


@pytest.mark.parametrize("ratio", [{}, {"p50": "2"}])
def test_stable_s_servers_matter_only_to_a_ratio(ratio):
    limits = Analysis(source="ServingMetrics", max_latency={"p99": "1s"}, max_latency_ratio=ratio)
    subject = subject_of(META, spec(limits))
    assert subject.revisions == (("new", "old") if ratio else ("new",))
    assert subject.source == "ServingMetrics"


SERVED = Subject("new", "old", 0, 2.0, "ServingMetrics", "flowers")


async def test_each_server_counts_for_its_own_revision():
    servers = Routers()
    ours = server("a", "10.0.0.1", "new"), server("b", "10.0.0.2", "new")
    others = server("c", "10.0.0.3", "old"), server("d", "10.0.0.4", "older")
    pods = (*ours, *others, router("r", "10.0.0.9"))
    for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        servers.set(ip, 10, 0)
    servers.view(*pods, subject=SERVED)
    await asyncio.sleep(1)
    assert sorted(servers.asked) == [
        ("10.0.0.1", ("new",)),
        ("10.0.0.2", ("new",)),
        ("10.0.0.3", ("old",)),
    ]
    servers.set("10.0.0.1", 13, 0)
    servers.set("10.0.0.2", 14, 0)
    servers.set("10.0.0.3", 30, 0)
    await asyncio.sleep(2)
    view = servers.view(*pods, subject=SERVED)
    assert (view.candidate.requests, view.stable.requests) == (7, 20)
    restarted = server("a", "10.0.0.1", "new", restarts=1)
    servers.set("10.0.0.1", 1000, 0)
    servers.view(restarted, *pods[1:], subject=SERVED)
    await asyncio.sleep(2)
    assert servers.view(*pods, subject=SERVED).candidate.requests == 7, "a baseline of its own"
    servers.counters.close()


async def test_what_prometheus_is_asked_is_not_counted():
    servers = Routers()
    pods = router("r", "10.0.0.9"), server("a", "10.0.0.1", "new")
    assert servers.view(*pods, subject=replace(SERVED, source="Prometheus")) is None
    await asyncio.sleep(10)
    assert servers.asked == []


@pytest.mark.parametrize(
    ("silent", "alone", "fresh"),
    [("10.0.0.1", True, False), ("10.0.0.3", True, True), ("10.0.0.3", False, False)],
)
async def test_what_is_missing_makes_the_rest_no_older_than_it_is(silent, alone, fresh):
    servers, subject = Routers(), replace(SERVED, alone=alone)
    pods = server("a", "10.0.0.1", "new"), server("c", "10.0.0.3", "old")
    for ip in ("10.0.0.1", "10.0.0.3"):
        servers.set(ip, 10, 0)
    servers.view(*pods, subject=subject)
    await asyncio.sleep(3)
    taken = servers.view(*pods, subject=subject).taken_at
    del servers.seen[silent]
    await asyncio.sleep(10)
    later = servers.view(*pods, subject=subject).taken_at
    assert (later > taken + 5) == fresh
    servers.counters.close()
