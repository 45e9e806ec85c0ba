"""Carrying a plan out: order, first failure, leadership, ownership, preconditions."""

import pytest

from fake_server import FakeServer, Refusal, child
from savedmodel_operator import errors
from savedmodel_operator.api.reasons import Reason
from savedmodel_operator.apply import Applier, Target
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.plan.actions import Annotate, Apply, Create, Delete

TARGET = Target("shop", "flowers", "u-1")
MAPS = "/api/v1/namespaces/shop/configmaps"
PODS = "/api/v1/namespaces/shop/pods"


class Guard:
    """A Lease that is lost after `writes` writes."""

    def __init__(self, writes=1000, remaining=15.0):
        self.left = writes
        self.seconds = remaining

    def may_write(self):
        self.left -= 1
        return self.left >= 0

    def remaining(self):
        return self.seconds


def manifest(name):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "labels": {"savedmodel.dev/uid": "u-1"}},
        "data": {},
    }


def make(guard=None):
    server, cache = FakeServer(), ChildCache()
    return server, cache, Applier(server.client, cache, guard or Guard())


def written(name, version=7):
    return child("ConfigMap", name, version=version)


def names(cache, uid="u-1"):
    return [(o.name, o.resource_version) for o in cache.children(("shop", "flowers"), uid)]


PLAN = (
    Create(manifest("a"), "missing"),
    Apply(manifest("b"), "uid-b", "3", "drift"),
    Annotate("Pod", "p", "uid-p", {"savedmodel.dev/nudge": "1"}, "nudge"),
    Delete("ConfigMap", "c", "uid-c", "gone"),
)
WRITES = [
    ("post", MAPS),
    ("patch", f"{MAPS}/b"),
    ("patch", f"{PODS}/p"),
    ("delete", f"{MAPS}/c"),
]


def answer_all(server):
    server.answers["post", MAPS] = written("a")
    server.answers["patch", f"{MAPS}/b"] = written("b")
    server.answers["patch", f"{PODS}/p"] = child("Pod", "p", version=7)


async def test_each_action_is_one_write_in_order():
    server, cache, applier = make()
    answer_all(server)
    cache.put(written("c", version=1))
    assert await applier.apply(TARGET, PLAN) == 4
    assert server.writes == WRITES
    assert len(server.requests) == 4
    # The next cycle must not plan on what this one changed.
    assert names(cache) == [("a", "7"), ("b", "7"), ("p", "7")]


async def test_writes_carry_what_was_seen():
    server, _, applier = make()
    answer_all(server)
    await applier.apply(TARGET, PLAN)
    create, apply, annotate, delete = server.requests
    assert create.query == {"fieldManager": "savedmodel-operator"}
    assert apply.query == {"fieldManager": "savedmodel-operator", "force": "true"}
    assert apply.content_type == "application/apply-patch+yaml"
    assert apply.body["metadata"]["resourceVersion"] == "3"
    assert apply.body["metadata"]["uid"] == "uid-b"
    assert annotate.content_type == "application/merge-patch+json"
    assert annotate.body == {
        "metadata": {"uid": "uid-p", "annotations": {"savedmodel.dev/nudge": "1"}}
    }
    assert delete.body["preconditions"] == {"uid": "uid-c"}
    assert delete.body["propagationPolicy"] == "Background"


@pytest.mark.parametrize("failing", range(4))
async def test_the_first_failure_ends_it_and_the_prefix_stands(failing):
    server, _, applier = make()
    answer_all(server)
    server.answers[WRITES[failing]] = Refusal(409, "Conflict")
    with pytest.raises(errors.Conflict):
        await applier.apply(TARGET, PLAN)
    assert server.writes == WRITES[: failing + 1]


@pytest.mark.parametrize("allowed", range(4))
async def test_no_write_begins_once_the_lease_is_lost(allowed):
    server, _, applier = make(Guard(writes=allowed))
    answer_all(server)
    with pytest.raises(errors.NotLeading):
        await applier.apply(TARGET, PLAN)
    assert server.writes == WRITES[:allowed]


async def test_a_write_ends_before_another_replica_may_act():
    server, _, applier = make(Guard(remaining=6.5))
    answer_all(server)
    await applier.apply(TARGET, PLAN)
    assert {r.limits.total for r in server.requests} == {6.5}


async def test_a_create_whose_answer_was_lost_is_recognized():
    server, cache, applier = make()
    server.answers["post", MAPS] = Refusal(409, "AlreadyExists")
    server.answers["get", f"{MAPS}/a"] = written("a")
    await applier.apply(TARGET, PLAN[:1])
    assert server.writes == [("post", MAPS)]
    assert names(cache) == [("a", "7")]


