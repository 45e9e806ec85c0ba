"""For tests of the whole spine on the real cluster: one operator for all, a namespace for each.

A pytest plugin that the conftest of each such folder registers, so that whoever comes first registers
it once and the folders share its fixtures. `cluster_shop` is what a test works with. Everything is
made once per session from the tree as it is; a failed test shows what a person would look at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_shop import NOBODY, PROXIED, Shop, open_shop
from lab import diagnose, install, objects, s3, samples, uploads
from lab.instance import current
from lab.kube import Kube
from lab.provider import recorded

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def kube() -> Kube:
    assert recorded(current()), "start the cluster first: dev/cluster up"
    return Kube(current())


@pytest.fixture(scope="session")
def installed(kube: Kube) -> Iterator[install.Installed]:
    """Images, S3 server with a bucket, and the operator by its chart in a restricted namespace."""
    found = install.ensure(kube, allowed=(NOBODY, PROXIED))
    port = {"port": int(NOBODY.rpartition(":")[2])}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NOBODY.partition(".")[0], "namespace": s3.NAMESPACE},
            "spec": {"ports": [port]},
        }
    )
    uploads.ensure_bucket(found.store.client(), objects.BUCKET)
    yield found
    # Other tests install an operator of their own; two would fight over one object.
    install.uninstall()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample models, made with TensorFlow and Keras."""
    folder = tmp_path_factory.mktemp("models")
    uploads.build(folder, samples.ALL)
    return folder


@pytest.fixture
def shop(
    request: pytest.FixtureRequest, kube: Kube, installed: install.Installed, models: Path
) -> Iterator[Shop]:
    """A namespace of this test alone, with a followed SavedModelDeployment `calc` to come."""
    with open_shop(kube, installed, models, request.node.name) as found:
        yield found
        if request.node.stash.get(FAILED, False):
            sys.stdout.write(diagnose.explain(kube, found.namespace, "calc"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the installed operator last: it stays to the end, and other tests install their own."""
    items.sort(key=lambda item: "installed" in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests measured; budgets are goals, so they are told and not asserted."""
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name}: {value}")
