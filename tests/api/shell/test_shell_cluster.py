"""The shell's client, watches and caches against the real API server."""

import asyncio
import time

import pytest
from kubernetes.aio.client import ApiClient

from savedmodel_operator import errors
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.apply import Applier, Target
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.client import Client, dynamic
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.connect import configuration, identity
from savedmodel_operator.cluster.informer import Informer, Watches
from savedmodel_operator.cluster.kinds import CHILDREN, CONFIG_MAP, SERVICE
from savedmodel_operator.plan.actions import Annotate, Apply, Create, Delete

pytestmark = pytest.mark.api

PATIENCE = 20.0


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


class Opened:
    """A transport that knows the paths of the watches that were answered."""

    def __init__(self, library):
        self.transport = dynamic(library)
        self.paths = []
        self.news = asyncio.Event()

    async def request(self, method, path, body=None, **parameters):
        response = await self.transport.request(method, path, body=body, **parameters)
        if ("watch", "true") in parameters["query_params"]:
            self.paths.append(path)
            self.news.set()
        return response


async def test_every_kind_is_watched_in_every_namespace(kubeconfig, namespace):
    """It ends with all watches open: asyncio leaks the socket of a task that is cancelled between
    connect and TLS handshake."""
    library = ApiClient(await configuration(str(kubeconfig)))
    opened = Opened(library)
    client = Client(opened, ServerClock(time.monotonic))
    watches = Watches(client, (namespace, "default"), ChildCache(), lambda _: None)
    assert len(watches.waiting) == 2 * len(CHILDREN)
    task = asyncio.create_task(watches.run())
    wanted = sorted(k.path(place) for k in CHILDREN for place in (namespace, "default"))
    async with asyncio.timeout(PATIENCE):
        while sorted(opened.paths) != wanted:
            await opened.news.wait()
            opened.news.clear()
    assert watches.waiting == []
    assert watches.oldest()[0] < PATIENCE
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await library.close()


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
