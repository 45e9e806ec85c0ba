"""Asking a candidate's pods beside the cycles: each one, until there is an answer, and no longer."""

import asyncio

import pytest

from fake_server import child
from savedmodel_operator.api.golden import Budgets
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import Gate
from savedmodel_operator.cluster.cache import observed
from savedmodel_operator.gate.verdict import errored, passed, rejected
from savedmodel_operator.observe.live import AT_ONCE, LiveChecks, Question, Target, load_seconds
from savedmodel_operator.savedmodel.facts import ModelFacts
from savedmodel_operator.workload.revision import RevisionRecord

pytestmark = pytest.mark.looptime

KEY = ("shop", "flowers")


def model_pod(
    name, ip, revision="rev", *, ready=True, restarts=0, started="", since="", **metadata
):
    state = {"running": {"startedAt": started}}
    return observed(
        child(
            "Pod",
            name,
            labels={"savedmodel.dev/component": "model", "savedmodel.dev/revision": revision},
            metadata=metadata,
            status={
                "phase": "Running",
                "podIP": ip,
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True" if ready else "False",
                        "lastTransitionTime": since,
                    }
                ],
                "containerStatuses": [{"name": "model", "state": state, "restartCount": restarts}],
            },
        )
    )


def record(name, number=2):
    manifests = {"deployment": {"spec": {}}, "service": {"spec": {}}, "pdb": {"spec": {}}}
    data = {
        "number": number,
        "directory": str(number),
        "fingerprint": f"sha256:{number}",
        "servingHash": "h",
        "facts": ModelFacts(1, ()).to_dict(),
        "manifests": manifests,
    }
    return observed(child("ControllerRevision", name, data=data))


class Server:
    """Verdicts on pods in order; the last one stays. `on` has those of single addresses."""

    def __init__(self, *verdicts, **on):
        self.loop = asyncio.get_running_loop()
        self.verdicts, self.on = list(verdicts), on
        self.asked: list[tuple[float, Target]] = []
        self.changes = 0
        self.live = LiveChecks(self.check, self.changed)

    def changed(self, owner):
        assert owner == KEY
        self.changes += 1

    async def check(self, target):
        self.asked.append((self.loop.time(), target))
        if target.process.split("/")[0] in self.on:
            return self.on[target.process.split("/")[0]]
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]

    def view(self, *children, candidate="rev", stable=None, gate=None):
        question = Question("flowers", ("serve",), gate or Gate(), candidate, stable)
        return self.live.view(KEY, question, list(children))


def candidate(ready=True, **given):
    return (record("rev"), model_pod("m1", "10.0.1.1", ready=ready, **given))


FINE = passed("live", "fine")


async def test_a_ready_candidate_is_asked_once():
    server = Server(FINE)
    assert server.view(*candidate()) == {}
    await asyncio.sleep(1)
    assert server.view(*candidate())["rev"].passed
    await asyncio.sleep(100)
    ((_, target),) = server.asked
    assert (target.ip, target.question.model_name, target.namespace) == (
        "10.0.1.1",
        "flowers",
        "shop",
    )
    assert isinstance(target.record, RevisionRecord)
    assert server.changes == 1


async def test_a_check_that_could_not_be_done_is_asked_again_slower_and_slower():
    server = Server(*[errored("live", "no answer")] * 4, FINE)
    server.view(*candidate())
    await asyncio.sleep(2)
    assert server.view(*candidate()) == {}, "a busy moment is no news"
    await asyncio.sleep(2)
    assert server.view(*candidate())["rev"].reason is Reason.CheckErrored
    await asyncio.sleep(100)
    assert [at for at, _ in server.asked] == [0, 1, 3, 7, 15]
    assert server.view(*candidate())["rev"].passed
    assert server.changes == 2


async def test_a_refusal_is_final():
    server = Server(rejected("live", Reason.MetadataMismatch, "another y"))
    server.view(*candidate())
    await asyncio.sleep(100)
    assert len(server.asked) == 1
    assert server.view(*candidate())["rev"].rejected


async def test_only_ready_pods_of_the_candidate_are_asked():
    server = Server(FINE)
    server.view(*candidate(), candidate=None)
    server.view(*candidate(), candidate="other")
    server.view(*candidate(ready=False))
    server.view(record("rev"), model_pod("m1", "10.0.1.1", deletionTimestamp="now"))
    await asyncio.sleep(10)
    assert server.asked == []


