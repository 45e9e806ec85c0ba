"""The shell's client, watches and caches against the real API server."""

import asyncio
import logging
import time

import pytest
from kubernetes.aio.client import ApiClient

from savedmodel_operator import errors
from savedmodel_operator.api.parse import parse_meta
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.api.types import ConfigMapKey, LocalObjectReference, Source
from savedmodel_operator.apply import Applier, Target
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.client import Client, dynamic
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.connect import configuration, identity
from savedmodel_operator.cluster.informer import Informer, Watches
from savedmodel_operator.cluster.kinds import CHILDREN, CONFIG_MAP, EVENT, MODEL, SERVICE
from savedmodel_operator.cluster.leases import ClusterLease
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.lease import Lease
from savedmodel_operator.observe.access import AccessReader
from savedmodel_operator.plan.actions import Annotate, Apply, Create, Delete, Event, Plan
from savedmodel_operator.report import Reporter
from savedmodel_operator.storage.base import StorageError
from savedmodel_operator.telemetry import Telemetry

pytestmark = pytest.mark.api

PATIENCE = 20.0


async def connect(kubeconfig, user=None):
    """(client, close): with the administrator's rights, or as `user`, who has none."""
    api = ApiClient(await configuration(str(kubeconfig)))
    if user is not None:
        api.set_default_header("Impersonate-User", user)
    return Client(dynamic(api), ServerClock(time.monotonic)), api.close


@pytest.fixture
async def client(kubeconfig):
    made, close = await connect(kubeconfig)
    yield made
    await close()


@pytest.fixture
async def nobody(kubeconfig):
    """A client of a user without any right."""
    made, close = await connect(kubeconfig, "nobody")
    yield made
    await close()


def config_map(name, uid="u-1", owner="flowers", **data):
    labels = {
        "app.kubernetes.io/managed-by": "savedmodel-operator",
        "savedmodel.dev/deployment": owner,
        "savedmodel.dev/uid": uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": data,
    }


class Always:
    """The Lease of a replica that has no rival."""

    def may_write(self):
        return True

    def remaining(self):
        return 15.0


class Watched:
    """A cache and the news about it."""

    def __init__(self, client, namespace, kind=CONFIG_MAP):
        self.cache = ChildCache()
        self.owner = (namespace, "flowers")
        self.news = asyncio.Event()
        self.informer = Informer(client, kind, namespace, self.cache, self.changed)
        self.task = None

    def changed(self, owner):
        assert owner == self.owner
        self.news.set()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.informer.run())
        await asyncio.wait_for(self.informer.synced.wait(), PATIENCE)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def data(self):
        return {o.name: o.body.get("data", {}) for o in self.cache.children(self.owner, "u-1")}

    async def until(self, wanted):
        """Waits for news until the cache is as wanted."""
        async with asyncio.timeout(PATIENCE):
            while self.data != wanted:
                await self.news.wait()
                self.news.clear()


# --- the client -------------------------------------------------------------------------------


async def test_the_clock_is_the_servers(client, namespace):
    await client.list(CONFIG_MAP, namespace)
    assert client.clock.now() == pytest.approx(time.time(), abs=2)


async def test_refusals_have_their_class(client, nobody, namespace):
    made = await client.create(CONFIG_MAP, namespace, config_map("a", x="1"))
    version, uid = made["metadata"]["resourceVersion"], made["metadata"]["uid"]
    with pytest.raises(errors.AlreadyExists):
        await client.create(CONFIG_MAP, namespace, config_map("a"))
    with pytest.raises(errors.NotFound):
        await client.get(CONFIG_MAP, namespace, "b")
    stale = config_map("a")
    stale["metadata"]["resourceVersion"] = "1"
    with pytest.raises(errors.Conflict):
        await client.replace(CONFIG_MAP, namespace, "a", stale)
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIG_MAP, namespace, "a", "another-uid")
    with pytest.raises(errors.Invalid):
        await client.create(SERVICE, namespace, {"metadata": {"name": "UPPER"}, "spec": {}})
    with pytest.raises(errors.Forbidden) as refused:
        await nobody.create(CONFIG_MAP, namespace, config_map("c"))
    assert (refused.value.verb, refused.value.resource) == ("create", "configmaps")
    await client.delete(CONFIG_MAP, namespace, "a", uid)
    assert version


