"""For the cases of the campaign: the cluster that they share with tests/cluster, and their record."""

from __future__ import annotations

import pytest
from campaign_case import Seen
from campaign_record import (  # noqa: F401 — pytest finds hooks by their names here
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
)
from canary import watch_for_secrets  # noqa: F401 — pytest finds fixtures by their names here


def pytest_configure(config: pytest.Config) -> None:
    for name in ("bucket_fixtures", "cluster_fixtures"):
        config.pluginmanager.import_plugin(name)
    for name in ("fleet_fixtures", "plane_fixtures"):
        config.pluginmanager.import_plugin(name)


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """Takes what a case saw."""
    return Seen(request.node.user_properties)
