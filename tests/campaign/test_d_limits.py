"""D: a cluster that refuses pods or takes them away: quota, Pod Security, drain, pods gone at once.

One stable of two pods under load on the real cluster; refusals are the API server's own, and its
audit log says what the operator wrote meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_log import writes
from campaign_case import Seen, case
from kubernetes.client import ApiException
from pod_stand import Stand, open_stand, rolling_out

from cluster_shop import PATIENCE, Shop, is_ready
from lab.cluster import until
from lab.install import Installed
from lab.kube import Kube, Object
from lab.objects import Step
from lab.samples import CALC
from savedmodel_operator.api.reasons import Reason

QUOTA = "few-pods"
QUIET = 8.0  # seconds of refusals in which the operator's writes are counted
REFUSALS = {
    "quota": (
        "a ResourceQuota without room for another pod",
        {"env": [{"name": "TRY", "value": "1"}]},
        {"env": None},
        "exceeded quota",
    ),
    "Pod Security": (
        "a privileged container in a namespace that enforces restricted",
        {"pod": {"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}},
        {"pod": None},
        "PodSecurity",
    ),
}


@pytest.fixture(scope="module")
def stand(
    request: pytest.FixtureRequest, kube: Kube, installed: Installed, models: Path
) -> Iterator[Stand]:
    with open_stand(request, kube, installed, models, "limits") as found:
        yield found


@case(
    "D10",
    injection=" and ".join(words for words, *_ in REFUSALS.values()),
    expected="ReplicaFailure with the API server's words; no storm of writes; at the deadline "
    "RolledBack; stable untouched",
    where="cluster",
)
@pytest.mark.parametrize("what", REFUSALS)
def test_d10_pods_that_are_refused(stand: Stand, seen: Seen, what: str) -> None:
    shop, since = stand.shop, time.time()
    _, serving, back, words = REFUSALS[what]
    if what == "quota":
        shop.kube.apply(_quota(shop))
    known = len(shop.status.get("rejected") or ())
    shop.patch(serving=serving, rollout={"deadline": "30s"})
    status = shop.wait(
        lambda s: (s.get("candidate") or {}) and words in rolling_out(s)["message"], words
    )
    assert rolling_out(status)["reason"] == Reason.ReplicaFailure
    quiet = time.time()
    time.sleep(QUIET)  # what is measured is a time in which nothing is to happen
    log = shop.kube.instance.audit_log
    written = writes(log, quiet)
    assert sum(writes(log, since).values()), "the audit log does not show the operator at all"
    # The refusal names a pod that was never made, another one at each of the cluster's own tries.
    assert sum(written.values()) <= QUIET, f"{dict(written)} while pods were refused"
    status = shop.wait(lambda s: len(s.get("rejected") or ()) > known, "the deadline")
    entry = status["rejected"][0]
    assert (entry["kind"], entry["reason"]) == (Reason.RolledBack, Reason.ReplicaFailure)
    assert words in entry["message"]
    if what == "quota":
        shop.kube.delete("ResourceQuota", shop.namespace, QUOTA)
    stand.put_back(back)
    seen.say(
        f"{what}: “…{words}…”, {sum(written.values())} writes in {QUIET:.0f} s of refusals; "
        f"{stand.stood(since)}"
    )


def _quota(shop: Shop) -> Object:
    """As many pods as there are."""
    count = len(shop.kube.list("Pod", shop.namespace))
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": QUOTA, "namespace": shop.namespace},
        "spec": {"hard": {"pods": str(count)}},
    }


@case(
    "D11",
    injection="a drain in the middle of a step: one pod each of stable and candidate evicted, then "
    "a second one of each",
    expected="the disruption budgets refuse the second (429); no request fails; resumes",
    where="cluster",
)
@case(
    "D8",
    injection="one pod each of stable and candidate deleted by force in a step, as a node's death "
    "leaves them (the node itself: simulator)",
    expected="both made good; no request fails but those that the killed pods had; promoted",
    where="cluster",
)
def test_d8_d11_pods_taken_away_in_a_step(stand: Stand, seen: Seen) -> None:
    shop = stand.shop
    steps = [Step(60, pause=True).manifest()]
    shop.patch(rollout={"steps": steps, "deadline": "10m"})
    shop.upload(CALC[1])
    status = shop.wait_paused(2)
    revisions = (status["stable"]["revision"], status["candidate"]["revision"])
    since = time.time()
    for revision in revisions:
        first, second = (pod["metadata"]["name"] for pod in shop.pods("model", revision))
        assert until(lambda name=first: _evicts(shop, name), patience=PATIENCE)
        assert not _evicts(shop, second), "the budget gave two pods away"
    for revision in revisions:
        shop.wait_pods("model", 2, revision=revision)
    shop.wait_left()
    shop.wait_paused(2)
    drained = stand.load.record.summary(since)
    assert drained.failed == 0, drained.explain()
    for revision in revisions:
        name = next(p for p in shop.pods("model", revision) if is_ready(p))["metadata"]["name"]
        shop.kube.delete("Pod", shop.namespace, name, grace=0)
    for revision in revisions:
        shop.wait_pods("model", 2, revision=revision)
    shop.wait_paused(2)
    assert until(lambda: _promoted(shop), patience=PATIENCE)
    shop.wait_left()
    whole = stand.load.record.summary(since)
    killed = whole.failed
    assert killed <= 64, whole.explain()
    seen.say(
        f"drain: {drained.requests} requests, 0 failed, second evictions refused; two pods killed: "
        f"{killed} of {whole.requests - drained.requests} requests failed; promoted"
    )


def _evicts(shop: Shop, name: str) -> bool:
    """Whether the API server evicts the pod, by its disruption budget."""
    try:
        shop.kube.evict(shop.namespace, name)
    except ApiException as error:
        if error.status != 429:
            raise
        return False
    return True


def _promoted(shop: Shop) -> bool:
    """Asked for again while the step starts over: a step without its weight cannot be promoted."""
    if (shop.status.get("stable") or {}).get("number") == 2:
        return True
    shop.act(f"promote v2 #{time.time():.0f}")
    return False
