"""Group S: what must stay secret, who may connect, and what the operator asks the API server for.

One shop for all of them, in the order of the file, with a key of its own in the Secret.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from audit_log import entries
from campaign_case import Seen, case
from canary import Canary, Hit, search

from chart_rights import RIGHTS
from cluster_shop import PATIENCE, Shop, open_shop, operator_pod, refusal
from lab import install, objects, s3
from lab.cluster import until
from lab.kube import SMD, Kube, Object
from lab.objects import Step
from lab.s3 import Store
from lab.samples import CALC
from network_policies import Outside, Pod, may_connect
from savedmodel_operator.api.reasons import Reason

V1, V2, _, OF_INTEGERS, _ = CALC
AGENTS = ("savedmodel-operator", "kopf")
"""The programs in the operator's process that speak to the API server."""


@dataclass(frozen=True)
class Planted:
    """A shop that reads its bucket with an account made for this."""

    shop: Shop
    account: Store
    since: float


@pytest.fixture(scope="module")
def planted(kube: Kube, installed: install.Installed, models: Path) -> Iterator[Planted]:
    account = s3.account(f"canary-id-{uuid.uuid4().hex[:8]}", role="admin")
    since = time.time()
    with open_shop(kube, installed, models, "security") as shop:
        kube.apply(objects.secret(shop.namespace, account))
        shop.serve(V1, steps=(Step(50, hold=1),))
        yield Planted(shop, account, since)


@case(
    "S1",
    "NetworkPolicies of chart and operator, judged on the labels of the real pods (this cluster's "
    "network enforces none)",
    "model pods take their routers and the operator, on 8500 and 8501 alone; routers take anybody "
    "there, and the operator on 9902",
    "cluster",
)
def test_s1_who_may_connect(planted: Planted, kube: Kube, seen: Seen) -> None:
    shop, system = planted.shop, install.NAMESPACE
    policies = [p for place in (shop.namespace, system) for p in kube.list("NetworkPolicy", place)]
    operator = Pod.read(operator_pod(kube))
    routers = [Pod.read(pod) for pod in shop.pods("router")]
    (model,) = (Pod.read(pod) for pod in shop.pods("model"))
    strangers = [
        Pod(shop.namespace, {"app": "web"}),
        Pod(system, {"app": "web"}),
        Pod("elsewhere", dict(operator.labels)),
        Pod("elsewhere", dict(routers[0].labels)),
        Outside(),
    ]
    asked = 0
    for port in (22, 8080, 8500, 8501, 9902):
        serving, read = port in (8500, 8501), port == 9902
        for source, inside in [(operator, True), *((r, True) for r in routers)]:
            assert may_connect(policies, source, model, port) is (inside and serving)
            asked += 1
        for stranger in strangers:
            assert not may_connect(policies, stranger, model, port)
            assert may_connect(policies, stranger, routers[0], port) is serving
            asked += 2
        assert may_connect(policies, operator, routers[0], port) is (serving or read)
        asked += 1
    seen.say(f"{len(policies)} policies, {asked} connections as expected")


def _is_forbidden(body: Object | None) -> bool:
    """Whether the store refused its key."""
    found = ((body or {}).get("status") or {}).get("conditions") or ()
    return any((c["type"], c["reason"]) == ("SourceReady", Reason.Forbidden) for c in found)


def _leaks(planted: Planted, wrong: str) -> tuple[Canary, list[Hit]]:
    """What was searched and found. First: would it be found?"""
    shop = planted.shop
    canary = Canary(
        {
            "the key": planted.account.secret_key,
            "its id": planted.account.access_key,
            "a wrong key": wrong,
            "the laboratory's key": s3.SECRET_KEY,
        }
    )
    words = ("get", "secret", objects.SECRET, "-n", shop.namespace, "-o", "yaml")
    assert canary.look("secret:itself", shop.cluster.kubectl(*words))
    canary.searched.clear()
    found = search(canary, shop.cluster, (shop.namespace,))
    with shop.kube.instance.audit_log.open() as log:
        lines = "".join(line for line in log if shop.namespace in line)
    return canary, [*found, *canary.look("audit lines:all", lines)]


@case(
    "S2",
    "a key of its own in the Secret; a rollout, a refusal, then a wrong key, met by a new object",
    "Forbidden; no log, Event, status, object, lock, metric, argument, environment, termination "
    "message or audit line has a key, its id or a form of them (base64, hexadecimal, quoted)",
    "cluster",
)
def test_s2_planted_secrets_stay_in_their_secret(planted: Planted, kube: Kube, seen: Seen) -> None:
    shop, wrong = planted.shop, f"wrong-{uuid.uuid4().hex}"
    shop.upload(V2)
    shop.wait_stable(2)
    shop.upload(OF_INTEGERS)
    shop.wait(lambda s: refusal(s, 4) is not None, "version 4's refusal")
    kube.apply(objects.secret(shop.namespace, replace(planted.account, secret_key=wrong)))
    other = shop.manifest()
    other["metadata"]["name"] = "other"
    kube.apply(other)
    kube.wait(SMD, shop.namespace, "other", _is_forbidden, PATIENCE, "a refused signature")
    canary, found = _leaks(planted, wrong)
    assert not found
    seen.say(f"0 found in {canary.told()}")


@case(
    "S3",
    "the audit log of the API server, over S1 and S2",
    "every request of the operator is one of the rights of docs/permissions.md and none is refused",
    "cluster",
)
def test_s3_no_request_needs_another_right(planted: Planted, kube: Kube, seen: Seen) -> None:
    allowed = {
        (verb, *_plural(right.resource))
        for right in RIGHTS
        for verb in right.verbs
        if not right.home
    }
    done: Counter[tuple[str, str, str]] = Counter()

    def written() -> bool:
        done.clear()
        log = kube.instance.audit_log
        found = [e for agent in AGENTS for e in entries(log, planted.since, agent)]
        # A namespace that is going refuses what is created in it with 403, too.
        assert not [entry for entry in found if entry.code == 403 and entry.verb != "create"]
        done.update((e.verb, e.resource, e.subresource) for e in found if e.resource)
        return done[("get", "secrets", "")] > 0

    assert until(written, patience=PATIENCE), "the audit log has no request of the operator"
    assert not set(done) - allowed
    seen.say(f"{sum(done.values())} requests with {len(done)} of {len(allowed)} rights, 0 refused")


def _plural(resource: str) -> tuple[str, str]:
    """("savedmodeldeployments", "status") of "savedmodel.dev/savedmodeldeployments/status"."""
    _, plural, *sub = resource.split("/")
    return plural, "".join(sub)