async def test_an_expired_watch_is_gone(client, namespace):
    with pytest.raises(errors.Gone):
        async for _ in client.watch(CONFIG_MAP, namespace, "1", 5):
            pass


async def test_a_server_that_does_not_answer_is_unavailable(kubeconfig):
    settings = await configuration(str(kubeconfig))
    settings.host = "https://127.0.0.1:9"
    library = ApiClient(settings)
    client = Client(dynamic(library), ServerClock(time.monotonic))
    with pytest.raises(errors.Unavailable):
        await client.get(CONFIG_MAP, "default", "a")
    await library.close()


async def test_kopf_gets_the_same_identity(kubeconfig):
    found = await identity(str(kubeconfig))
    assert found.server.startswith("https://")
    assert found.verify
    assert found.certificate_path or found.token


# --- watches ----------------------------------------------------------------------------------


async def test_what_was_there_what_comes_what_changes_what_goes(client, namespace):
    await client.create(CONFIG_MAP, namespace, config_map("before", x="1"))
    foreign = config_map("foreign")
    foreign["metadata"]["labels"] = {}
    await client.create(CONFIG_MAP, namespace, foreign)
    async with Watched(client, namespace) as watched:
        assert watched.data == {"before": {"x": "1"}}
        later = await client.create(CONFIG_MAP, namespace, config_map("later", x="2"))
        await watched.until({"before": {"x": "1"}, "later": {"x": "2"}})
        await client.merge(CONFIG_MAP, namespace, "later", {"data": {"x": "3"}})
        await watched.until({"before": {"x": "1"}, "later": {"x": "3"}})
        await client.delete(CONFIG_MAP, namespace, "later", later["metadata"]["uid"])
        await watched.until({"before": {"x": "1"}})