async def test_the_candidate_passes_when_every_pod_passed():
    server = Server(FINE, **{"uid-m2": errored("live", "no answer")})
    two = (*candidate(), model_pod("m2", "10.0.1.2"))
    uids = [c.uid for c in two if c.kind == "Pod"]
    server.on = {uids[1]: errored("live", "no answer")}
    server.view(*two)
    await asyncio.sleep(1)
    assert server.view(*two) == {}, "one has passed, the other is not known yet"
    await asyncio.sleep(10)
    assert server.view(*two)["rev"].reason is Reason.CheckErrored
    server.on = {uids[1]: rejected("golden", Reason.GoldenMismatch, "y[0]")}
    await asyncio.sleep(30)
    assert server.view(*two)["rev"].reason is Reason.GoldenMismatch
    assert server.view(*two[:2])["rev"].passed, "the refused pod is gone"


async def test_a_pod_that_joins_is_asked_too_and_a_known_one_is_not_asked_again():
    server = Server(FINE)
    server.view(*candidate())
    await asyncio.sleep(1)
    joined = model_pod("m2", "10.0.1.2")
    assert server.view(*candidate(), joined) == {}
    await asyncio.sleep(1)
    assert server.view(*candidate(), joined)["rev"].passed
    server.view(*candidate(ready=False), joined)
    assert server.view(*candidate(), joined)["rev"].passed, "not ready for a moment"
    assert [t.ip for _, t in server.asked] == ["10.0.1.1", "10.0.1.2"]


async def test_many_pods_take_turns():
    server = Server(FINE)
    running = most = 0

    async def slow(target):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        return FINE

    server.live = LiveChecks(slow, server.changed)
    pods = [model_pod(f"m{i}", f"10.0.1.{i}") for i in range(12)]
    server.view(record("rev"), *pods)
    await asyncio.sleep(2.5)
    assert server.view(record("rev"), *pods) == {}
    await asyncio.sleep(1)
    assert server.view(record("rev"), *pods)["rev"].passed
    assert most == AT_ONCE


async def test_a_restarted_container_is_cold_again():
    server = Server(FINE)
    server.view(*candidate())
    await asyncio.sleep(1)
    assert server.view(*candidate(restarts=1)) == {}
    await asyncio.sleep(1)
    assert len(server.asked) == 2


async def test_a_changed_gate_asks_again():
    server = Server(rejected("budgets", Reason.TimeOverBudget, "slow"), FINE)
    strict = Gate(budgets=Budgets(load_time="1s"))
    server.view(*candidate(), gate=strict)
    await asyncio.sleep(1)
    assert server.view(*candidate(), gate=strict)["rev"].rejected
    assert server.view(*candidate()) == {}
    await asyncio.sleep(1)
    assert server.view(*candidate())["rev"].passed


async def test_a_removed_candidate_is_forgotten():
    server = Server(errored("live", "no answer"))
    server.view(*candidate())
    await asyncio.sleep(1)
    assert server.view(record("rev"), candidate=None) == {}
    await asyncio.sleep(100)
    assert len(server.asked) <= 2
    assert len(asyncio.all_tasks()) == 1


async def test_stable_is_there_to_agree_with_once_one_of_its_pods_is_ready():
    server = Server(errored("agreement", "no stable"))
    server.view(*candidate(), record("old", 1), stable="old")
    await asyncio.sleep(0)
    assert server.asked[0][1].stable is None
    server.view(*candidate(), record("old", 1), model_pod("s1", "10.0.2.1", "old"), stable="old")
    await asyncio.sleep(2)
    address, base = server.asked[-1][1].stable
    assert (address, base.number) == ("10.0.2.1", 1)
    server.live.close()


@pytest.mark.parametrize(
    ("started", "ready", "seconds"),
    [
        ("2026-11-21T08:00:00Z", "2026-11-21T08:01:30Z", 90.0),
        ("2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z", 0.0),
        ("", "2026-11-21T08:00:00Z", None),
        ("2026-11-21T08:00:00Z", "yesterday", None),
    ],
)
async def test_load_time_is_what_the_kubelet_says(started, ready, seconds):
    pod = model_pod("m1", "10.0.1.1", started=started, since=ready)
    assert load_seconds(pod.body) == seconds


async def test_without_containers_there_is_no_load_time():
    assert load_seconds({}) is None
