"""Asking pods beside the cycles: only while it matters, never about what is settled."""

import asyncio
import json

import pytest

from fake_server import child
from savedmodel_operator.cluster.cache import observed
from savedmodel_operator.observe.routers import Routers
from savedmodel_operator.traffic.base import Answer

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

KEY = ("shop", "flowers")
OLD, NEW = "0" * 16, "1" * 16


def pod(name, ip, component, *, revision="", ready=True, running=True, restarts=0, **metadata):
    state = {"running": {}} if running else {"waiting": {"reason": "CrashLoopBackOff"}}
    return observed(
        child(
            "Pod",
            name,
            labels={"savedmodel.dev/component": component, "savedmodel.dev/revision": revision},
            metadata=metadata,
            status={
                "phase": "Running",
                "podIP": ip,
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [{"state": state, "restartCount": restarts}],
            },
        )
    )


def router_pod(name="r1", ip="10.0.0.1", **given):
    return pod(name, ip, "router", **given)


def config(value=NEW, **weights):
    annotations = {
        "savedmodel.dev/router-config": value,
        "savedmodel.dev/route": json.dumps({"weights": weights}),
    }
    return observed(child("ConfigMap", "flowers-router", metadata={"annotations": annotations}))


class Fleet:
    """Router pods' answers by IP, and who was asked when."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[float, str]] = []
        self.changes: list[float] = []
        self.routers = Routers(self.probe, lambda owner: self.changes.append(self.loop.time()))

    async def probe(self, ip):
        self.asked.append((self.loop.time(), ip))
        return self.answers.get(ip, Answer(None, {}))

    def look(self, *children):
        return {p.name: p for p in self.routers.view(KEY, list(children)).pods}


async def test_a_stale_router_is_asked_until_it_carries_what_is_written():
    fleet = Fleet()
    fleet.answers["10.0.0.1"] = Answer(OLD, {})
    assert fleet.look(router_pod(), config())["r1"].revision is None
    await asyncio.sleep(1)
    assert fleet.look(router_pod(), config())["r1"].revision == OLD
    fleet.answers["10.0.0.1"] = Answer(NEW, {})
    await asyncio.sleep(1)
    asked = len(fleet.asked)
    assert fleet.look(router_pod(), config())["r1"].revision == NEW
    await asyncio.sleep(1000)
    assert len(fleet.asked) == asked, "a settled router is not asked"
    assert len(fleet.changes) == 2, "the object is woken by a change only"


async def test_one_missed_answer_of_an_unknown_router_is_no_news():
    fleet = Fleet()
    fleet.look(router_pod(), config())
    await asyncio.sleep(0.01)
    assert len(fleet.asked) == 1
    assert not fleet.look(router_pod(), config())["r1"].asked, "it may be busy for a moment"
    await asyncio.sleep(0.2)
    assert len(fleet.asked) == 2
    assert fleet.look(router_pod(), config())["r1"].asked, "it does not answer"
    fleet.routers.close()


async def test_news_is_found_fast_and_a_dead_router_costs_little():
    fleet = Fleet()
    fleet.look(router_pod(), config())
    await asyncio.sleep(1)
    assert 6 <= len(fleet.asked) <= 8
    await asyncio.sleep(600)
    assert len(fleet.asked) < 250
    fleet.routers.close()


async def test_a_new_configuration_is_asked_for_at_once():
    fleet = Fleet()
    fleet.answers["10.0.0.1"] = Answer(OLD, {})
    fleet.look(router_pod(), config(OLD))
    await asyncio.sleep(100)
    before = len(fleet.asked)
    fleet.answers["10.0.0.1"] = Answer(NEW, {})
    fleet.look(router_pod(), config(NEW))
    await asyncio.sleep(0.01)
    assert len(fleet.asked) == before + 1
    assert fleet.look(router_pod(), config(NEW))["r1"].revision == NEW
    fleet.routers.close()


async def test_members_have_to_be_the_ready_pods_of_each_backend():
    fleet = Fleet()
    ready = pod("m1", "10.0.1.1", "model", revision="rev")
    unready = pod("m2", "10.0.1.2", "model", revision="rev", ready=False)
    leaving = pod("m3", "10.0.1.3", "model", revision="rev", deletionTimestamp="now")
    fleet.answers["10.0.0.1"] = Answer(NEW, {"rev": frozenset()})
    fleet.look(router_pod(), config(rev=100), ready, unready, leaving)
    await asyncio.sleep(1)
    fleet.answers["10.0.0.1"] = Answer(NEW, {"rev": frozenset({"10.0.1.1"})})
    await asyncio.sleep(1)
    asked = len(fleet.asked)
    await asyncio.sleep(100)
    assert len(fleet.asked) == asked
    seen = fleet.look(router_pod(), config(rev=100), ready, unready, leaving)["r1"]
    assert seen.members == {"rev": frozenset({"10.0.1.1"})}


async def test_only_unsettled_routers_are_asked_and_all_at_once():
    fleet = Fleet()
    fleet.answers["10.0.0.1"] = Answer(NEW, {})
    pods = [router_pod(), router_pod("r2", "10.0.0.2"), router_pod("r3", "10.0.0.3")]
    fleet.look(*pods, config())
    await asyncio.sleep(0.1)
    assert [ip for _, ip in fleet.asked] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert len({at for at, _ in fleet.asked}) == 1
    await asyncio.sleep(0.1)
    assert [ip for _, ip in fleet.asked[3:]] == ["10.0.0.2", "10.0.0.3"]
    fleet.routers.close()


async def test_a_restarted_router_is_another_one():
    fleet = Fleet()
    fleet.answers["10.0.0.1"] = Answer(NEW, {})
    fleet.look(router_pod(), config())
    await asyncio.sleep(1)
    assert fleet.look(router_pod(restarts=1), config())["r1"].revision is None
    fleet.routers.close()


async def test_a_terminating_router_counts_and_a_crashed_one_does_not_run():
    fleet = Fleet()
    leaving = router_pod("r1", deletionTimestamp="now")
    crashed = router_pod("r2", "10.0.0.2", running=False, ready=False)
    seen = fleet.look(leaving, crashed, config())
    assert (seen["r1"].running, seen["r1"].terminating) == (True, True)
    assert (seen["r2"].running, seen["r2"].ready) == (False, False)
    await asyncio.sleep(0.1)
    assert {ip for _, ip in fleet.asked} == {"10.0.0.1"}
    fleet.routers.close()


async def test_without_routers_nobody_is_asked():
    fleet = Fleet()
    fleet.look(router_pod(), config())
    assert fleet.look(config()) == {}
    await asyncio.sleep(10)
    assert len(fleet.asked) <= 1
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
