"""Registers the fixtures that these tests share with other folders of the same cluster."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("cluster_fixtures")
