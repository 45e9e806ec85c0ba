"""Fixtures: a control plane of the tests' own, in place of the shared cluster's API server.

`api`, and by it `crd`, `namespace` and `models`, then speak to it.
"""

import pytest

from api_server import ApiServer
from control_plane import ControlPlane


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory):
    """The path of the administrator's kubeconfig."""
    plane = ControlPlane(tmp_path_factory.mktemp("plane"))
    try:
        plane.start()
        yield plane.kubeconfig
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def api(kubeconfig):
    """The API server, with the administrator's rights."""
    server = ApiServer(kubeconfig)
    yield server
    server.close()
