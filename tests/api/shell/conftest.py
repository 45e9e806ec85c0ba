"""Fixtures: a control plane of the tests' own, in place of the shared cluster's API server.

`api`, `crd`, and by them `namespace` and `models`, then speak to it.
"""

import time
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.client import ApiClient

from api_server import ApiServer, install_crd
from control_plane import ControlPlane
from savedmodel_operator.cluster.client import Client, dynamic
from savedmodel_operator.cluster.clock import ServerClock
from savedmodel_operator.cluster.connect import configuration

CRD = Path(__file__).resolve().parents[3] / "crds/savedmodeldeployments.yaml"


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


@pytest.fixture(scope="session")
def crd(api):
    """The CRD on this plane. A fixture of its own: pytest keeps the result of the one above for the
    whole session, whichever API server asked first."""
    install_crd(api, yaml.safe_load(CRD.read_text()))


async def connect(kubeconfig, user=None):
    """(client, close): with the administrator's rights, or as `user`, who has none."""
    api = ApiClient(await configuration(str(kubeconfig)))
    if user is not None:
        api.set_default_header("Impersonate-User", user)
    return Client(dynamic(api), ServerClock(time.monotonic)), api.close


@pytest.fixture
async def client(kubeconfig):
    made, close = await connect(kubeconfig)
    yield made
    await close()


@pytest.fixture
async def nobody(kubeconfig):
    """A client of a user without any right."""
    made, close = await connect(kubeconfig, "nobody")
    yield made
    await close()
