"""Fixtures: a control plane of the tests' own, in place of the shared cluster's API server.

`api`, `crd`, and by them `namespace` and `models`, then speak to it.
"""

from pathlib import Path

import pytest
import yaml

from api_server import ApiServer, install_crd
from control_plane import ControlPlane

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
