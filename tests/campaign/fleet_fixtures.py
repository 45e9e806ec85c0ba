"""Fixtures: a small fleet that the cases of the operator share, and replicas that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import NAMESPACE, Fleet, open_fleet
from replica import Replica

Start = Callable[..., Replica]
"""start(name, kubeconfig=…, VARIABLE=…) → a running replica."""


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A control plane with pods that answer, without objects."""
    with open_fleet(tmp_path_factory.mktemp("fleet")) as found:
        yield found


@pytest.fixture
def start(fleet: Fleet, tmp_path: Path) -> Iterator[Start]:
    """Starts replicas; what of them is left in the end is killed."""
    started: list[Replica] = []

    def one(name: str, kubeconfig: Path | None = None, **environment: str) -> Replica:
        found = Replica(kubeconfig or fleet.kubeconfig, NAMESPACE, tmp_path, name, environment)
        started.append(found)
        return found

    yield one
    for replica in started:
        replica.kill()
    fleet.clear()
