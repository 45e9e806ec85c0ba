"""C: the object store answers late, wrongly, partly or not at all. What a watcher makes of it.

The operator's own watcher on a real S3 server behind the proxy, without a cluster; what clients of
a serving version feel of it is in `test_c_store_serving`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from campaign_case import Seen, case
from watched_bucket import PREFIX, Watched

from bucket_server import Bucket
from lab.injection.store_faults import (
    AddKey,
    Match,
    OmitKey,
    Partition,
    Redirect,
    Refuse,
    RepeatKey,
    Trickle,
)
from lab.injection.store_proxy import StoreProxy
from savedmodel_operator.api.reasons import Reason

Model = dict[str, bytes]


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[StoreProxy]:
    with StoreProxy(bucket.server.endpoint) as made:
        yield made


@case(
    "C1",
    injection="the store hangs: nothing it is asked is answered; then HTTP 500",
    expected="StorageUnavailable within the exchange's time limit; the last versions stay; "
    "goes on by itself",
    where="process",
)
async def test_c1_a_store_that_hangs(bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen):
    bucket.put_tree(f"{PREFIX}1/", model)
    async with Watched(proxy.endpoint, bucket.name, exchange_seconds=3) as watched:
        await watched.until_version(1, Reason.Complete)
        for fault in (Partition(), Refuse(500, "InternalError")):
            with proxy.inject(fault):
                view = await watched.until(
                    lambda v: v.reason is Reason.StorageUnavailable, "the outage told"
                )
                assert [(v.number, v.reason) for v in view.versions] == [(1, Reason.Complete)]
            await watched.until(lambda v: v.reason is Reason.SourceReady, "the store back")
            seen.say(f"{type(fault).__name__}: “{view.message.split(' at ')[1]}”, version 1 kept")


@case(
    "C2",
    injection="HTTP 503 SlowDown on every call, pollInterval 30 s",
    expected="StorageUnavailable; ever fewer calls (the pace of each object's polls adapts, there "
    "is no rate per bucket); goes on by itself",
    where="process",
)
async def test_c2_throttling_thins_the_calls_out(
    bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen
):
    bucket.put_tree(f"{PREFIX}1/", model)
    with proxy.inject(Refuse(503, "SlowDown", retry_after=1)) as slow:
        async with Watched(proxy.endpoint, bucket.name, poll="30s") as watched:
            await watched.until_looked(3)
            assert "throttling" in watched.view.message
            first, second, third = (at for at, _ in watched.looks[:3])
            assert {reason for _, reason in watched.looks} == {Reason.StorageUnavailable}
            # The pause after the first refusal is 5 s, after the second 10 s.
            assert second - first >= 5
            assert third - second >= 10
            assert slow.hits <= 3 * 3
            slow.remove()
            watched.look_now()
            await watched.until(lambda v: v.reason is Reason.SourceReady, "the store back")
    seen.say(
        f"{slow.hits} calls in 3 looks, {second - first:.0f} and {third - second:.0f} s apart; "
        "a person's sync looks at once"
    )


@case(
    "C3",
    injection="every answer at 1 kB/s; the operator's time limit for an exchange set to 2 s",
    expected="StorageUnavailable (answers too slowly) and its thread free for another bucket",
    where="process",
)
async def test_c3_a_trickle_frees_its_thread(
    bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen
):
    bucket.put_tree(f"{PREFIX}1/", {**model, **{f"assets.extra/{n:04}": b"" for n in range(40)}})
    with proxy.inject(Trickle(1000)) as slow, ThreadPoolExecutor(1) as only:
        async with (
            Watched(proxy.endpoint, bucket.name, exchange_seconds=2, executor=only) as trickled,
            Watched(bucket.server.endpoint, bucket.name, executor=only) as well,
        ):
            await trickled.until(
                lambda v: v.reason is Reason.StorageUnavailable, "the trickle given up"
            )
            assert "too slowly" in trickled.view.message
            await well.until_version(1, Reason.Complete)
            assert slow.hits
    seen.say("given up after 2 s; another bucket was read by the same single thread meanwhile")


@case(
    "C4",
    injection="a version without its variables, for three polls",
    expected="Incomplete, naming what is missing; no lock, so nothing to gate; Complete once it is there",
    where="process",
)
@case(
    "C5",
    injection="an upload that grows between any two polls",
    expected="Settling until two polls agree; with readyMarker see tests/storage",
    where="process",
)
async def test_c4_c5_uploads_under_way(bucket: Bucket, model: Model, seen: Seen):
    shard = "variables/variables.data-00000-of-00001"
    bucket.put_tree(f"{PREFIX}1/", {k: b for k, b in model.items() if k != shard})
    async with Watched(bucket.server.endpoint, bucket.name, poll="3s") as watched:
        view = await watched.until_version(1, Reason.Incomplete)
        assert (shard in view.message, view.lock, view.complete) == (True, None, False)
        await watched.until_looked(len(watched.looks) + 3)
        assert watched.view.versions[0].reason is Reason.Incomplete
        bucket.put(f"{PREFIX}1/{shard}", model[shard])
        growing = 0
        looks = len(watched.looks)
        while len(watched.looks) < looks + 4:
            bucket.put(f"{PREFIX}1/assets.extra/{growing}", b"x")
            growing += 1
            await watched.until_looked(len(watched.looks) + 1)
            assert watched.view.versions[0].reason in (Reason.Settling, Reason.Incomplete)
        done = await watched.until_version(1, Reason.Complete)
    assert done.lock is not None
    assert len(done.lock.objects) == len(model) + growing
    seen.say(f"“{view.message}”; {growing} polls of a growing upload: Settling; then Complete")


@case(
    "C9",
    injection="listings that have every key and directory twice; then one that lacks a version",
    expected="twice is once: same fingerprint; what is lacking is only not listed (that a serving "
    "version stays is seen on the cluster)",
    where="process",
)
async def test_c9_listings_that_repeat_and_miss(
    bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen
):
    bucket.put_tree(f"{PREFIX}1/", model)
    bucket.put_tree(f"{PREFIX}2/", model)
    async with Watched(proxy.endpoint, bucket.name) as watched:
        before = await watched.until_version(2, Reason.Complete)
        with proxy.inject(RepeatKey("*")) as twice:
            looks = len(watched.looks)
            await watched.until_looked(looks + 3)
            assert twice.hits
            assert [v.number for v in watched.view.versions] == [2, 1]
            assert watched.view.versions[0] is before, "the same version was judged anew"
        with proxy.inject(OmitKey(f"{PREFIX}2/")):
            view = await watched.until(lambda v: len(v.versions) == 1, "version 2 not listed")
            assert (view.reason, view.versions[0].number) == (Reason.SourceReady, 1)
        back = await watched.until_version(2, Reason.Complete)
    assert back.fingerprint == before.fingerprint
    seen.say("repeated keys change nothing; an omitted version comes back under its identity")


@case(
    "C14",
    injection="the endpoint is the metadata service; a store that redirects there",
    expected="EndpointForbidden, and Forbidden: nothing is sent there",
    where="process",
    quick=True,
)
async def test_c14_metadata_and_redirects(bucket: Bucket, proxy: StoreProxy, seen: Seen):
    place = "http://169.254.169.254"
    async with Watched(place, bucket.name) as watched:
        view = await watched.until(lambda v: v.reason is not Reason.SourcePending, "a look")
        assert view.reason is Reason.EndpointForbidden
        assert "169.254.169.254" in view.message
    with proxy.inject(Redirect(f"{place}/latest/meta-data/")) as redirect:
        async with Watched(proxy.endpoint, bucket.name) as watched:
            view = await watched.until(lambda v: v.reason is not Reason.SourcePending, "a look")
            assert (view.reason, redirect.hits) == (Reason.Forbidden, 1)
            assert "redirects are not followed" in view.message
    seen.say("EndpointForbidden before any connection; the redirect was asked once, not followed")


HOSTILE = {
    "parent": "../../etc/passwd",
    "hidden parent": "assets/../../evil",
    "absolute": "/etc/passwd",
    "NUL": "assets/a\0b",
    "backslash": "assets\\evil",
    "2 kB": "assets/" + "x" * 2000,
    "empty segment": "assets//x",
}


@case(
    "C13",
    injection=f"listings with a hostile key: {', '.join(HOSTILE)}",
    expected="HostileKey, no lock, hence never a path; the key bounded and printable in the message",
    where="process",
)
@pytest.mark.parametrize("key", HOSTILE.values(), ids=HOSTILE)
async def test_c13_hostile_keys(
    bucket: Bucket, model: Model, proxy: StoreProxy, seen: Seen, key: str
):
    bucket.put_tree(f"{PREFIX}1/", model)
    of_version = Match(listing=True, key=f"{PREFIX}1/")
    with proxy.inject(AddKey(f"{PREFIX}1/{key}"), of_version):
        async with Watched(proxy.endpoint, bucket.name) as watched:
            view = await watched.until_version(1, Reason.HostileKey)
            assert view.lock is None
            assert len(view.message) < 300
            assert view.message.isprintable()
    seen.say(f"“{view.message[-70:]}”" if len(key) < 100 else "2 kB: named by its beginning")
