"""The work queue under virtual time: who runs when, and what never happens."""

import asyncio
import itertools

import pytest

from savedmodel_operator.queue import FIRST_DELAY, LONGEST_DELAY, NEWS_DELAY, Done, WorkQueue

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Recorder:
    """Work that takes `seconds` and answers what it was told to."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.answers: dict[str, list[Done]] = {}
        self.began: list[tuple[float, str]] = []
        self.running: set[str] = set()
        self.most = 0
        self.hook = lambda key: None

    async def __call__(self, key: str) -> Done:
        assert key not in self.running, "two cycles of one key at a time"
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        self.began.append((asyncio.get_running_loop().time(), key))
        self.hook(key)
        await asyncio.sleep(self.seconds)
        self.running.discard(key)
        answers = self.answers.get(key, [])
        return answers.pop(0) if answers else Done()

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.began]

    def times(self, key: str) -> list[float]:
        return [at for at, k in self.began if k == key]


async def settle(queue: WorkQueue[str], seconds: float) -> None:
    """Lets the queue run for `seconds` of virtual time, then ends it."""
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(seconds)
    queue.stop()
    await task


async def test_a_key_that_waits_is_run_once():
    work = Recorder()
    queue = WorkQueue(work, workers=1)
    for _ in range(5):
        queue.add("a")
    await settle(queue, 1)
    assert work.keys == ["a"]


async def test_a_key_added_during_its_cycle_is_run_again_afterwards():
    work = Recorder(seconds=3)
    queue = WorkQueue(work, workers=4)
    queue.add("a")
    asyncio.get_running_loop().call_later(1, queue.add, "a")
    asyncio.get_running_loop().call_later(2, queue.add, "a")
    await settle(queue, 20)
    assert work.times("a") == [0, 3]


async def test_first_come_first_served_even_beside_a_key_that_never_rests():
    work = Recorder(seconds=1)
    queue = WorkQueue(work, workers=1)
    work.hook = lambda key: queue.add("busy") if key == "busy" else None
    for key in ("busy", "a", "b"):
        queue.add(key)
    await settle(queue, 4.5)
    assert work.keys[:5] == ["busy", "a", "b", "busy", "busy"]


@pytest.mark.parametrize("workers", [1, 3])
async def test_no_more_cycles_at_once_than_workers(workers):
    work = Recorder(seconds=1)
    queue = WorkQueue(work, workers=workers)
    for number in range(9):
        queue.add(str(number))
    await settle(queue, 20)
    assert work.most == workers
    assert len(work.began) == 9


async def test_the_earliest_wish_wins():
    work = Recorder()
    queue = WorkQueue(work, workers=1)
    queue.add_after("a", 30)
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    await settle(queue, 100)
    assert work.times("a") == [10]


async def test_an_event_replaces_a_delayed_wish():
    work = Recorder()
    queue = WorkQueue(work, workers=1)
    queue.add_after("a", 30)
    asyncio.get_running_loop().call_later(5, queue.add, "a")
    await settle(queue, 100)
    assert work.times("a") == [5]


async def test_a_cycle_may_wish_for_the_next_one():
    work = Recorder()
    work.answers["a"] = [Done(after=7), Done(after=2)]
    queue = WorkQueue(work, workers=1)
    queue.add("a")
    await settle(queue, 100)
    assert work.times("a") == [0, 7, 9]


async def test_failures_wait_twice_as_long_each_and_success_begins_anew():
    work = Recorder()
    work.answers["a"] = [Done(failed=True)] * 3 + [Done(after=50), Done(failed=True)]
    queue = WorkQueue(work, workers=1, chance=lambda: 1.0)
    queue.add("a")
    await settle(queue, 100)
    waits = [b - a for a, b in itertools.pairwise(work.times("a"))]
    assert waits == pytest.approx([FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 50, FIRST_DELAY])


async def test_backoff_is_bounded_and_jittered_between_half_and_whole():
    for chance, share in ((0.0, 0.5), (0.5, 0.75)):
        work = Recorder()
        work.answers["a"] = [Done(failed=True)] * 40
        queue = WorkQueue(work, workers=1, chance=lambda c=chance: c)
        queue.add("a")
        await settle(queue, 3600)
        times = work.times("a")
        assert times[-1] - times[-2] == pytest.approx(LONGEST_DELAY * share)


async def test_the_server_may_ask_for_a_longer_wait():
    work = Recorder()
    work.answers["a"] = [Done(after=42, failed=True)]
    queue = WorkQueue(work, workers=1)
    queue.add("a")
    await settle(queue, 100)
    assert work.times("a") == [0, 42]


async def test_news_does_not_shorten_what_the_server_asked_for():
    """Every event would be one more request to a server that is throttling."""
    work = Recorder(seconds=0.1)
    work.answers["a"] = [Done(after=20, failed=True), Done(after=20, failed=True)]
    queue = WorkQueue(work, workers=1)
    queue.add("a")
    for at in (0.05, 0.5, 3, 7, 25, 60):
        asyncio.get_running_loop().call_later(at, queue.add, "a")
    await settle(queue, 100)
    assert work.times("a") == pytest.approx([0, 20.1, 40.2, 60])


async def test_news_during_a_failing_cycle_shortens_the_wait_but_is_no_hot_loop():
    work = Recorder(seconds=0.1)
    work.answers["a"] = [Done(failed=True)] * 500
    queue = WorkQueue(work, workers=1, chance=lambda: 0.0)
    work.hook = queue.add
    queue.add("a")
    await settle(queue, 60)
    # A spec that was corrected meanwhile waits no longer than NEWS_DELAY …
    times = work.times("a")
    assert max(b - a for a, b in itertools.pairwise(times)) <= NEWS_DELAY + 0.11
    # … and a minute of ceaseless change costs about a cycle per second.
    assert len(times) < 75


async def test_stop_lets_the_running_cycle_end_and_starts_no_other():
    work = Recorder(seconds=5)
    queue = WorkQueue(work, workers=1)
    queue.add("a")
    queue.add("b")
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(1)
    queue.stop()
    queue.add("c")
    await task
    assert asyncio.get_running_loop().time() == 5
    assert work.keys == ["a"]


async def test_cancelling_the_queue_cancels_its_cycles():
    work = Recorder(seconds=1000)
    queue = WorkQueue(work, workers=2)
    queue.add("a")
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1


async def test_a_forgotten_key_is_not_woken():
    work = Recorder()
    queue = WorkQueue(work, workers=1)
    queue.add_after("a", 10)
    queue.forget("a")
    await settle(queue, 100)
    assert work.keys == []


async def test_a_bug_in_the_work_ends_the_queue_with_its_stack():
    async def broken(key: str) -> Done:
        raise ZeroDivisionError(key)

    queue = WorkQueue(broken, workers=1)
    queue.add("a")
    with pytest.raises(ZeroDivisionError):
        await queue.run()


async def test_replaced_wishes_do_not_pile_up():
    queue = WorkQueue(Recorder(), workers=1)
    for number in range(10_000, 0, -1):
        queue.add_after("a", number)
    assert len(queue._heap) < 100