FOREIGN = {
    "somebody's own": {"name": "a", "namespace": "shop", "uid": "x", "resourceVersion": "4"},
    "another object's": child("ConfigMap", "a", owner="roses", owner_uid="u-2")["metadata"],
}


@pytest.mark.parametrize("whose", FOREIGN)
async def test_a_foreign_object_is_left_alone_and_named(whose):
    server, cache, applier = make()
    server.answers["post", MAPS] = Refusal(409, "AlreadyExists")
    server.answers["get", f"{MAPS}/a"] = {"metadata": FOREIGN[whose]}
    with pytest.raises(errors.Blocked) as caught:
        await applier.apply(TARGET, PLAN)
    assert caught.value.reason is Reason.NameTaken
    assert "ConfigMap a" in caught.value.message
    assert "kubectl -n shop delete configmaps a" in caught.value.message
    assert server.writes == [("post", MAPS)]
    assert names(cache) == []


async def test_a_child_without_our_labels_but_with_our_owner_reference_gets_them_back():
    server, cache, applier = make()
    server.answers["post", MAPS] = Refusal(409, "AlreadyExists")
    server.answers["get", f"{MAPS}/a"] = {
        "metadata": {
            "name": "a",
            "namespace": "shop",
            "uid": "x",
            "resourceVersion": "4",
            "ownerReferences": [{"uid": "u-1", "kind": "SavedModelDeployment"}],
        }
    }
    server.answers["patch", f"{MAPS}/a"] = written("a", version=9)
    await applier.apply(TARGET, PLAN[:1])
    assert server.requests[-1].body["metadata"]["resourceVersion"] == "4"
    assert server.requests[-1].body["metadata"]["uid"] == "x"
    assert names(cache) == [("a", "9")]


async def test_children_of_a_former_namesake_are_waited_for():
    server, _, applier = make()
    old = child(
        "ConfigMap",
        "a",
        owner_uid="u-0",
        metadata={
            "ownerReferences": [{"uid": "u-0", "kind": "SavedModelDeployment", "name": "flowers"}]
        },
    )
    server.answers["post", MAPS] = Refusal(409, "AlreadyExists")
    server.answers["get", f"{MAPS}/a"] = old
    with pytest.raises(errors.Conflict, match="former flowers"):
        await applier.apply(TARGET, PLAN[:1])


async def test_what_is_gone_need_not_be_deleted_or_marked():
    server, cache, applier = make()
    cache.put(written("c"))
    cache.put(child("Pod", "p"))
    server.answers["delete", f"{MAPS}/c"] = Refusal(404, "NotFound")
    server.answers["patch", f"{PODS}/p"] = Refusal(404, "NotFound")
    assert await applier.apply(TARGET, PLAN[2:]) == 2
    assert names(cache) == []


async def test_a_pod_in_its_grace_period_is_still_there():
    server, cache, applier = make()
    terminating = child("Pod", "p", version=8, metadata={"deletionTimestamp": "2026-11-01"})
    server.answers["delete", f"{PODS}/p"] = terminating
    await applier.apply(TARGET, [Delete("Pod", "p", "uid-p", "stale")])
    (left,) = cache.children(("shop", "flowers"), "u-1")
    assert "deletionTimestamp" in left.body["metadata"]


QUOTA = 'pods "a" is forbidden: exceeded quota: small, requested: pods=1'
RBAC = (
    'deployments.apps is forbidden: User "system:serviceaccount:s:o" cannot create resource '
    '"configmaps" in API group "" in the namespace "shop"'
)


@pytest.mark.parametrize(("words", "remedy"), [(QUOTA, "small"), (RBAC, "watchNamespaces")])
async def test_a_refused_right_becomes_a_condition_with_the_remedy(words, remedy):
    server, _, applier = make()
    server.answers["post", MAPS] = Refusal(403, "Forbidden", words)
    with pytest.raises(errors.Blocked) as caught:
        await applier.apply(TARGET, PLAN)
    assert caught.value.reason is Reason.ApiForbidden
    assert remedy in caught.value.message
    assert "configmaps" in caught.value.message


async def test_a_deleted_service_is_gone_although_the_answer_shows_it():
    """Services are given back by DELETE as they last were; nothing of them is left."""
    server, cache, applier = make()
    last = child("Service", "s", uid="uid-s", version=7)
    cache.put(last)
    server.answers["delete", "/api/v1/namespaces/shop/services/s"] = {**last}
    await applier.apply(TARGET, [Delete("Service", "s", "uid-s", "retired")])
    assert cache.children(("shop", "flowers"), "u-1") == []
