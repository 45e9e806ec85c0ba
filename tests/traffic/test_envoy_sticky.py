"""Which users a real Envoy sends to the candidate when `traffic.sticky` names their header.

Shares are judged at 4.9 standard deviations, a false alarm once in a million; which user hashes
where never changes, so no run differs from the one before.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from savedmodel_operator.workload.envoy import Backend, RoutePlan
from traffic.backends import PREDICT, Server, running_servers
from traffic.envoy_lab import Envoy, running_envoy, wait_for

STABLE, CANARY, KEPT = "flowers-v7-aaaaaaaa", "flowers-v8-bbbbbbbb", "flowers-v6-cccccccc"
HEADER = "x-user-id"
USERS = tuple(f"user-{n}@example.com" for n in range(600))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Lab:
    """One Envoy, stable, canary and a kept version without weight."""

    envoy: Envoy
    servers: list[Server]
    session: aiohttp.ClientSession
    channel: grpc.aio.Channel

    def route(self, weight: int) -> RoutePlan:
        return make_route(self.servers, weight)

    async def use(self, route: RoutePlan) -> None:
        wanted = self.envoy.write(route)
        await wait_for("the new route table", lambda: self.envoy.uses(wanted))

    async def rest(self, user: str | None) -> str:
        return await ask(self.session, self.envoy, user)

    async def call(self, user: str | None) -> str:
        metadata = ((HEADER, user),) if user else ()
        answer = await self.channel.unary_unary(PREDICT)(b"x", metadata=metadata, timeout=30)
        return str(json.loads(answer)["server"])


def make_route(servers: Iterable[Server], weight: int) -> RoutePlan:
    """`weight` percent for the canary; stable is named first, as the planner may."""
    stable, canary, kept = servers
    backends = (
        Backend(STABLE, 7, 100 - weight, (stable.address,)),
        Backend(KEPT, 6, 0, (kept.address,)),
        Backend(CANARY, 8, weight, (canary.address,)),
    )
    return RoutePlan("flowers", "shop", "flowers", backends, STABLE, CANARY, sticky=HEADER)


async def ask(session: aiohttp.ClientSession, envoy: Envoy, user: str | None) -> str:
    """Who answers this user's prediction."""
    headers = {HEADER: user} if user else {}
    url = f"{envoy.url}/v1/models/flowers:predict"
    async with session.post(url, data=b"{}", headers=headers) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["server"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with (
        running_servers("stable", "canary", "kept") as servers,
        running_envoy(make_route(servers, 0), members=6) as envoy,
        aiohttp.ClientSession() as session,
        grpc.aio.insecure_channel(f"{envoy.address}:8500") as channel,
    ):
        yield Lab(envoy, servers, session, channel)


async def test_a_user_stays_with_the_canary_while_it_grows(lab: Lab) -> None:
    """5 → 25 → 50 → 100: nobody goes back, both protocols agree, the shares are right."""
    before: set[str] = set()
    for weight in (5, 25, 50, 100):
        await lab.use(lab.route(weight))
        rest = await asyncio.gather(*map(lab.rest, USERS))
        assert rest == await asyncio.gather(*map(lab.call, USERS))
        inside = {user for user, server in zip(USERS, rest, strict=True) if server == "canary"}
        assert before <= inside
        share = weight / 100
        slack = 4.9 * math.sqrt(len(USERS) * share * (1 - share))
        assert abs(len(inside) - len(USERS) * share) <= slack
        before = inside
    assert before == set(USERS)


async def test_a_user_gets_the_same_version_every_time_and_on_every_router(lab: Lab) -> None:
    await lab.use(lab.route(25))
    some = USERS[:100]
    first = await asyncio.gather(*map(lab.rest, some))
    assert set(first) == {"stable", "canary"}
    for _ in range(3):
        assert await asyncio.gather(*map(lab.rest, some)) == first
    async with running_envoy(lab.route(25), members=6) as other:
        assert await asyncio.gather(*(ask(lab.session, other, u) for u in some)) == first


async def test_without_the_header_each_request_is_dealt_out_by_chance(lab: Lab) -> None:
    await lab.use(lab.route(50))
    total = 1200
    for client in (lab.rest, lab.call):
        seen = await asyncio.gather(*(client(None) for _ in range(total)))
        canary = sum(server == "canary" for server in seen)
        assert abs(canary - total / 2) <= 4.9 * math.sqrt(total / 4)


async def test_naming_and_dropping_the_header_moves_nothing_but_the_choice(lab: Lab) -> None:
    """Both are a new route table and no more: clusters and listeners are not touched."""
    await lab.use(replace(lab.route(25), sticky=None))
    count = r"^(cluster_manager\.cluster_modified|listener_manager\.listener_(modified|create_success))$"
    before = await lab.envoy.stats(count)
    assert len(before) == 3
    await lab.use(lab.route(25))
    again = await asyncio.gather(*(lab.rest(USERS[0]) for _ in range(40)))
    assert len(set(again)) == 1
    await lab.use(replace(lab.route(25), sticky=None))
    chance = await asyncio.gather(*(lab.rest(USERS[0]) for _ in range(100)))
    assert set(chance) == {"stable", "canary"}
    assert await lab.envoy.stats(count) == before
