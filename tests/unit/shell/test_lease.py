"""Leadership on virtual time, over a Lease object that behaves like the API server's."""

import asyncio
import copy
import re

import pytest

from savedmodel_operator import errors
from savedmodel_operator.lease import DURATION, RENEW_DEADLINE, RETRY, Lease

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

RETRIES = RETRY * 1.1 + 0.01


class Server:
    """One Lease with a resourceVersion; can be cut off, made silent, or lose its answers."""

    def __init__(self) -> None:
        self.body = None
        self.version = 0
        self.writes: list[tuple[float, str]] = []

    def write(self, spec, seen=None):
        if seen is None and self.body is not None:
            raise errors.AlreadyExists("there is one")
        if seen is not None:
            if self.body is None:
                raise errors.NotFound("gone")
            if seen["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
                raise errors.Conflict("changed")
        self.version += 1
        self.body = {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(spec)}
        self.writes.append((asyncio.get_running_loop().time(), spec["holderIdentity"]))
        return copy.deepcopy(self.body)


class Wire:
    """One candidate's connection to the server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cut = False
        self.silent = False
        self.lose_next_answer = False
        self.answer_delay = 0.0

    async def _way(self):
        if self.silent:
            await asyncio.sleep(3600)
        if self.cut:
            raise errors.Unavailable("no route")

    async def read(self):
        await self._way()
        if self.server.body is None:
            raise errors.NotFound("no lease")
        return copy.deepcopy(self.server.body)

    async def create(self, spec):
        await self._way()
        return self.server.write(spec)

    async def update(self, seen, spec):
        await self._way()
        body = self.server.write(spec, seen)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise errors.Unavailable("answer lost")
        await asyncio.sleep(self.answer_delay)
        return body


class Candidate:
    def __init__(self, server: Server, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.wire = Wire(server)
        self.changes: list[bool] = []
        self.frozen_for = 0.0
        self.lease = Lease(
            self.wire,
            name,
            self.changes.append,
            monotonic=lambda: loop.time() + self.frozen_for,
            chance=lambda: 0.5,
        )
        self.task = asyncio.create_task(self.lease.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_the_first_one_leads_and_renews_every_two_seconds():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(60)
    assert one.lease.may_write()
    assert one.changes == [True]
    assert len(server.writes) == pytest.approx(60 / (RETRY * 1.05), abs=2)
    assert server.body["spec"]["leaseDurationSeconds"] == 15
    assert re.fullmatch(r"\d{4}-.*T.*\.\d{6}Z", server.body["spec"]["renewTime"])
    await one.end()


async def test_only_one_of_many_leads():
    server = Server()
    several = [Candidate(server, str(n)) for n in range(5)]
    for _ in range(30):
        await asyncio.sleep(1)
        assert sum(c.lease.may_write() for c in several) == 1
    assert server.body["spec"]["leaseTransitions"] == 1
    for candidate in several:
        await candidate.end()


async def test_a_crashed_leader_is_followed_after_its_lease_ran_out_and_not_before():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    two = Candidate(server, "two")
    await asyncio.sleep(5)
    await one.end()
    last = server.writes[-1][0]
    for _ in range(300):
        if two.lease.may_write():
            break
        await asyncio.sleep(0.1)
    assert DURATION <= asyncio.get_running_loop().time() - last <= DURATION + 2 * RETRIES
    assert server.body["spec"]["leaseTransitions"] == 2
    await two.end()


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_a_leader_that_cannot_renew_stops_writing_before_another_may_begin(fault):
    server = Server()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    await asyncio.sleep(10)
    leader, other = (one, two) if one.lease.may_write() else (two, one)
    setattr(leader.wire, fault, True)
    stopped = begun = None
    for _ in range(600):
        assert not (leader.lease.may_write() and other.lease.may_write())
        now = asyncio.get_running_loop().time()
        if stopped is None and not leader.lease.may_write():
            stopped = now
        if begun is None and other.lease.may_write():
            begun = now
        await asyncio.sleep(0.1)
    assert begun - stopped >= DURATION - RENEW_DEADLINE - 0.2
    assert leader.changes == [True, False]
    # No longer cut off, it stands by and does not take the Lease from the living leader.
    setattr(leader.wire, fault, False)
    await asyncio.sleep(60)
    assert not leader.lease.may_write()
    assert other.lease.may_write()
    await one.end()
    await two.end()


async def test_slow_answers_do_not_lengthen_a_lease():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    one.wire.answer_delay = 6.0
    await asyncio.sleep(20)
    one.wire.cut = True
    await asyncio.sleep(6.0)
    written = server.writes[-1][0]
    for _ in range(200):
        if not one.lease.may_write():
            break
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - written <= RENEW_DEADLINE + 0.2
    await one.end()


async def test_a_short_outage_costs_nothing():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    one.wire.cut = True
    await asyncio.sleep(6)
    assert one.lease.may_write()
    one.wire.cut = False
    await asyncio.sleep(5)
    assert one.changes == [True]
    await one.end()


async def test_after_a_late_renewal_those_who_were_turned_away_are_called_again():
    """Keys that came while no write was allowed are dropped: nothing else would bring them back."""
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    one.wire.answer_delay = 9.0
    seen = []
    for _ in range(200):
        await asyncio.sleep(0.1)
        seen.append((one.lease.leading, len(one.changes)))
    assert (False, 1) in seen, "no write is allowed for a while, and it is not lost"
    assert one.changes[1:], "nobody was called again"
    assert all(one.changes)
    await one.end()


async def test_a_lost_answer_to_a_renewal_is_no_lost_leadership():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    one.wire.lose_next_answer = True
    await asyncio.sleep(10)
    assert one.changes == [True]
    assert server.body["spec"]["leaseTransitions"] == 1
    await one.end()


async def test_release_lets_the_successor_begin_at_once():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    two = Candidate(server, "two")
    await asyncio.sleep(5)
    one.lease.stop_writing()
    assert not one.lease.may_write()
    await one.end()
    await one.lease.release()
    assert server.body["spec"]["holderIdentity"] == ""
    await asyncio.sleep(RETRIES)
    assert two.lease.may_write()
    await two.end()


async def test_release_after_a_lost_answer_gives_the_lease_back_all_the_same():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    server.write({**server.body["spec"]}, server.body)  # a renewal whose answer never came
    await one.end()
    await one.lease.release()
    assert server.body["spec"]["holderIdentity"] == ""


async def test_release_does_not_take_the_lease_from_a_successor():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    await one.end()
    server.write({"holderIdentity": "two", "leaseDurationSeconds": 15}, server.body)
    await one.lease.release()
    assert server.body["spec"]["holderIdentity"] == "two"


async def test_a_deleted_lease_is_taken_again():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    server.body = None
    await asyncio.sleep(RETRIES)
    assert one.lease.may_write()
    assert server.body["spec"]["holderIdentity"] == "one"
    await one.end()


async def test_a_restarted_container_takes_its_own_lease_at_once():
    server = Server()
    one = Candidate(server, "pod-a")
    await asyncio.sleep(5)
    await one.end()
    again = Candidate(server, "pod-a")
    await asyncio.sleep(0.1)
    assert again.lease.may_write()
    await again.end()


async def test_a_frozen_process_may_not_write_when_it_thaws():
    server = Server()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    assert one.lease.may_write()
    one.frozen_for = 11.0
    assert not one.lease.may_write()
    await one.end()
