"""Create, put back, or follow the spec: who changed a child, by the hash of what was applied last."""

from __future__ import annotations

from types import SimpleNamespace

from savedmodel_operator.api import names
from savedmodel_operator.plan.actions import Apply, Create
from savedmodel_operator.plan.put import put, put_ours
from savedmodel_operator.plan.snapshot import Observed


def service(kind="ClusterIP"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "flowers", "annotations": {"user": "own"}},
        "spec": {"type": kind},
    }


def world(body=None):
    seen = Observed("Service", "flowers", "u", "7", body) if body else None
    return SimpleNamespace(find=lambda kind, name: seen)


def only(actions):
    (action,) = actions
    return action


def applied(manifest):
    """As the API server has it once it was created."""
    return only(put_ours(world(), manifest)).manifest


def test_what_is_missing_is_created_with_the_hash_of_what_was_applied():
    action = only(put_ours(world(), service()))
    assert isinstance(action, Create)
    marks = action.manifest["metadata"]["annotations"]
    assert marks["user"] == "own"
    assert len(marks[names.ANNOTATION_APPLIED]) == 16
    assert list(put_ours(world(action.manifest), service())) == []


def test_a_field_that_somebody_changed_is_drift():
    body = applied(service())
    body["spec"]["type"] = "NodePort"
    action = only(put_ours(world(body), service()))
    assert isinstance(action, Apply)
    assert action.drift
    assert action.why == 'Service flowers: spec.type is "NodePort", wanted "ClusterIP"'


def test_a_change_of_the_spec_is_our_own_and_applied_with_its_hash():
    body = applied(service())
    action = only(put_ours(world(body), service("LoadBalancer")))
    assert not action.drift
    words = 'spec.type is "ClusterIP", wanted "LoadBalancer"'
    assert action.why == f"Service flowers follows the spec: {words}"
    assert list(put_ours(world(action.manifest), service("LoadBalancer"))) == []


def test_a_field_that_the_spec_no_longer_has_leaves_by_one_more_apply():
    """The absence of a field is no difference, but the hash of what was applied is."""
    more = service()
    more["spec"]["externalName"] = "was.wanted"
    action = only(put_ours(world(applied(more)), service()))
    assert not action.drift
    assert action.why == "Service flowers follows the spec: what was applied last"


def test_who_takes_the_hash_away_changes_a_child():
    body = applied(service())
    del body["metadata"]["annotations"]
    assert only(put_ours(world(body), service("LoadBalancer"))).drift


def test_a_frozen_child_differs_only_by_others():
    body = service("NodePort")
    assert only(put(world(body), service())).drift
    assert not only(put(world(body), service(), "scale it")).drift
    assert list(put(world(service()), service())) == []
