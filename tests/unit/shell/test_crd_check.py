"""What an older CRD would prune is named, and nothing else is."""

import pytest

from savedmodel_operator.api import schema, types
from savedmodel_operator.cluster.crd import unknown_fields


@pytest.fixture
def document():
    """An OpenAPI document as the API server makes it of the CRD in the tree."""
    kind = {"group": types.GROUP, "version": types.VERSION, "kind": types.KIND}
    root = {"properties": {"status": schema.build_status()}}
    listed = {"x-kubernetes-group-version-kind": [{**kind, "kind": f"{types.KIND}List"}]}
    ours = {**root, "x-kubernetes-group-version-kind": [kind]}
    return {"components": {"schemas": {"List": listed, "Model": ours}}}


def status(document):
    return document["components"]["schemas"]["Model"]["properties"]["status"]


def test_the_same_crd_lacks_nothing(document):
    assert unknown_fields(document) == []


def test_a_newer_one_may_know_more(document):
    status(document)["properties"]["later"] = {"type": "string"}
    assert unknown_fields(document) == []


def test_every_lost_field_is_named_with_its_place(document):
    properties = status(document)["properties"]
    del properties["highWaterMark"]
    del properties["stable"]["properties"]["since"]
    del properties["rejected"]["items"]["properties"]["fingerprint"]
    assert set(unknown_fields(document)) == {
        "status.highWaterMark",
        "status.stable.since",
        "status.rejected[].fingerprint",
    }


def test_a_status_that_is_kept_as_it_comes_loses_nothing(document):
    status(document).clear()
    status(document)["x-kubernetes-preserve-unknown-fields"] = True
    assert unknown_fields(document) == []


def test_a_document_without_our_kind_tells_nothing():
    assert unknown_fields({}) == []
    assert unknown_fields({"components": {"schemas": {"Other": {}}}}) == []
