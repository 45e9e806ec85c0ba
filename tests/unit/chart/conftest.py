"""Fixtures: helm itself, and the chart rendered by it."""

import pytest

from chart_helm import Helm
from lab import build


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return Helm(build.binary("helm"), tmp_path_factory.mktemp("helm"))


@pytest.fixture
def render(helm):
    """render(values) → {kind/name: manifest}."""

    def rendered(values: dict) -> dict[str, dict]:
        documents = helm.documents(values)
        found = {
            "/".join((d["kind"], *filter(None, [_away(d)]), d["metadata"]["name"])): d
            for d in documents
        }
        assert len(found) == len(documents), "two objects of one name"
        return found

    return rendered


def _away(document: dict) -> str | None:
    """The namespace, if it is not the release's own."""
    namespace = document["metadata"].get("namespace")
    return None if namespace == "system" else namespace
