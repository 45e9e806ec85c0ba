"""The bytes of what serves are deleted, come back and change, under load."""

from __future__ import annotations

import time

import pytest
from kubernetes.client import ApiException

from cluster_shop import NAME, PATIENCE, Shop, is_ready
from lab import uploads
from lab.cluster import until
from lab.follow import condition
from lab.kube import Object
from lab.objects import BUCKET, Step
from lab.samples import CALC

pytestmark = pytest.mark.cluster


def test_the_last_copies_stay_until_their_bytes_are_back_and_other_ones_are_tried(
    shop: Shop,
) -> None:
    shop.serve(CALC[0], replicas=2, steps=(Step(50, hold=2),))
    revision = shop.status["stable"]["revision"]
    shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes there")
    with shop.load() as load:
        client = shop.installed.store.client()
        uploads.empty(client, BUCKET, shop.prefix)
        status = shop.wait(lambda s: condition(s, "Restorable") == "False", "the bytes gone")
        assert f"in s3://{BUCKET}/{shop.prefix}/1/ was deleted" in _entry(status)["message"]
        assert _entry(status)["reason"] == "LockedBytesGone"

        shop.patch(serving={"replicas": 1})
        words = "the scale stays at 2, not 1, until the bytes are back"
        status = shop.wait(lambda s: words in s["message"], "the pods kept")
        assert condition(status, "Ready") == "True"
        _refuses_a_drain(shop, revision)
        asked = time.time()
        assert until(lambda: load.record.summary(asked).requests > 100, patience=PATIENCE)
        assert _scale(shop, revision) == 2

        shop.upload(CALC[0])
        shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes back")
        assert until(lambda: _scale(shop, revision) == 1, patience=PATIENCE)
        assert until(lambda: len(shop.pods("model", revision)) == 1, patience=PATIENCE)

        shop.patch(versions={"onOverwrite": "Rollout"})
        client.put_object(Bucket=BUCKET, Key=f"{shop.prefix}/1/assets.extra/note.txt", Body=b"x")
        status = shop.wait(
            lambda s: s["stable"]["revision"] != revision and not s.get("candidate"),
            "the other bytes as stable",
        )
        assert status["stable"]["number"] == 1
    seen = load.record.summary()
    assert seen.failed == 0, seen.explain()
    assert _told(shop, "LockedBytesGone") == 1
    # A look at the bucket between two of the deletions rightly tells of other bytes, too.
    assert _told(shop, "VersionOverwritten", "are tried like a new version") == 1


def _entry(status: Object) -> Object:
    found: Object = next(c for c in status["conditions"] if c["type"] == "Restorable")
    return found


def _scale(shop: Shop, revision: str) -> int:
    found = shop.kube.get("Deployment", shop.namespace, revision)
    assert found is not None
    return int(found["spec"]["replicas"])


def _refuses_a_drain(shop: Shop, revision: str) -> None:
    """The API server's own answer, once its controller has counted the pods."""

    def refused() -> bool:
        found = shop.kube.get("PodDisruptionBudget", shop.namespace, revision)
        status = (found or {}).get("status") or {}
        return status.get("disruptionsAllowed") == 0 and status.get("currentHealthy") == 2

    assert until(refused, patience=PATIENCE), "the budget allows a disruption"
    pod = next(p for p in shop.pods("model", revision) if is_ready(p))
    with pytest.raises(ApiException) as caught:
        shop.kube.evict(shop.namespace, pod["metadata"]["name"])
    assert caught.value.status == 429


def _told(shop: Shop, reason: str, words: str = "") -> int:
    events = shop.kube.list("Event", shop.namespace)
    about = [e for e in events if e["involvedObject"]["name"] == NAME and e["reason"] == reason]
    return sum(words in e["message"] for e in about)
