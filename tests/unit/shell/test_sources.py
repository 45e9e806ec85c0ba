"""Watching buckets under virtual time: pace, settling, errors, changes. No bucket is faked away:
the store behind is a table of views, in the order in which looks find them."""

import asyncio
from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest

from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.source import LockView, SourceView, VersionView
from savedmodel_operator.api.types import LocalObjectReference, Source
from savedmodel_operator.observe.access import split_uri
from savedmodel_operator.observe.sources import Sources, Tools, Wanted
from savedmodel_operator.plan.snapshot import Observed
from savedmodel_operator.storage.base import Access, StorageError

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

KEY = ("shop", "flowers")
SOURCE = Source(
    uri="s3://models/flowers",
    secret_ref=LocalObjectReference(name="storage"),
    poll_interval="30s",
)


def version(number, reason=Reason.Complete):
    return VersionView(number, str(number), f"sha256:{number}", 1, 1, reason)


def view(*versions):
    return SourceView(Reason.SourceReady, f"{len(versions)} versions", versions)


class AtOnce(Executor):
    """Runs what it is given on the spot: threads and virtual time do not mix."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Store:
    def __init__(self, access):
        self.access = access
        self.open = True

    def close(self):
        self.open = False


class World:
    """Secrets and buckets, and what was asked of them."""

    def __init__(self, *views):
        self.views = list(views)
        self.looks: list[tuple] = []
        self.reads: list[float] = []
        self.refusal: StorageError | None = None
        self.stores: list[Store] = []
        self.changes: list[float] = []
        self.loop = asyncio.get_running_loop()
        self.sources = Sources(
            Tools(
                access=self,
                open_store=self.open,
                discover=self.discover,
                executor=AtOnce(),
                now=lambda: 1000.0 + self.loop.time(),
                changed=lambda owner: self.changes.append(self.loop.time()),
            )
        )

    async def read(self, namespace, source):
        self.reads.append(self.loop.time())
        if self.refusal is not None:
            raise self.refusal
        return Access(bucket=split_uri(source.uri)[0], secret=namespace)

    def open(self, access):
        self.stores.append(Store(access))
        return self.stores[-1]

    def discover(self, store, prefix, marker, wanted, previous):
        self.looks.append((self.loop.time(), store.access.bucket, prefix, marker, wanted, previous))
        answer = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def times(self):
        return [look[0] for look in self.looks]

    def ask(self, source=SOURCE, keep=(), uid="u", locks=None):
        return self.sources.view(KEY, uid, source, Wanted(frozenset(keep), locks or {}))


async def test_before_the_first_look_it_is_pending_and_nothing_waits():
    world = World(view(version(1)))
    assert world.ask().reason is Reason.SourcePending
    await asyncio.sleep(0.1)
    assert world.ask().versions == (version(1),)
    assert world.ask().observed_at == pytest.approx(1000.0)
    await world.sources.close()


async def test_it_looks_at_its_interval_with_one_read_of_the_secret():
    world = World(view(version(1)))
    world.ask()
    await asyncio.sleep(95)
    assert world.times == [0, 30, 60, 90]
    assert world.reads == [0]
    assert world.changes == [0], "an unchanged view wakes nobody"
    await world.sources.close()


async def test_a_person_may_ask_for_a_look_at_once():
    world = World(view(version(1)))
    world.ask(Source(uri="s3://models/flowers", anonymous=True, poll_interval="24h"))
    await asyncio.sleep(10)
    world.sources.look_now(KEY)
    world.sources.look_now(("shop", "unknown"))
    await asyncio.sleep(10)
    assert world.times == [0, 10]
    await world.sources.close()


async def test_asking_for_a_look_settles_nothing_sooner():
    world = World(view(version(2, Reason.Settling)))
    world.ask()
    world.sources.look_now(KEY)  # before the first look is over
    await asyncio.sleep(1)
    world.sources.look_now(KEY)
    await asyncio.sleep(3)
    assert world.times == [0]
    await world.sources.close()


async def test_a_listing_that_has_to_settle_is_looked_at_again_soon():
    world = World(view(version(2, Reason.Settling), version(1)), view(version(2), version(1)))
    world.ask()
    await asyncio.sleep(40)
    assert world.times == [0, 5, 35]
    assert world.changes == [0, 5]
    await world.sources.close()


async def test_an_awaited_marker_is_looked_for_at_the_usual_pace():
    source = Source(
        uri="s3://models/flowers", anonymous=True, poll_interval="30s", ready_marker="_SUCCESS"
    )
    world = World(view(version(2, Reason.Settling)))
    world.ask(source)
    await asyncio.sleep(65)
    assert world.times == [0, 30, 60]
    assert world.looks[0][3] == "_SUCCESS"
    await world.sources.close()


async def test_an_error_keeps_the_versions_and_reads_the_secret_afresh_until_it_heals():
    denied = SourceView(Reason.Forbidden, "the key is refused", (version(1),))
    world = World(view(version(1)), denied, denied, denied, view(version(1)))
    world.ask()
    await asyncio.sleep(31)
    assert world.ask().reason is Reason.Forbidden
    assert world.ask().versions == (version(1),)
    await asyncio.sleep(60)
    assert world.ask().reason is Reason.SourceReady
    assert world.times == [0, 30, 35, 45, 65]
    assert world.reads == [0, 35, 45, 65]
    assert [s.open for s in world.stores] == [False, False, False, True]
    await world.sources.close()


async def test_a_secret_that_may_not_be_read_is_told_and_tried_again():
    world = World(view(version(1)))
    world.refusal = StorageError(Reason.SecretNotPermitted, "set storageSecretNames")
    world.ask()
    await asyncio.sleep(1)
    assert world.ask().reason is Reason.SecretNotPermitted
    assert world.ask().message == "set storageSecretNames"
    assert world.looks == []
    world.refusal = None
    await asyncio.sleep(5)
    assert world.ask().reason is Reason.SourceReady
    await world.sources.close()


async def test_a_bug_below_is_an_error_view_and_not_the_end_of_looking(caplog):
    world = World(ZeroDivisionError("secret-part"), view(version(1)))
    world.ask()
    await asyncio.sleep(1)
    assert world.ask().reason is Reason.CheckErrored
    assert "ZeroDivisionError" in world.ask().message
    assert "secret-part" not in world.ask().message
    assert "Traceback" in caplog.text
    await asyncio.sleep(5)
    assert world.ask().reason is Reason.SourceReady
    await world.sources.close()


async def test_another_source_is_looked_at_at_once_and_its_predecessor_forgotten():
    world = World(view(version(1)), view(version(7)))
    world.ask()
    await asyncio.sleep(10)
    other = Source(uri="s3://other/path/deep", anonymous=True, poll_interval="30s")
    pending = world.ask(other)
    assert (pending.reason, pending.versions) == (Reason.SourcePending, ())
    await asyncio.sleep(1)
    assert world.ask(other).versions == (version(7),)
    assert world.times == [0, 10]
    assert world.looks[1][1:3] == ("other", "path/deep/")
    assert world.looks[1][5] is None, "another bucket's versions are no memory"
    assert [s.open for s in world.stores] == [False, True]
    await world.sources.close()


async def test_another_pace_keeps_the_view():
    world = World(view(version(1)))
    world.ask()
    await asyncio.sleep(10)
    slower = Source(
        uri="s3://models/flowers",
        secret_ref=LocalObjectReference(name="storage"),
        poll_interval="60s",
    )
    assert world.ask(slower).versions == (version(1),)
    await asyncio.sleep(61)
    assert world.times == [0, 10, 70]
    await world.sources.close()


async def test_what_serves_is_looked_at_however_old_it_is():
    world = World(view(version(1)))
    world.ask(keep=[3])
    await asyncio.sleep(1)
    world.ask(keep=[3, 4])
    await asyncio.sleep(30)
    assert [look[4].numbers for look in world.looks] == [frozenset({3}), frozenset({3, 4})]
    assert world.looks[1][5] == world.ask(keep=[3, 4]) or world.looks[1][5].versions
    await world.sources.close()


def seen_lock(name):
    return Observed("ConfigMap", name, "u", "1", {})


async def test_a_lock_that_is_new_is_looked_at_soon_but_settles_nothing():
    world = World(view(version(1)), view(version(1)), view(version(2, Reason.Settling)))
    world.ask()
    await asyncio.sleep(10)
    world.ask(locks={"m-v1": seen_lock("m-v1-lock")})
    await asyncio.sleep(10)
    world.ask(locks={"m-v1": seen_lock("m-v1-lock")})
    await asyncio.sleep(21)
    assert world.times == [0, 10, 40]
    assert [list(look[4].locks) for look in world.looks] == [[], ["m-v1"], ["m-v1"]]
    world.ask(locks={"m-v2": seen_lock("m-v2-lock")})
    await asyncio.sleep(3)
    assert world.times == [0, 10, 40], "two looks in a row would make it complete"
    await world.sources.close()


async def test_what_was_seen_of_a_lock_is_kept_over_an_error():
    gone = LockView("m-v1", False, Reason.LockedBytesGone, "saved_model.pb was deleted")
    error = StorageError(Reason.Forbidden, "no", transient=False)
    world = World(replace(view(version(1)), locks=(gone,)), error)
    world.ask()
    await asyncio.sleep(31)
    assert world.ask().reason is Reason.Forbidden
    assert world.ask().lock("m-v1") == gone
    await world.sources.close()


async def test_a_forgotten_object_is_watched_no_more_and_a_namesake_begins_anew():
    world = World(view(version(1)))
    world.ask()
    await asyncio.sleep(1)
    assert world.ask(uid="another").reason is Reason.SourcePending
    await asyncio.sleep(1)
    world.sources.forget(KEY)
    await asyncio.sleep(100)
    assert world.times == [0, 1]
    assert not any(s.open for s in world.stores)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("s3://models", ("models", "")),
        ("s3://models/", ("models", "")),
        ("s3://models/a", ("models", "a/")),
        ("s3://models/a/b/", ("models", "a/b/")),
    ],
)
async def test_prefixes_end_in_a_slash(uri, wanted):
    assert split_uri(uri) == wanted