async def test_a_label_that_is_taken_away_takes_the_object_out_of_sight(client, namespace):
    await client.create(CONFIG_MAP, namespace, config_map("a"))
    async with Watched(client, namespace) as watched:
        patch = {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
        await client.merge(CONFIG_MAP, namespace, "a", patch)
        await watched.until({})


async def test_a_deletion_while_nobody_watched_is_noticed(client, namespace):
    made = await client.create(CONFIG_MAP, namespace, config_map("a"))
    watched = Watched(client, namespace)
    async with watched:
        assert watched.data == {"a": {}}
    await client.delete(CONFIG_MAP, namespace, "a", made["metadata"]["uid"])
    watched.informer = Informer(client, CONFIG_MAP, namespace, watched.cache, watched.changed)
    async with watched:
        await watched.until({})
        assert watched.news.is_set() or watched.data == {}


class Expiring:
    """A client whose watches expire at once, for as long as told."""

    def __init__(self, client):
        self.client = client
        self.expired = True
        self.lists = 0

    async def list(self, *given):
        self.lists += 1
        return await self.client.list(*given)

    async def watch(self, kind, namespace, version, *given):
        version = "1" if self.expired else version  # the real server then answers 410
        async for event in self.client.watch(kind, namespace, version, *given):
            yield event


async def test_after_gone_it_lists_again(client, namespace):
    expiring = Expiring(client)
    async with Watched(expiring, namespace) as watched:
        made = await client.create(CONFIG_MAP, namespace, config_map("a"))
        await watched.until({"a": {}})
        assert expiring.lists >= 2, "no watch told it"
        expiring.expired = False
        await client.delete(CONFIG_MAP, namespace, "a", made["metadata"]["uid"])
        await watched.until({})


async def test_every_kind_is_watched_in_every_namespace(client, namespace):
    watches = Watches(client, (namespace, "default"), ChildCache(), lambda _: None)
    assert len(watches.waiting) == 2 * len(CHILDREN)
    task = asyncio.create_task(watches.run())
    await asyncio.wait_for(watches.wait_synced(), PATIENCE)
    assert watches.waiting == []
    assert watches.oldest()[0] < PATIENCE
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_own_write_is_known_before_the_watch_tells_and_told_to_nobody(client, namespace):
    async with Watched(client, namespace) as watched:
        applier = Applier(client, watched.cache, Always())
        target = Target(namespace, "flowers", "u-1")
        await applier.apply(target, [Create(config_map("a", x="1"), "missing")])
        assert watched.data == {"a": {"x": "1"}}
        other = await client.create(CONFIG_MAP, namespace, config_map("b"))
        await watched.until({"a": {"x": "1"}, "b": {}})
        (own,) = [o for o in watched.cache.children(watched.owner, "u-1") if o.name == "a"]
        await applier.apply(target, [Delete("ConfigMap", "a", own.uid, "gone")])
        assert watched.data == {"b": {}}
        await client.delete(CONFIG_MAP, namespace, "b", other["metadata"]["uid"])
        await watched.until({})


# --- writes -----------------------------------------------------------------------------------


@pytest.fixture
def shop(client, namespace):
    """(applier, cache, target) for a new object."""
    cache = ChildCache()
    return Applier(client, cache, Always()), cache, Target(namespace, "flowers", "u-1")


def only(cache, target):
    (found,) = cache.children((target.namespace, target.name), target.uid)
    return found


async def test_apply_takes_fields_back_and_leaves_those_of_others(client, namespace, shop):
    applier, cache, target = shop
    await applier.apply(target, [Create(config_map("a", x="1"), "missing")])
    foreign = {"data": {"x": "theirs", "y": "theirs"}}
    cache.put(await client.merge(CONFIG_MAP, namespace, "a", foreign))
    seen = only(cache, target)
    await applier.apply(
        target, [Apply(config_map("a", x="1"), seen.uid, seen.resource_version, "drift")]
    )
    assert only(cache, target).body["data"] == {"x": "1", "y": "theirs"}


async def test_a_field_has_its_managers_name(api, client, namespace, shop):
    applier, cache, target = shop
    await applier.apply(target, [Create(config_map("a", x="1"), "missing")])
    assert only(cache, target).managers["data.x"] == "savedmodel-operator"
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    cache.put(api.apply({**theirs, "data": {"x": "2"}}, path).accepted())
    assert only(cache, target).managers["data.x"] == "tests"


async def test_apply_on_what_changed_meanwhile_is_a_conflict(client, namespace, shop):
    applier, cache, target = shop
    await applier.apply(target, [Create(config_map("a", x="1"), "missing")])
    seen = only(cache, target)
    await client.merge(CONFIG_MAP, namespace, "a", {"data": {"z": "new"}})
    wanted = Apply(config_map("a", x="2"), seen.uid, seen.resource_version, "drift")
    with pytest.raises(errors.Conflict):
        await applier.apply(target, [wanted])
    assert (await client.get(CONFIG_MAP, namespace, "a"))["data"] == {"x": "1", "z": "new"}


async def test_apply_does_not_bring_back_what_is_gone(client, namespace, shop):
    applier, cache, target = shop
    await applier.apply(target, [Create(config_map("a"), "missing")])
    seen = only(cache, target)
    await client.delete(CONFIG_MAP, namespace, "a", seen.uid)
    with pytest.raises((errors.Conflict, errors.NotFound)):
        await applier.apply(
            target, [Apply(config_map("a"), seen.uid, seen.resource_version, "drift")]
        )
    with pytest.raises(errors.NotFound):
        await client.get(CONFIG_MAP, namespace, "a")


async def test_marks_and_deletions_are_bound_to_the_uid(client, namespace, shop):
    applier, cache, target = shop
    await applier.apply(target, [Create(config_map("a"), "missing")])
    seen = only(cache, target)
    await applier.apply(target, [Annotate("ConfigMap", "a", seen.uid, {"x/y": "1"}, "mark")])
    assert only(cache, target).body["metadata"]["annotations"] == {"x/y": "1"}
    for action in (
        Annotate("ConfigMap", "a", "former-uid", {"x/y": "2"}, "mark"),
        Delete("ConfigMap", "a", "former-uid", "gone"),
    ):
        with pytest.raises(errors.Conflict):
            await applier.apply(target, [action])
    await applier.apply(target, [Delete("ConfigMap", "a", seen.uid, "gone")])
    await applier.apply(target, [Delete("ConfigMap", "a", seen.uid, "gone again")])
    assert cache.children((namespace, "flowers"), "u-1") == []


async def test_a_foreign_object_is_never_touched(client, namespace, shop):
    applier, _, target = shop
    foreign = {"metadata": {"name": "a"}, "data": {"precious": "yes"}}
    before = await client.create(CONFIG_MAP, namespace, foreign)
    with pytest.raises(errors.Blocked) as caught:
        await applier.apply(target, [Create(config_map("a"), "missing")])
    assert caught.value.reason is Reason.NameTaken
    assert await client.get(CONFIG_MAP, namespace, "a") == before


async def test_what_lost_its_labels_is_owned_again(client, namespace):
    owner = await client.create(CONFIG_MAP, namespace, {"metadata": {"name": "owner"}})
    uid, cache = owner["metadata"]["uid"], ChildCache()
    manifest = config_map("a", uid=uid, x="1")
    manifest["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    ]
    bare = {**manifest, "metadata": {**manifest["metadata"], "labels": {}}}
    await client.create(CONFIG_MAP, namespace, bare)
    target = Target(namespace, "flowers", uid)
    await Applier(client, cache, Always()).apply(target, [Create(manifest, "missing")])
    assert only(cache, target).body["metadata"]["labels"] == manifest["metadata"]["labels"]


async def test_without_the_right_the_verb_and_resource_are_named(nobody, namespace):
    applier = Applier(nobody, ChildCache(), Always())
    with pytest.raises(errors.Blocked) as caught:
        await applier.apply(Target(namespace, "f", "u"), [Create(config_map("a"), "missing")])
    assert caught.value.reason is Reason.ApiForbidden
    assert f"may not create configmaps in namespace {namespace}" in caught.value.message


# --- status and events ------------------------------------------------------------------------

SPEC = {
    "source": {"uri": "s3://models/flowers", "anonymous": True},
    "serving": {"image": "tensorflow/serving:2.20.0"},
}


@pytest.fixture
async def model(client, namespace, crd):
    """A SavedModelDeployment nobody reconciles."""
    body = {
        "apiVersion": MODEL.api_version,
        "kind": MODEL.kind,
        "metadata": {"name": "flowers"},
        "spec": SPEC,
    }
    return await client.create(MODEL, namespace, body)


def make_reporter(client, body):
    objects = ObjectCache()
    objects.put(body)
    applier = Applier(client, ChildCache(), Always())
    return Reporter(client, objects, applier, Telemetry(), "pod-0"), objects


def plan(status, *events):
    return Plan((), status, events, None, Reason.Serving, "it serves")


STATUS = {"observedGeneration": 1, "phase": "Serving", "message": "it serves"}


async def test_status_is_written_once_and_events_tell_of_the_object(client, namespace, model):
    reporter, objects = make_reporter(client, model)
    event = Event(Reason.Promoted, "v1 serves all requests")
    await reporter.report(parse_meta(model), plan(STATUS, event))
    stored = await client.get(MODEL, namespace, "flowers")
    assert stored["status"]["phase"] == "Serving"
    assert stored["spec"] == model["spec"]
    assert stored["metadata"]["generation"] == 1
    (posted,) = (await client.list(EVENT, namespace)).items
    assert posted["regarding"]["uid"] == model["metadata"]["uid"]
    assert (posted["reason"], posted["note"]) == ("Promoted", "v1 serves all requests")
    known = objects.get((namespace, "flowers"))
    assert known["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    await reporter.report(parse_meta(known), plan(known["status"]))
    again = await client.get(MODEL, namespace, "flowers")
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


async def test_status_of_an_object_that_changed_is_a_conflict_and_no_event(
    client, namespace, model
):
    reporter, _ = make_reporter(client, model)
    await client.merge(MODEL, namespace, "flowers", {"metadata": {"annotations": {"a": "b"}}})
    event = Event(Reason.Promoted, "v1 serves all requests")
    with pytest.raises(errors.Conflict):
        await reporter.report(parse_meta(model), plan(STATUS, event))
    assert (await client.get(MODEL, namespace, "flowers"))["status"] == model["status"]
    assert (await client.list(EVENT, namespace)).items == []


async def test_a_field_that_the_crd_does_not_know_is_noticed(client, namespace, model, caplog):
    reporter, objects = make_reporter(client, model)
    newer = {**STATUS, "fromTheFuture": 1}
    await reporter.report(parse_meta(model), plan(newer))
    assert "did not keep status.fromTheFuture" in caplog.text
    caplog.set_level(logging.ERROR)
    caplog.clear()
    await reporter.report(parse_meta(objects.get((namespace, "flowers"))), plan(newer))
    assert caplog.text == ""


# --- secrets ----------------------------------------------------------------------------------

SECRET_SOURCE = Source(uri="s3://m", secret_ref=LocalObjectReference(name="keys"))


async def read(client, namespace, source=SECRET_SOURCE):
    return await AccessReader(client, ("savedmodel-storage",)).read(namespace, source)


def put_secret(api, namespace, **data):
    path = f"/api/v1/namespaces/{namespace}/secrets"
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data}
    api.apply(body, path).accepted()


async def test_a_secret_is_read_by_name_and_never_shown(api, client, namespace):
    with pytest.raises(StorageError) as caught:
        await read(client, namespace)
    assert caught.value.reason is Reason.SecretMissing
    put_secret(api, namespace, AWS_ACCESS_KEY_ID="id")
    with pytest.raises(StorageError, match="lacks AWS_SECRET_ACCESS_KEY"):
        await read(client, namespace)
    put_secret(api, namespace, AWS_ACCESS_KEY_ID="id\n", AWS_SECRET_ACCESS_KEY="hush")
    access = await read(client, namespace)
    assert access.credentials.access_key_id == "id"
    assert access.credentials.secret_access_key == "hush"
    assert "hush" not in repr(access)


async def test_a_secret_that_may_not_be_read_names_the_chart_value(nobody, namespace):
    with pytest.raises(StorageError) as caught:
        await read(nobody, namespace)
    assert caught.value.reason is Reason.SecretNotPermitted
    assert "storageSecretNames={savedmodel-storage,keys}" in caught.value.message


async def test_a_ca_bundle_is_pem_or_told_to_be_missing(client, namespace):
    source = Source(
        uri="s3://m", anonymous=True, ca_bundle=ConfigMapKey(config_map="ca", key="ca.crt")
    )
    with pytest.raises(StorageError, match="ConfigMap ca is not there"):
        await read(client, namespace, source)
    made = await client.create(
        CONFIG_MAP, namespace, {"metadata": {"name": "ca"}, "data": {"ca.crt": "junk"}}
    )
    with pytest.raises(StorageError, match=r"no PEM certificates under the key ca\.crt"):
        await read(client, namespace, source)
    pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
    await client.merge(CONFIG_MAP, namespace, "ca", {"data": {"ca.crt": pem}})
    assert (await read(client, namespace, source)).ca_bundle == pem.encode()
    assert made


# --- the lease --------------------------------------------------------------------------------


async def test_a_successor_begins_at_once_when_the_lease_is_given_back(client, namespace):
    begun = {name: asyncio.Event() for name in ("one", "two")}

    def lease(name):
        store = ClusterLease(client, namespace, "operator")
        return Lease(store, name, lambda yes: begun[name].set() if yes else None)

    one, two = lease("one"), lease("two")
    first = asyncio.create_task(one.run())
    await asyncio.wait_for(begun["one"].wait(), PATIENCE)
    second = asyncio.create_task(two.run())
    one.stop_writing()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await one.release()
    released = time.monotonic()
    await asyncio.wait_for(begun["two"].wait(), PATIENCE)
    assert time.monotonic() - released < 5, "it did not wait for the Lease to run out"
    assert two.may_write()
    assert not one.may_write()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
