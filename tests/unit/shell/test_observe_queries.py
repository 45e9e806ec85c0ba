"""Asking beside the cycles: one round per interval of a step, each wakes the object."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from savedmodel_operator.analysis.queries import Answer
from savedmodel_operator.api.analysis import Analysis
from savedmodel_operator.api.parse import Meta
from savedmodel_operator.api.queries import Prometheus, Query
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Rollout, Serving, Source, Spec
from savedmodel_operator.observe.prometheus import Server as Door
from savedmodel_operator.observe.queries import AT_ONCE, STALE, Queries, inquiry_of
from savedmodel_operator.storage.base import StorageError

KEY = ("shop", "flowers")
STATUS = {
    "stable": {"revision": "flowers-v7-0", "number": 7},
    "candidate": {"revision": "flowers-v8-0", "number": 8, "weight": 10, "step": 1},
}
META = Meta("flowers", "shop", "u", 1, "1", status=STATUS)


def spec(*queries: Query) -> Spec:
    analysis = Analysis(
        source="Prometheus",
        interval="10s",
        prometheus=Prometheus("http://p:9090"),
        queries=queries or (Query("a", "up", max="1"), Query("b", "up", min="1")),
    )
    source = Source("s3://models/flowers", anonymous=True)
    return Spec(source, Serving("image:1"), rollout=Rollout(analysis=analysis), model_name="Flo.w")


class Server:
    """Answers by query; counts who is asked at once."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[float, str, str]] = []
        self.changes: list[float] = []
        self.open = self.most = 0
        self.loop = asyncio.get_running_loop()
        self.refusal = ""
        self.queries = Queries(self.enter, self.ask, lambda: 1000 + self.loop.time(), self.changed)

    def changed(self, owner: tuple[str, str]) -> None:
        assert owner == KEY
        self.changes.append(self.loop.time())

    async def enter(self, namespace: str, wanted: Prometheus) -> Door:
        assert namespace == KEY[0]
        if self.refusal:
            raise StorageError(Reason.SecretMissing, self.refusal)
        return Door(wanted.address, "a token")

    async def ask(self, server: Door, query: str) -> Answer:
        assert server.token == "a token"
        self.asked.append((round(self.loop.time()), server.address, query))
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.5)
        self.open -= 1
        return self.answers.get(query, Answer(1.0, 1000 + self.loop.time()))


def test_variables_are_filled_in() -> None:
    text = "{{name}} {{ namespace }} {{ model }} {{ revision }} {{ version }}"
    found = inquiry_of(
        META, spec(Query("q", text + "{{ stable.revision }}{{stable.version}}", max="1"))
    )
    assert found is not None
    assert found.queries == (("q", "flowers shop Flo.w flowers-v8-0 8flowers-v7-07"),)
    assert found.prometheus.address == "http://p:9090"


def test_only_a_candidate_with_requests_is_asked_about() -> None:
    assert inquiry_of(replace(META, status={"stable": STATUS["stable"]}), spec()) is None
    without = {**STATUS, "candidate": {**STATUS["candidate"], "weight": 0}}
    assert inquiry_of(replace(META, status=without), spec()) is None
    source = Source("s3://models/flowers", anonymous=True)
    router = Rollout(analysis=Analysis(max_server_error_rate="1%"))
    assert inquiry_of(META, Spec(source, Serving("image:1"), rollout=router)) is None


@pytest.mark.looptime
async def test_a_round_per_interval_from_one_interval_after_the_weight() -> None:
    server, inquiry = Server(), inquiry_of(META, spec())
    assert server.queries.view(KEY, inquiry) is None
    await asyncio.sleep(9)
    assert server.asked == []
    await asyncio.sleep(3)
    view = server.queries.view(KEY, inquiry)
    assert view is not None
    assert (view.revision, view.against, view.step) == ("flowers-v8-0", "flowers-v7-0", 1)
    assert view.asked_at == pytest.approx(1010.5)
    assert {name: a.value for name, a in view.answers.items()} == {"a": 1.0, "b": 1.0}
    await asyncio.sleep(30)
    assert [at for at, _, _ in server.asked[::2]] == [10, 20, 31, 42]
    assert len(server.changes) == 3, "every round wakes the object"
    assert server.queries.view(KEY, None) is None
    await asyncio.sleep(30)
    assert len(server.asked) == 8, "it stopped"


@pytest.mark.looptime
async def test_another_step_begins_anew() -> None:
    server, inquiry = Server(), inquiry_of(META, spec())
    assert inquiry is not None
    server.queries.view(KEY, inquiry)
    await asyncio.sleep(12)
    other = replace(inquiry, about=replace(inquiry.about, step=2))
    assert server.queries.view(KEY, other) is None
    server.queries.close()


@pytest.mark.looptime
async def test_an_answer_whose_time_stands_still_is_old() -> None:
    server, inquiry = Server(), inquiry_of(META, spec(Query("a", "up", max="1")))
    server.queries.view(KEY, inquiry)

    async def now(answer: Answer) -> Answer:
        server.answers["up"] = answer
        await asyncio.sleep(10.5)
        view = server.queries.view(KEY, inquiry)
        assert view is not None
        return view.answers["a"]

    await asyncio.sleep(1)
    assert await now(Answer(1.0, 50.0)) == Answer(1.0, 50.0)
    assert await now(Answer(1.0, 60.0)) == Answer(1.0, 60.0)
    assert (await now(Answer(0.0, 60.0))).trouble == STALE
    assert (await now(Answer(0.0, 60.0))).trouble == STALE, "and stays old"
    assert (await now(Answer(trouble="silence"))).trouble == "silence"
    assert (await now(Answer(0.0, 60.0))).trouble == STALE, "silence makes it no newer"
    assert await now(Answer(0.0, 61.0)) == Answer(0.0, 61.0)
    server.queries.close()


@pytest.mark.looptime
async def test_few_at_once() -> None:
    server = Server()
    many = [Query(f"q{n}", f"up{n}", max="1") for n in range(3 * AT_ONCE)]
    server.queries.view(KEY, inquiry_of(META, spec(*many)))
    await asyncio.sleep(15)
    assert server.most == AT_ONCE
    server.queries.close()


@pytest.mark.looptime
async def test_who_is_not_let_in_asks_nothing_and_tries_again() -> None:
    server, inquiry = Server(), inquiry_of(META, spec())
    server.refusal = "Secret prometheus is not there"
    server.queries.view(KEY, inquiry)
    await asyncio.sleep(11)
    view = server.queries.view(KEY, inquiry)
    assert view is not None
    assert view.answers == dict.fromkeys("ab", Answer(trouble=server.refusal))
    assert server.asked == []
    server.refusal = ""
    await asyncio.sleep(11)
    view = server.queries.view(KEY, inquiry)
    assert view is not None
    assert [a.value for a in view.answers.values()] == [1.0, 1.0]
    server.queries.close()
