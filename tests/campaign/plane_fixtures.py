"""Fixtures for cases about one object on a control plane: an operator that leads, what status said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleet import Fleet
from fleet_fixtures import Start
from replica import Replica
from story_of_objects import Stories


@pytest.fixture
def stories(fleet: Fleet) -> Iterator[Stories]:
    """Of all objects."""
    with fleet.stories() as found:
        yield found


@pytest.fixture
def leader(start: Start, request: pytest.FixtureRequest) -> Replica:
    """The only operator, leading."""
    found = start(request.node.name.split("_")[1])
    found.wait_leading()
    return found
