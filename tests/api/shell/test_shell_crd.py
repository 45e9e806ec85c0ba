"""What the real API server publishes of the CRD in the tree lacks nothing that is written."""

import pytest

from savedmodel_operator.cluster.crd import unknown_fields
from savedmodel_operator.cluster.kinds import MODEL

pytestmark = pytest.mark.api


async def test_the_crd_of_the_tree_is_known_as_published(crd, client):
    document = await client.schemas(MODEL)
    assert unknown_fields(document) == []
    kinds = document["components"]["schemas"]
    name = "dev.savedmodel.v1alpha1.SavedModelDeployment"
    del kinds[name]["properties"]["status"]["properties"]["highWaterMark"]
    assert unknown_fields(document) == ["status.highWaterMark"], "it looked at the right place"


async def test_who_has_no_right_at_all_may_read_it(crd, nobody):
    assert (await nobody.schemas(MODEL))["components"]
