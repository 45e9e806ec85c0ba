"""An informer on virtual time, over a client whose lists and watches the test writes."""

import asyncio
import itertools

import pytest

from fake_server import child
from savedmodel_operator import errors
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.client import Listing, WatchEvent
from savedmodel_operator.cluster.informer import FIRST_DELAY, LONGEST_DELAY, Backoff, Informer
from savedmodel_operator.cluster.kinds import CONFIG_MAP

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

OWNER = ("shop", "flowers")


class Scripted:
    """lists and watches: what each next one gives; an exception is raised, a number is a pause."""

    def __init__(self, lists, watches):
        self.lists, self.watches = list(lists), list(watches)
        self.loop = asyncio.get_running_loop()
        self.calls: list[tuple[float, str, str]] = []

    async def list(self, kind, namespace, selector):
        self.calls.append((self.loop.time(), "list", selector))
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, kind, namespace, version, seconds, selector):
        self.calls.append((self.loop.time(), "watch", version))
        for step in self.watches.pop(0) if self.watches else [10_000]:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, int):
                await asyncio.sleep(step)
            else:
                yield step

    def times(self, verb):
        return [at for at, v, _ in self.calls if v == verb]

    def versions(self):
        return [version for _, verb, version in self.calls if verb == "watch"]


def listing(version, *bodies):
    items = [{k: v for k, v in b.items() if k not in ("kind", "apiVersion")} for b in bodies]
    return Listing(items, version)


def event(kind, body):
    return WatchEvent(kind, body)


def bookmark(version):
    return WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": version}})


async def watch(client, seconds=1000):
    """(cache, owners told, informer) after some time."""
    cache, told = ChildCache(), []
    informer = Informer(client, CONFIG_MAP, None, cache, told.append, chance=lambda: 1.0)
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return cache, told, informer


def names(cache):
    return {o.name: o.resource_version for o in cache.children(OWNER, "u-1")}


async def test_list_then_events_and_each_wakes_its_owner():
    client = Scripted(
        [listing("5", child("ConfigMap", "a", version=3))],
        [
            [
                event("ADDED", child("ConfigMap", "b", version=6)),
                event("MODIFIED", child("ConfigMap", "a", version=7)),
                event("DELETED", child("ConfigMap", "b", version=8)),
                bookmark("9"),
                10_000,
            ]
        ],
    )
    cache, told, informer = await watch(client)
    assert names(cache) == {"a": "7"}
    assert told == [OWNER] * 4
    assert informer.synced.is_set()


async def test_a_dropped_watch_goes_on_where_it_was_without_a_list():
    client = Scripted(
        [listing("5")],
        [
            [bookmark("20"), 100, errors.Unavailable("dropped")],
            [event("ADDED", child("ConfigMap", "b", version=30)), 100],  # ended in good order
            [10_000],
        ],
    )
    cache, _, _ = await watch(client)
    assert client.versions() == ["5", "20", "30"]
    assert len(client.times("list")) == 1
    assert names(cache) == {"b": "30"}


async def test_after_gone_everything_is_listed_anew():
    client = Scripted(
        [listing("5", child("ConfigMap", "a", version=3)), listing("50")],
        [[errors.Gone("too old")]],
    )
    cache, told, _ = await watch(client)
    assert len(client.times("list")) == 2
    assert client.versions() == ["5", "50"]
    assert names(cache) == {}
    assert told == [OWNER] * 2


async def test_a_server_that_is_away_is_asked_slower_and_slower():
    client = Scripted([errors.Unavailable("no route")] * 500, [])
    _, _, informer = await watch(client, 600)
    times = client.times("list")
    assert times[1] - times[0] == pytest.approx(FIRST_DELAY)
    assert times[2] - times[1] == pytest.approx(2 * FIRST_DELAY)
    assert times[-1] - times[-2] == pytest.approx(LONGEST_DELAY)
    assert not informer.synced.is_set()


async def test_a_server_that_asks_to_wait_is_waited_for():
    client = Scripted([errors.TooMany("slow down", retry_after=9.0), listing("5")], [])
    await watch(client)
    assert client.times("list") == [0, 9]


async def test_a_watch_that_lasted_is_taken_up_again_at_once():
    quiet = [[70, errors.Unavailable("silent")] for _ in range(12)]
    client = Scripted([listing("5")], quiet)
    await watch(client, 13 * 71)
    times = client.times("watch")
    assert max(b - a for a, b in itertools.pairwise(times)) < 71


async def test_without_the_right_it_lists_again_until_it_has_it(caplog):
    refusal = errors.Forbidden("may not list", verb="list", resource="configmaps")
    client = Scripted([refusal, listing("5", child("ConfigMap", "a"))], [])
    cache, _, _ = await watch(client)
    assert names(cache) == {"a": "1"}
    assert "cannot watch configmaps in all namespaces: may not list" in caplog.text


async def test_jitter_is_between_half_and_whole():
    assert Backoff(1.0, 8.0, lambda: 0.0).next() == 0.5
    assert Backoff(1.0, 8.0, lambda: 1.0).next() == 1.0
