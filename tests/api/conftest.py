"""Fixtures of the API level: the API server of dev/cluster, the CRD in it, a fresh namespace."""

import uuid
from pathlib import Path

import pytest
import yaml

from api_server import ApiServer, install_crd
from lab.instance import current

CRD = Path(__file__).resolve().parents[2] / "crds/savedmodeldeployments.yaml"


@pytest.fixture(scope="session")
def api():
    """The API server, with the administrator's rights."""
    kubeconfig = current().kubeconfig
    if not kubeconfig.is_file():
        pytest.fail("there is no cluster; start one with dev/cluster up", pytrace=False)
    server = ApiServer(kubeconfig)
    yield server
    server.close()


@pytest.fixture(scope="session")
def crd(api):
    """The CRD as it is in the tree, known to the API server."""
    install_crd(api, yaml.safe_load(CRD.read_text()))


@pytest.fixture
def namespace(api):
    """The name of a namespace of the test's own."""
    name = f"api-{uuid.uuid4().hex[:10]}"
    api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).accepted()
    yield name
    api.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def models(crd, namespace):
    """The path of the namespace's SavedModelDeployments."""
    return f"/apis/savedmodel.dev/v1alpha1/namespaces/{namespace}/savedmodeldeployments"
