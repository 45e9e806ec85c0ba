"""Counting beside the cycles: one window for each step, woken only when there is something new."""

import asyncio

import pytest

from fake_server import child
from savedmodel_operator.analysis.window import Counts
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.api.types import Rollout, Serving, Source, Spec
from savedmodel_operator.cluster.cache import observed
from savedmodel_operator.observe.counters import AT_ONCE, Counters, Subject, subject_of

pytestmark = pytest.mark.looptime

KEY = ("shop", "flowers")
SUBJECT = Subject("new", "old", 0, 2.0)


def router(name, ip, restarts=0, **state):
    return observed(
        child(
            "Pod",
            name,
            labels={"savedmodel.dev/component": "router"},
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

    async def count(self, ip, revisions):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.1)
        self.running -= 1
        self.asked.append((ip, tuple(revisions)))
        found = self.seen.get(ip)
        return None if found is None else dict(zip(revisions, found, strict=True))

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


def test_only_a_candidate_with_requests_is_counted():
    asked = spec(Analysis(interval="10s", max_server_error_rate="1%"))
    assert subject_of(asked, STATUS) == Subject("new", "old", 1, 10.0)
    assert subject_of(spec(None), STATUS) is None
    assert subject_of(asked, {"candidate": STATUS["candidate"]}) is None
    assert subject_of(asked, {"stable": STATUS["stable"]}) is None
    without = {**STATUS["candidate"], "weight": 0}
    assert subject_of(asked, {**STATUS, "candidate": without}) is None
    assert subject_of(asked, {**STATUS, "candidate": {"weight": "many"}}) is None
