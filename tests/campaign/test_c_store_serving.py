"""C: the object store misbehaves while a version serves. What clients feel of it: nothing.

One version under load on the real cluster, whose operator and pods reach the S3 server through the
proxy alone. Each case leaves the bucket as it was.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from campaign_case import Seen, case
from pod_stand import ASKED, calm_load

from cluster_shop import PATIENCE, PROXIED, Shop, open_shop, refusal
from lab import diagnose, s3, uploads
from lab.cluster import until
from lab.follow import condition
from lab.injection.store_faults import Delay, Match, OmitKey, Refuse
from lab.injection.store_proxy import StoreProxy
from lab.install import Installed
from lab.kube import Kube, Object
from lab.load import Load
from lab.objects import BUCKET, SECRET, Step
from lab.samples import CALC
from savedmodel_operator.api.reasons import Reason

SERVICE, _, PORT = PROXIED.partition(":")
SHARD = "variables/variables.data-00000-of-00001"


@dataclass
class Stand:
    """Version 1 under load, over a bucket behind a proxy."""

    shop: Shop
    load: Load
    proxy: StoreProxy

    def wait_source(self, reason: Reason) -> Object:
        """Until the condition SourceReady has this reason."""
        return self.shop.wait(
            lambda s: find(s, "SourceReady").get("reason") == reason, f"SourceReady: {reason}"
        )

    def serves_on(self, since: float) -> str:
        """Version 1 answered ASKED requests after now, and none failed since then; in words."""
        now = time.time()
        seen = self.load.record
        assert until(lambda: seen.summary(now).requests >= ASKED, patience=PATIENCE)
        found = seen.summary(since)
        assert found.failed == 0, found.explain()
        assert set(found.versions) == {1}
        assert condition(self.shop.status, "Ready") == "True"
        made = self.shop.kube.list(
            "Deployment", self.shop.namespace, "savedmodel.dev/component=model"
        )
        assert self.shop.status["stable"]["revision"] in [d["metadata"]["name"] for d in made]
        return f"{found.requests} requests, 0 failed"


def find(status: Object, kind: str) -> Object:
    """A condition."""
    return next((c for c in status.get("conditions") or () if c["type"] == kind), {})


@pytest.fixture(scope="module")
def stand(
    request: pytest.FixtureRequest, kube: Kube, installed: Installed, models: Path
) -> Iterator[Stand]:
    before = request.session.testsfailed
    through = replace(installed, store=replace(installed.store, endpoint=f"http://{PROXIED}"))
    address = str(kube.instance.addresses.host)
    with StoreProxy(installed.store.host_endpoint, address) as proxy:
        kube.apply(*_way_to(address, proxy.port))
        try:
            with open_shop(kube, through, models, "store") as shop:
                shop.serve(CALC[0], steps=(Step(50, hold=2),))
                with calm_load(shop) as load:
                    yield Stand(shop, load, proxy)
                if request.session.testsfailed > before:
                    sys.stdout.write(diagnose.explain(kube, shop.namespace, "calc"))
        finally:
            kube.delete("EndpointSlice", s3.NAMESPACE, SERVICE.partition(".")[0])
            kube.delete("Service", s3.NAMESPACE, SERVICE.partition(".")[0])


def _way_to(address: str, port: int) -> tuple[Object, Object]:
    """A Service whose only endpoint is a process of this machine."""
    name = SERVICE.partition(".")[0]
    place = {"name": name, "namespace": s3.NAMESPACE}
    ports: list[dict[str, Any]] = [{"name": "s3", "port": int(PORT), "targetPort": port}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": {"ports": ports}}
    labels = {"kubernetes.io/service-name": name}
    return service, {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**place, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "s3", "port": port, "protocol": "TCP"}],
    }


@case(
    "C1",
    injection="HTTP 500 on every call while a version serves",
    expected="StorageUnavailable; no request of a client fails; SourceReady by itself",
    where="cluster",
)
def test_c1_serving_does_not_feel_an_outage(stand: Stand, seen: Seen) -> None:
    since = time.time()
    with stand.proxy.inject(Refuse(500, "InternalError")):
        stand.wait_source(Reason.StorageUnavailable)
        words = stand.serves_on(since)
    ended = time.time()
    stand.wait_source(Reason.SourceReady)
    seen.say(f"{words}; read again {time.time() - ended:.1f} s after the outage")


@case(
    "C10",
    injection="the key expires (403 ExpiredToken for it alone); another key comes into the Secret",
    expected="Forbidden, saying that it expired; heals on rotation without a restart",
    where="cluster",
)
def test_c10_an_expired_key_heals_on_rotation(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    old, new = shop.installed.store, s3.account("rotated", shop.kube.instance, role="admin")
    with stand.proxy.inject(Refuse(403, "ExpiredToken"), Match(access_key=old.access_key)):
        status = stand.wait_source(Reason.Forbidden)
        assert "has expired: renew it" in find(status, "SourceReady")["message"]
        words = stand.serves_on(since)
        rotated = time.time()
        _set_key(shop, new)
        stand.wait_source(Reason.SourceReady)
        took = time.time() - rotated
        assert condition(shop.status, "Ready") == "True"
        _set_key(shop, old)
    seen.say(f"{words}; healed {took:.1f} s after the rotation, the same operator")


def _set_key(shop: Shop, store: s3.Store) -> None:
    keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}
    shop.kube.patch("Secret", shop.namespace, SECRET, {"data": data})


@case(
    "C9",
    injection="listings that lack the serving version",
    expected="Restorable False (LockedBytesGone), nothing deleted; True again with the listing",
    where="cluster",
)
def test_c9_absence_takes_no_serving_version_away(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes there")
    with stand.proxy.inject(OmitKey(f"{shop.prefix}/1/*")):
        status = shop.wait(lambda s: condition(s, "Restorable") == "False", "the bytes missed")
        assert find(status, "Restorable")["reason"] == Reason.LockedBytesGone
        words = stand.serves_on(since)
    shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes back")
    seen.say(f"{words}; LockedBytesGone while the listing lacked it")


@case(
    "C7",
    injection="an object of the serving version overwritten (onOverwrite: Alert, bucket unversioned)",
    expected="VersionOverwritten (the facts' VersionMutated), LockedBytesGone; the pods' copy serves on",
    where="cluster",
)
def test_c7_a_served_version_overwritten(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    client = shop.installed.store.client()
    key = f"{shop.prefix}/1/saved_model.pb"
    with client.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
        good = body.read()
    client.put_object(Bucket=BUCKET, Key=key, Body=good + good)
    status = shop.wait(
        lambda s: (
            [v["reason"] for v in s["versions"] if v["number"] == 1] == [Reason.VersionOverwritten]
        ),
        "the overwrite told",
    )
    shop.wait(lambda s: condition(s, "Restorable") == "False", "the loss told")
    told = next(v["message"] for v in status["versions"] if v["number"] == 1)
    words = stand.serves_on(since)
    client.put_object(Bucket=BUCKET, Key=key, Body=good)
    shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes back")
    seen.say(f"{words}; “{told}”")


@case(
    "C17",
    injection="every object of the bucket's directory deleted",
    expected="SourceEmpty, LockedBytesGone; the last good version serves on",
    where="cluster",
)
def test_c17_a_bucket_suddenly_empty(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    uploads.empty(shop.installed.store.client(), BUCKET, shop.prefix)
    stand.wait_source(Reason.SourceEmpty)
    status = shop.wait(lambda s: condition(s, "Restorable") == "False", "the loss told")
    assert find(status, "Restorable")["reason"] == Reason.LockedBytesGone
    words = stand.serves_on(since)
    shop.upload(CALC[0])
    stand.wait_source(Reason.SourceReady)
    shop.wait(lambda s: condition(s, "Restorable") == "True", "the bytes back")
    seen.say(f"{words}; SourceEmpty, then the same bytes uploaded: Restorable")


@case(
    "C6",
    injection="an object of version 2 deleted while its pod waits for the bytes",
    expected="the fetch ends with ObjectGone, version 2 is RolledBack; stable intact",
    where="cluster",
)
def test_c6_an_object_vanishes_mid_sync(stand: Stand, seen: Seen) -> None:
    shop, since = stand.shop, time.time()
    wanted = Match(("GET",), key=f"{shop.prefix}/2/{SHARD}")
    with stand.proxy.inject(Delay(600), wanted, times=1) as asked:
        shop.upload(CALC[1])
        assert asked.wait(1, PATIENCE), "no pod fetched version 2"
        shop.installed.store.client().delete_object(Bucket=BUCKET, Key=f"{shop.prefix}/2/{SHARD}")
    gone = time.time()
    status = shop.wait(lambda s: refusal(s, 2) is not None, "version 2's rollback")
    entry = refusal(status, 2)
    assert entry is not None
    assert (entry["kind"], entry["reason"]) == ("RolledBack", Reason.ObjectGone)
    assert SHARD in entry["message"]
    seen.say(f"rolled back {time.time() - gone:.0f} s after the deletion; {stand.serves_on(since)}")
