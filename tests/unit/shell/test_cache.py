"""What is known of the children: newer wins, own writes count, deletions stay deletions."""

import gc
import weakref

import pytest

from fake_server import child
from savedmodel_operator.cluster.cache import ChildCache
from savedmodel_operator.cluster.objects import ObjectCache
from savedmodel_operator.cluster.reduce import managers

OWNER = ("shop", "flowers")


def names(cache, uid="u-1"):
    return {o.name: o.resource_version for o in cache.children(OWNER, uid)}


def test_newer_wins_whatever_comes_last():
    cache = ChildCache()
    assert cache.put(child("Service", "a", version=9)) == OWNER
    assert cache.put(child("Service", "a", version=10)) == OWNER  # as numbers, not as text
    assert cache.put(child("Service", "a", version=9)) is None
    assert cache.put(child("Service", "a", version=10)) is None
    assert names(cache) == {"a": "10"}


def test_an_object_without_our_label_is_not_ours():
    cache = ChildCache()
    body = child("Service", "a")
    body["metadata"]["labels"] = {}
    assert cache.put(body) is None
    assert len(cache) == 0


def test_children_of_a_former_namesake_are_not_seen():
    cache = ChildCache()
    cache.put(child("Service", "a", owner_uid="u-0"))
    assert names(cache) == {}
    assert names(cache, "u-0") == {"a": "1"}


def test_what_we_deleted_is_not_brought_back_by_a_late_event():
    cache = ChildCache()
    cache.put(child("Pod", "a", version=3))
    cache.deleted("Pod", "shop", "a", "uid-a")
    assert cache.put(child("Pod", "a", version=4)) is None
    assert names(cache) == {}
    cache.drop(child("Pod", "a", version=5))
    assert cache.put(child("Pod", "a", uid="another", version=6)) == OWNER


def test_a_deletion_event_of_a_namesake_leaves_the_new_one():
    cache = ChildCache()
    cache.put(child("Pod", "a", uid="new", version=9))
    assert cache.drop(child("Pod", "a", uid="old", version=8)) is None
    assert names(cache) == {"a": "9"}


def test_a_list_finds_out_what_was_deleted_while_nobody_watched():
    cache = ChildCache()
    for name in ("a", "b"):
        cache.put(child("Pod", name))
    cache.put(child("Service", "s"))
    changed = cache.replace("Pod", None, [child("Pod", "a")], "5")
    assert changed == {OWNER}
    assert names(cache) == {"a": "1", "s": "1"}


def test_a_list_does_not_undo_a_write_that_came_after_it():
    cache = ChildCache()
    cache.put(child("Pod", "new", version=8))
    assert cache.replace("Pod", "shop", [], "7") == set()
    assert names(cache) == {"new": "8"}
    assert cache.replace("Pod", "shop", [], "8") == {OWNER}


def test_a_list_of_one_namespace_says_nothing_about_others():
    cache = ChildCache()
    cache.put(child("Pod", "a"))
    assert cache.replace("Pod", "elsewhere", [], "99") == set()
    assert names(cache) == {"a": "1"}


def test_an_object_that_a_stale_list_still_has_stays_deleted():
    cache = ChildCache()
    cache.put(child("Pod", "a", version=3))
    cache.deleted("Pod", "shop", "a", "uid-a")
    cache.replace("Pod", None, [child("Pod", "a", version=3)], "3")
    assert names(cache) == {}
    cache.replace("Pod", None, [], "6")
    assert cache.put(child("Pod", "a", version=7)) == OWNER  # the watch is past it: uid reused


def test_an_observation_is_the_same_one_until_the_object_changes():
    cache = ChildCache()
    cache.put(child("Pod", "a", version=1))
    (first,) = cache.children(OWNER, "u-1")
    assert cache.children(OWNER, "u-1")[0] is first
    cache.put(child("Pod", "a", version=1))
    assert cache.children(OWNER, "u-1")[0] is first
    cache.put(child("Pod", "a", version=2))
    (second,) = cache.children(OWNER, "u-1")
    assert second is not first
    assert second.resource_version == "2"


def test_nobody_holds_an_observation_for_the_cache():
    cache = ChildCache()
    cache.put(child("Pod", "a"))
    held = weakref.ref(cache.children(OWNER, "u-1")[0])
    gc.collect()
    assert held() is None


def test_managed_fields_are_gone_and_their_managers_known():
    cache = ChildCache()
    fields = {"f:data": {"f:a": {}}}
    entry = {"manager": "kubectl", "operation": "Update", "fieldsV1": fields}
    cache.put(child("ConfigMap", "a", data={"a": "1"}, metadata={"managedFields": [entry]}))
    first = cache.children(OWNER, "u-1")[0]
    assert "managedFields" not in first.body["metadata"]
    assert first.managers == {"data.a": "kubectl"}
    assert first.body["data"] == {"a": "1"}


def test_paths_are_written_as_people_write_them():
    fields = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {'v:"x"': {}}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {"f:containers": {'k:{"name":"model"}': {".": {}, "f:image": {}}}}
            },
        },
    }
    ours = {"manager": "savedmodel-operator", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}
    theirs = {
        "manager": "autoscaler",
        "time": "2026-01-02T00:00:00Z",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    status = {
        "manager": "kubelet",
        "subresource": "status",
        "fieldsV1": {"f:status": {"f:phase": {}}},
    }
    found = managers({"metadata": {"managedFields": [theirs, ours, status]}})
    assert found == {
        "metadata.labels.app": "savedmodel-operator",
        'metadata.finalizers["x"]': "savedmodel-operator",
        "spec.replicas": "autoscaler",
        "spec.template.spec.containers[name=model].image": "savedmodel-operator",
    }


@pytest.mark.parametrize("deep", [10, 10_000])
def test_nested_managed_fields_are_bounded(deep):
    fields: dict = {}
    for _ in range(deep):
        fields = {"f:a": fields}
    managers({"metadata": {"managedFields": [{"manager": "x", "fieldsV1": fields}]}})


def test_objects_newer_wins_and_a_namesake_survives_an_old_deletion():
    objects = ObjectCache()
    meta = {"namespace": "shop", "name": "flowers", "uid": "1", "resourceVersion": "9"}
    assert objects.put({"metadata": meta})
    assert not objects.put({"metadata": meta})
    assert objects.put({"metadata": {**meta, "uid": "2", "resourceVersion": "10"}})
    objects.drop(OWNER, "1")
    assert objects.get(OWNER)["metadata"]["uid"] == "2"
    objects.drop(OWNER, "2")
    assert objects.get(OWNER) is None
    assert objects.names() == []
